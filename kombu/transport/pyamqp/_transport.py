"""The transport: makes and looks after connections for a `kombu.Connection`."""

from __future__ import annotations

from typing import Any

import amqp

from kombu.transport import base
from kombu.transport._options import COMMON, read_options
from kombu.utils.amq_manager import get_manager
from kombu.utils.compat import get_gevent_concurrent_error
from kombu.utils.imports import symbol_by_name
from kombu.utils.text import version_string_as_tuple

from ._channel import Channel
from ._connection import Connection
from ._options import OPTIONS
from ._tls import tls_options

__all__ = ('DEFAULT_PORT', 'DEFAULT_SSL_PORT', 'SSLTransport', 'Transport')

DEFAULT_PORT = 5672
DEFAULT_SSL_PORT = 5671

#: RabbitMQ counts prefetch for each consumer since then
#: (https://www.rabbitmq.com/docs/consumer-prefetch).
PREFETCH_BY_CONSUMER = (3, 3)


class Transport(base.Transport):
    """AMQP 0-9-1 over py-amqp.

    Args:
        client: the `kombu.Connection`.
        default_port: port used where the URL names none.
        default_ssl_port: the same, with TLS.
    """

    # Where it is imported from.
    __module__ = 'kombu.transport.pyamqp'

    #: Makes the connection; another subclass of `amqp.Connection` may take its place.
    Connection: type[Any] = Connection

    default_port = DEFAULT_PORT
    default_ssl_port = DEFAULT_SSL_PORT

    connection_errors = Connection.connection_errors
    channel_errors = Connection.channel_errors
    recoverable_connection_errors = Connection.recoverable_connection_errors
    recoverable_channel_errors = Connection.recoverable_channel_errors

    #: The transport options, which all are arguments of the connection.
    options = OPTIONS

    driver_type = 'amqp'
    driver_name = 'py-amqp'

    implements = base.Transport.implements.extend(
        asynchronous=True,
        heartbeats=True,
        persistent=True,
        processes=True,
        virtual_hosts=True,
        priority=True,
        message_ttl=True,
        queue_ttl=True,
        queue_expires=True,
        dead_letter=True,
        max_length=True,
        max_length_bytes=True,
        overflow_reject=True,
        # Comes with a plugin that RabbitMQ does not bring along.
        delay=False,
        alternate_exchange=True,
        exchange_bind=True,
        mandatory=True,
        confirms=True,
        exclusive=True,
        auto_delete=True,
        passive=True,
        inequivalent=True,
        consumer_prefetch=True,
        recover=True,
        requeue_head=True,
        # Quorum queues tell, classic queues do not.
        delivery_count=True,
        # A delivery belongs to its consumer for as long as that is connected.
        lease=False,
    )

    def __init__(
        self,
        client: Any,
        default_port: int | None = None,
        default_ssl_port: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(client, **kwargs)
        self.default_port = default_port or self.default_port
        self.default_ssl_port = default_ssl_port or self.default_ssl_port
        concurrent = get_gevent_concurrent_error()
        if concurrent is not None and concurrent not in self.connection_errors:
            self.connection_errors = (*self.connection_errors, concurrent)
            self.recoverable_connection_errors = (*self.recoverable_connection_errors, concurrent)

    @property
    def _ssl(self) -> Any:
        """What `ssl=` was given."""
        return self.client.ssl

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """What `kombu.Connection` fills in where neither URL nor arguments say anything."""
        return {
            'userid': 'guest',
            'password': 'guest',
            'port': self.default_ssl_port if self._ssl else self.default_port,
            'hostname': 'localhost',
            'login_method': 'PLAIN',
        }

    def driver_version(self) -> str:
        """Return the version of py-amqp."""
        version: str = amqp.__version__
        return version

    def establish_connection(self) -> Any:
        """Connect to the broker.

        Raises:
            TimeoutError: it took longer than `connect_timeout`.
            OSError: the broker cannot be reached, or its certificate not be verified.
            amqp.exceptions.AMQPError: it refuses.
            ValueError: an option makes no sense.
        """
        client = self.client
        defaults = self.default_connection_params
        hostname = client.hostname or defaults['hostname']
        userid, password = self._credentials()
        # Not `localhost`: that may be ::1 first, where few brokers listen.
        address = '127.0.0.1' if hostname == 'localhost' else hostname
        if ':' in address:
            address = f'[{address}]'
        arguments = {
            'login_method': client.login_method or defaults['login_method'],
            'connect_timeout': client.connect_timeout,
            'heartbeat': client.heartbeat or 0,
            **self._given_options(),
        }
        connection = self.Connection(
            host=f'{address}:{client.port or defaults["port"]}',
            userid=userid,
            password=password,
            virtual_host=client.virtual_host or '/',
            ssl=tls_options(self._ssl, hostname) or False,
            **arguments,
        )
        connection.client = client
        connection.connect()
        return connection

    def _given_options(self) -> dict[str, Any]:
        """Return the transport options that are arguments of the connection."""
        given = self.client.transport_options or {}
        if self.Connection is Connection:
            return read_options(self.driver_type, given, self.options)
        # Made by somebody else, who may have arguments of its own.
        others = {name: given[name] for name in given if name not in {*self.options, *COMMON}}
        known = {name: given[name] for name in self.options if name in given}
        return {**others, **read_options(self.driver_type, known, self.options)}

    def _credentials(self) -> tuple[Any, Any]:
        """Return user name and password; callables are asked for each connection."""
        client = self.client
        provider = client.credential_provider
        if isinstance(provider, str):
            provider = symbol_by_name(provider)
        if isinstance(provider, type):
            provider = provider()
        if provider is not None:
            found = provider.get_credentials()
            return found if len(found) > 1 else (client.userid, *found)
        defaults = self.default_connection_params
        userid, password = client.userid or defaults['userid'], client.password
        if callable(password):
            password = password()
        return userid, password or defaults['password']

    def verify_connection(self, connection: Any) -> bool:
        """Tell, without waiting, whether the connection still looks usable.

        That the broker has closed it is noticed even if nothing was read since.
        """
        if connection.channels is None or not connection.connected:
            return False
        try:
            connection.glance()
        except self.connection_errors:
            return False
        return bool(connection.connected)

    def close_connection(self, connection: Any) -> None:
        """Close the connection; idempotent, takes a few seconds at most, and does not fail."""
        connection.client = None
        connection.close()

    def _collect(self, connection: Any) -> None:
        """Close the socket without a word to the broker, because the connection is broken."""
        connection.client = None
        connection.collect()

    def create_channel(self, connection: Any) -> Channel:
        """Open a channel."""
        channel: Channel = connection.channel()
        return channel

    def close_channel(self, connection: Any) -> None:
        """Close the channel given; idempotent."""
        connection.close()

    def drain_events(self, connection: Any, timeout: float | None = None) -> Any:
        """Wait for one event of this thread's channels and run its callback."""
        return connection.drain_events(timeout=timeout)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the event loop deliver the messages of all threads of this connection."""
        connection.loop = loop
        loop.add_reader(connection.sock, self.on_readable, connection, loop)
        # What has been read by now makes no socket readable.
        loop.call_soon(self.on_readable, connection, loop)

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Undo `register_with_event_loop`."""
        connection.loop = None
        loop.remove_reader(connection.sock)

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Send a heartbeat if it is time to; raise if the broker was silent for two intervals."""
        connection.heartbeat_tick(rate=rate)

    def get_heartbeat_interval(self, connection: Any) -> float:
        """Return the interval agreed on, in seconds; 0 where there are no heartbeats."""
        interval: float = connection.heartbeat
        return interval

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """Tell whether `basic_qos(apply_global=False)` means the whole channel."""
        properties = connection.server_properties
        if properties.get('product') == 'RabbitMQ':
            return version_string_as_tuple(properties['version'])[:2] < PREFETCH_BY_CONSUMER
        return True

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """Make a client of RabbitMQ's management API."""
        return get_manager(self.client, *args, **kwargs)


class SSLTransport(Transport):
    """AMQP 0-9-1 over TLS, `amqps://`."""

    __module__ = 'kombu.transport.pyamqp'

    @property
    def _ssl(self) -> Any:
        return self.client.ssl or True
