"""RabbitMQ's management API."""

from __future__ import annotations

from typing import Any

__all__ = ('get_manager',)


def get_manager(
    client: Any,
    hostname: str | None = None,
    port: int | None = None,
    userid: str | None = None,
    password: str | None = None,
) -> Any:
    """Make a client of the management API of the broker that a connection leads to.

    What is not given comes from the transport options `manager_hostname`, `manager_port`,
    `manager_userid` and `manager_password`, then from the connection, then from RabbitMQ's
    defaults.

    Args:
        client: the connection.
        hostname: host of the management API.
        port: its port; 15672 by default.
        userid: user name.
        password: password.

    Returns:
        a `pyrabbit.Client`.

    Raises:
        ImportError: pyrabbit is not installed.
    """
    try:
        import pyrabbit  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as exc:
        raise ImportError(
            "the management API needs the package 'pyrabbit': pip install pyrabbit", name='pyrabbit'
        ) from exc
    options = client.transport_options or {}

    def choose(given: Any, name: str, default: Any) -> Any:
        if given is not None:
            return given
        return options.get(f'manager_{name}') or default

    host = choose(hostname, 'hostname', client.hostname or 'localhost')
    if ':' in host:
        host = f'[{host}]'
    return pyrabbit.Client(
        f'{host}:{choose(port, "port", 15672)}',
        choose(userid, 'userid', client.userid or 'guest'),
        choose(password, 'password', client.password or 'guest'),
    )
