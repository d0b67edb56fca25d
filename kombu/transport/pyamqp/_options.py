"""The transport options of AMQP."""

from __future__ import annotations

import socket
from typing import Any

from kombu.transport._options import Option, as_is, boolean, mapping, seconds, text

__all__ = ('OPTIONS',)


def _count(value: Any) -> int | None:
    """Take a number of things, or None."""
    if value is None:
        return None
    if (number := int(value)) < 1:
        raise ValueError('must be positive')
    return number


def _callable(value: Any) -> Any:
    """Take something to call, or None."""
    if value is None or callable(value):
        return value
    raise TypeError('must be callable')


def _socket_settings(value: Any) -> dict[int, Any]:
    """Take options of the TCP level; the keys may be their names."""
    given: dict[Any, Any] = mapping(value)
    settings = {}
    for key, setting in given.items():
        number = getattr(socket, key, None) if isinstance(key, str) else key
        if not isinstance(number, int):
            raise ValueError(f'this system has no socket option {key!r}')
        settings[number] = setting
    return settings


#: All are arguments of `amqp.Connection`.
OPTIONS: dict[str, Option] = {
    'confirm_publish': Option(
        boolean, False, 'wait for the broker to confirm each message, and raise if it refuses'
    ),
    'read_timeout': Option(
        seconds,
        None,
        'seconds to wait for an answer of the broker (30 by default), and for events where '
        '`drain_events` is given no timeout (for ever by default)',
    ),
    'write_timeout': Option(
        seconds, None, 'seconds to wait for the broker to take what is written (30 by default)'
    ),
    'heartbeat': Option(seconds, None, 'seconds between heartbeats, as `Connection(heartbeat=)`'),
    'connect_timeout': Option(
        seconds, None, 'seconds that connecting may take, as `Connection(connect_timeout=)`'
    ),
    'client_properties': Option(
        mapping, {}, 'what the management interface shows about this client'
    ),
    'on_blocked': Option(
        _callable, None, 'called with the reason when the broker takes nothing from publishers'
    ),
    'on_unblocked': Option(_callable, None, 'called when it does again'),
    'on_open': Option(_callable, None, 'called with the connection of py-amqp when it is open'),
    'login_method': Option(text, 'PLAIN', 'SASL mechanism, as `Connection(login_method=)`'),
    'login_response': Option(as_is, None, 'answer for a mechanism that py-amqp does not know'),
    'authentication': Option(as_is, (), 'objects of `amqp.sasl`, instead of user and password'),
    'locale': Option(text, 'en_US', 'locale of the texts of the broker'),
    'frame_max': Option(_count, None, 'largest frame in octets; the broker may have a smaller one'),
    'channel_max': Option(_count, None, 'number of channels; the broker may have a smaller one'),
    'socket_settings': Option(
        _socket_settings, {}, 'options of the TCP level, by name or number: TCP_USER_TIMEOUT ...'
    ),
}
