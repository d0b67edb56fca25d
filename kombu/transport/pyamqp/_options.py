"""The transport options, declared once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kombu.utils.arguments import warn_unknown

__all__ = ('OPTIONS', 'Option', 'connection_arguments')


@dataclass(frozen=True)
class Option:
    """An option: what converts its value, its default, and what it does."""

    convert: Callable[[Any], Any]
    default: Any
    help: str


def _as_is(value: Any) -> Any:
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}[
                value.lower()
            ]
        except KeyError:
            raise ValueError('must be true or false') from None
    return bool(value)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    seconds = float(value)
    if not seconds > 0:
        raise ValueError('must be a positive number of seconds')
    return seconds


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def _callable(value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError('must be callable')
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value or {})


def _socket_settings(value: Any) -> dict[int, Any]:
    """Convert `TCP_...` options; the keys may be their names."""
    settings = {}
    for key, setting in (value or {}).items():
        number = getattr(socket, key, None) if isinstance(key, str) else key
        if not isinstance(number, int):
            raise ValueError(f'this system has no socket option {key!r}')
        settings[number] = setting
    return settings


OPTIONS: dict[str, Option] = {
    'confirm_publish': Option(
        _boolean, False, 'wait for the broker to confirm each message, and raise if it refuses'
    ),
    'read_timeout': Option(
        _seconds, None, 'seconds to wait for an answer, and for events where no timeout is given'
    ),
    'write_timeout': Option(
        _seconds, None, 'seconds to wait for the broker to take what is written'
    ),
    'heartbeat': Option(_seconds, None, 'seconds between heartbeats, as `Connection(heartbeat=)`'),
    'connect_timeout': Option(
        _seconds, None, 'seconds connecting may take, as `Connection(connect_timeout=)`'
    ),
    'client_properties': Option(
        _mapping, {}, 'what the management interface shows about this client'
    ),
    'on_blocked': Option(
        _callable, None, 'called with the reason when the broker takes nothing from publishers'
    ),
    'on_unblocked': Option(_callable, None, 'called when it does again'),
    'on_open': Option(_callable, None, 'called with the connection of py-amqp when it is open'),
    'on_tune_ok': Option(_callable, None, 'called when the limits are agreed on'),
    'login_method': Option(_as_is, None, 'SASL mechanism, as `Connection(login_method=)`'),
    'login_response': Option(_as_is, None, 'the answer for a mechanism that py-amqp does not know'),
    'authentication': Option(_as_is, (), 'objects of `amqp.sasl`, instead of user and password'),
    'locale': Option(str, 'en_US', 'locale of the messages of the broker'),
    'frame_max': Option(_count, None, 'largest frame, in octets'),
    'channel_max': Option(_count, None, 'largest number of channels'),
    'socket_settings': Option(
        _socket_settings, {}, 'options of the TCP level, by name or number, e.g. TCP_USER_TIMEOUT'
    ),
}

#: Options that `kombu.Connection` itself reads, whatever the transport.
COMMON = frozenset(
    {
        'callback',
        'connect_retries_timeout',
        'errback',
        'interval_max',
        'interval_start',
        'interval_step',
        'manager_hostname',
        'manager_password',
        'manager_port',
        'manager_userid',
        'max_retries',
        'retry_errors',
        'strict',
    }
)


def connection_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the connection that the transport options contain.

    Names that nobody knows warn.

    Raises:
        ValueError: a value makes no sense; the text tells which.
    """
    unknown = [name for name in given if name not in OPTIONS and name not in COMMON]
    warn_unknown('transport_options of amqp', unknown, OPTIONS)
    arguments = {}
    for name, option in OPTIONS.items():
        if name in given:
            try:
                arguments[name] = option.convert(given[name])
            except (TypeError, ValueError) as exc:
                raise ValueError(f'transport option {name}={given[name]!r}: {exc}') from exc
    return arguments
