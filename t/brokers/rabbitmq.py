"""RabbitMQ: a node of our own, or the one that the environment names.

The binaries are called directly: the wrapper in /usr/sbin changes the user and loses the
environment.  epmd is ours as well, on a port of its own, because the one that Erlang would leave
behind listens on every interface.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from .certificates import make_certificates
from .server import Server, Unavailable, accepts, free_ports, wait_until

BINARIES = Path('/usr/lib/rabbitmq/bin')
INSTALL = 'apt-get install rabbitmq-server'

MEMORY_LIMIT = '512MB'

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {certs_ca}
ssl_options.certfile = {certs_server}
ssl_options.keyfile = {certs_server_key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
loopback_users = none
default_user = guest
default_pass = guest
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = {memory_limit}
collect_statistics_interval = 1000
log.file.level = info
"""

#: Do not spin while idle, and keep the distribution port on the loopback interface.
ERLANG_ARGUMENTS = (
    '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}'
)

_numbers = itertools.count(1)


class Management:
    """The HTTP API of the management plugin."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip('/')
        token = base64.b64encode(f'{user}:{password}'.encode()).decode()
        self.headers = {'content-type': 'application/json', 'authorization': f'Basic {token}'}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; the path has its parts quoted, e.g. `vhosts/%2F`."""
        request = urllib.request.Request(  # noqa: S310 - the URL is ours
            f'{self.url}/api/{path}',
            method=method,
            headers=self.headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            text = answer.read()
        return json.loads(text) if text else None


class Broker:
    """What the tests use of a RabbitMQ, wherever it runs.

    Attributes:
        url: the default virtual host.
        api: the management API.
    """

    url: str
    api: Management
    #: Where there is a TLS listener: its URL, its port, and the paths of the certificates (see
    #: `make_certificates`).
    amqps_url: str | None = None
    tls_port: int | None = None
    certs: dict[str, str] | None = None

    @property
    def port(self) -> int:
        """The port of the plain listener."""
        return urlsplit(self.url).port or 5672

    def url_of(self, vhost: str, url: str | None = None) -> str:
        """Return the URL of a virtual host."""
        parts = urlsplit(url or self.url)
        return f'{parts.scheme}://{parts.netloc}/{quote(vhost, safe="")}'

    def new_vhost(self) -> str:
        """Make an empty virtual host and return its URL."""
        name = f'kombu-test-{os.getpid()}-{next(_numbers)}'
        user = urlsplit(self.url).username or 'guest'
        self.api('PUT', f'vhosts/{name}')
        self.api(
            'PUT',
            f'permissions/{name}/{quote(user)}',
            {'configure': '.*', 'write': '.*', 'read': '.*'},
        )
        return self.url_of(name)

    def delete_vhost(self, url: str) -> None:
        """Delete the virtual host of `url` with everything in it."""
        name = urlsplit(url).path[1:]
        try:
            self.api('DELETE', f'vhosts/{name}')
        except urllib.error.HTTPError as exc:
            if exc.code != 404:
                raise

    def bindings(self, url: str) -> list[dict[str, Any]]:
        """List the bindings of the virtual host of `url`."""
        found: list[dict[str, Any]] = self.api('GET', f'bindings/{urlsplit(url).path[1:]}')
        return found


class ExternalBroker(Broker):
    """The RabbitMQ of KOMBU_TEST_AMQP_URL.

    Its management API is at KOMBU_TEST_AMQP_API, or at port 15672 of the same host.
    """

    def __init__(self, url: str, api: str | None) -> None:
        parts = urlsplit(url)
        self.url = url
        self.api = Management(
            api or f'http://{parts.hostname}:15672',
            parts.username or 'guest',
            parts.password or 'guest',
        )

    def stop(self) -> None:
        """Leave it as it was found."""

    def __getattr__(self, name: str) -> Any:
        # Killing, freezing and starving are for nodes of our own.
        if name.startswith('_'):
            raise AttributeError(name)
        pytest.skip(f'{name}: the broker in KOMBU_TEST_AMQP_URL is not ours to disturb')


class Node(Broker, Server):
    """A RabbitMQ node of our own, with TLS and management."""

    name = 'rabbitmq'

    def __init__(self, folder: Path) -> None:
        if not (BINARIES / 'rabbitmq-server').exists() or not shutil.which('epmd'):
            raise Unavailable(INSTALL)
        Server.__init__(self, folder)
        ports = free_ports(5)
        self._port, self.tls_port, self._management_port, self._dist_port, self._epmd_port = ports
        self.node = f'kombu{self._port}@localhost'
        self.url = f'amqp://guest:guest@127.0.0.1:{self._port}//'
        self.amqps_url = f'amqps://guest:guest@localhost:{self.tls_port}//'
        self.api = Management(f'http://127.0.0.1:{self._management_port}', 'guest', 'guest')
        self._epmd: Any = None
        self._configure()

    def _configure(self) -> None:
        for part in ('home', 'mnesia', 'log', 'etc'):
            (self.folder / part).mkdir(exist_ok=True)
        etc = self.folder / 'etc'
        self.certs = make_certificates(self.folder / 'certs')
        (etc / 'env.conf').write_text('')
        (etc / 'enabled_plugins').write_text('[rabbitmq_management].\n')
        (etc / 'rabbitmq.conf').write_text(
            CONFIGURATION.format(
                port=self._port,
                tls_port=self.tls_port,
                management_port=self._management_port,
                **{f'certs_{name}': path for name, path in self.certs.items()},
                memory_limit=MEMORY_LIMIT,
            )
        )

    @cached_property
    def environment(self) -> dict[str, str]:
        """What the node and its tools are told."""
        at = self.folder
        return {
            **os.environ,
            'HOME': f'{at}/home',
            'ERL_EPMD_PORT': str(self._epmd_port),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODENAME': self.node,
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(self._port),
            'RABBITMQ_DIST_PORT': str(self._dist_port),
            'RABBITMQ_MNESIA_BASE': f'{at}/mnesia',
            'RABBITMQ_LOG_BASE': f'{at}/log',
            'RABBITMQ_PID_FILE': f'{at}/pid',
            'RABBITMQ_CONFIG_FILE': f'{at}/etc/rabbitmq.conf',
            'RABBITMQ_ADVANCED_CONFIG_FILE': f'{at}/etc/advanced.config',
            'RABBITMQ_CONF_ENV_FILE': f'{at}/etc/env.conf',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{at}/etc/enabled_plugins',
            # The shell script then replaces itself with the VM: our child is the broker.
            'RUNNING_UNDER_SYSTEMD': 'true',
        }

    def start(self) -> None:
        """Start the node and wait for its log to say that it has."""
        if self._epmd is None:
            self._epmd = self.spawn(
                ['epmd', '-port', str(self._epmd_port), '-address', '127.0.0.1'], self.environment
            )
            wait_until(lambda: accepts(self._epmd_port), 'epmd', process=self._epmd)
        mark = self.log.stat().st_size
        self.process = self.spawn(
            [str(BINARIES / 'rabbitmq-server')],
            {**self.environment, 'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': ERLANG_ARGUMENTS},
        )
        wait_until(
            lambda: b' completed with ' in self.log.read_bytes()[mark:],
            self.name,
            process=self.process,
        )

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against the node and return what it prints."""
        done = subprocess.run(  # its own words tell more than the status
            [str(BINARIES / 'rabbitmqctl'), '-n', self.node, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def block_alarm(self) -> None:
        """Raise the memory alarm: connections that publish are blocked."""
        self.ctl('set_vm_memory_high_watermark', 'absolute', '1MB')

    def unblock_alarm(self) -> None:
        """Clear the memory alarm."""
        self.ctl('set_vm_memory_high_watermark', 'absolute', MEMORY_LIMIT)

    def stop(self) -> None:
        """Kill the node and its epmd."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None


def rabbitmq_broker(folder: Path) -> Broker:
    """Return the broker that the environment names, or a node of our own, started.

    Raises:
        Unavailable: neither is there.
    """
    url = os.environ.get('KOMBU_TEST_AMQP_URL')
    if url:
        return ExternalBroker(url, os.environ.get('KOMBU_TEST_AMQP_API'))
    node = Node(folder)
    try:
        node.start()
    except BaseException:
        node.stop()
        raise
    return node
