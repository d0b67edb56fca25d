"""Transports by name.

A transport is found by the scheme of a URL or by the `transport` argument of `kombu.Connection`:
in `TRANSPORT_ALIASES`, among the entry points `kombu.transports` of installed distributions, or as
a dotted path (`package.module:Transport`; only as an argument, never from a URL).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from kombu.utils.compat import detect_environment
from kombu.utils.imports import symbol_by_name
from kombu.utils.text import fmatch_best

__all__ = (
    'TRANSPORT_ALIASES',
    'UnknownTransport',
    'get_transport_cls',
    'resolve_transport',
    'supports_librabbitmq',
)

#: Name to 'module:attribute'.  Third parties add to it when they are imported.
TRANSPORT_ALIASES: dict[str, Any] = {
    'amqp': 'kombu.transport.pyamqp:Transport',
    'amqps': 'kombu.transport.pyamqp:SSLTransport',
    'pyamqp': 'kombu.transport.pyamqp:Transport',
    'memory': 'kombu.transport.memory:Transport',
}

#: Entry-point group in which distributions offer transports.
ENTRY_POINTS = 'kombu.transports'

DEFAULT_TRANSPORT = 'amqp'


class UnknownTransport(KeyError):
    """No transport is known by the name asked for."""

    def __str__(self) -> str:
        # A KeyError shows its text quoted.
        return str(self.args[0])


def supports_librabbitmq() -> bool:
    """Tell whether the C client librabbitmq is installed and can be used.

    It cannot under eventlet or gevent, whose green sockets a C client does not know.
    """
    return detect_environment() == 'default' and find_spec('librabbitmq') is not None


def resolve_transport(transport: Any = None) -> Any:
    """Return what `transport` stands for.

    Args:
        transport: a name, a dotted path (`package.module:Class` or `package.module.Class`), a
            class, or a function that returns one of these.

    Raises:
        UnknownTransport: the name is not known; the text says what comes close.
        ImportError: the transport, or a client library it needs, is not installed.
        TypeError: it is none of these.
    """
    if callable(transport) and not isinstance(transport, type):
        transport = transport()
    if isinstance(transport, type):
        return transport
    if not isinstance(transport, str):
        raise TypeError(f'a transport is a name, a path or a class, not {transport!r}')
    target = TRANSPORT_ALIASES.get(transport)
    if target is None and not ('.' in transport or ':' in transport):
        return _installed(transport)
    return symbol_by_name(target or transport)


def _installed(name: str) -> Any:
    """Return the transport that an installed distribution offers under `name`."""
    # Imported when needed: it is slow, and most processes never ask.
    offered = import_module('importlib.metadata').entry_points(group=ENTRY_POINTS)
    for point in offered:
        if point.name == name:
            return point.load()
    known = sorted({*TRANSPORT_ALIASES, *(point.name for point in offered)})
    close = fmatch_best(name, known)
    hint = f'Did you mean {close!r}?' if close else f'There are: {", ".join(known)}.'
    raise UnknownTransport(f'no such transport: {name!r}. {hint}')


def get_transport_cls(transport: Any = None) -> Any:
    """Return the transport class for a name, path or class; None means the default, amqp.

    Raises:
        UnknownTransport, ImportError, TypeError: as `resolve_transport`.
    """
    return resolve_transport(DEFAULT_TRANSPORT if transport is None else transport)
