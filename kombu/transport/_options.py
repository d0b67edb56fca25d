"""Transport options: declared once by each transport, with type, default and a sentence.

From the declaration come the conversion of what users give, the warning about names nobody
knows, and the table in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kombu.utils.arguments import warn_unknown

__all__ = ('COMMON', 'Option', 'as_is', 'boolean', 'mapping', 'read_options', 'seconds', 'text')


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        convert: turns what was given into the value; raises TypeError or ValueError.
        default: the value where nothing is given.
        help: what it does, in a sentence.
    """

    convert: Callable[[Any], Any]
    default: Any
    help: str


def as_is(value: Any) -> Any:
    """Take anything."""
    return value


def boolean(value: Any) -> bool:
    """Take what means yes or no, also as the text in a URL."""
    if isinstance(value, str):
        try:
            return _BOOLEANS[value.lower()]
        except KeyError:
            raise ValueError('must be true or false') from None
    return bool(value)


_BOOLEANS = {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}


def seconds(value: Any) -> float | None:
    """Take a positive number of seconds, or None."""
    if value is None:
        return None
    number = float(value)
    if not number > 0:
        raise ValueError('must be a positive number of seconds')
    return number


def text(value: Any) -> str | None:
    """Take text, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError('must be text')
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Take a mapping; None is an empty one."""
    return dict(value or {})


#: Options that `kombu.Connection` reads itself, whatever the transport.
COMMON: dict[str, Option] = {
    'max_retries': Option(as_is, None, 'attempts to connect before giving up; None: for ever'),
    'interval_start': Option(as_is, 2, 'seconds to wait before the second attempt'),
    'interval_step': Option(as_is, 2, 'seconds more for each attempt after that'),
    'interval_max': Option(as_is, 30, 'seconds to wait at most'),
    'connect_retries_timeout': Option(as_is, None, 'seconds for all attempts together'),
    'errback': Option(as_is, None, 'called with the error and the interval before each wait'),
    'callback': Option(as_is, None, 'called while waiting'),
    'retry_errors': Option(as_is, (), 'further errors after which to try again'),
    'strict': Option(boolean, False, 'refuse what the transport does not support, not only warn'),
    'manager_hostname': Option(as_is, None, 'host of the management interface'),
    'manager_port': Option(as_is, None, 'port of the management interface'),
    'manager_userid': Option(as_is, None, 'user of the management interface'),
    'manager_password': Option(as_is, None, 'password of the management interface'),
}


def read_options(
    transport: str, given: Mapping[str, Any], declared: Mapping[str, Option]
) -> dict[str, Any]:
    """Convert the transport options that were given.

    Args:
        transport: its name, for texts.
        given: the options of the connection; those in `COMMON` are left to it.
        declared: those of the transport.

    Returns:
        The values given, by name; what was not given is not in it.

    Raises:
        ValueError: a value makes no sense; the text tells which.
    """
    values = {}
    unknown = []
    for name, value in given.items():
        option = declared.get(name)
        if option is None:
            if name not in COMMON:
                unknown.append(name)
            continue
        try:
            values[name] = option.convert(value)
        except (TypeError, ValueError) as exc:
            raise ValueError(f'transport option {name}={value!r}: {exc}') from exc
    warn_unknown(f'transport_options of {transport}', unknown, [*declared, *COMMON])
    return values
