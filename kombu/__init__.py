"""Messaging for Python: one interface to AMQP brokers, stores and memory.

The names are imported when they are first used, so that `import kombu` costs nothing; its
submodules likewise (`kombu.exceptions.OperationalError` works after a bare `import kombu`).
"""

from __future__ import annotations

from importlib import import_module as _import_module

from kombu._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kombu.common import eventloop
    from kombu.connection import BrokerConnection, Connection
    from kombu.entity import Exchange, Queue, binding
    from kombu.message import Message
    from kombu.messaging import Consumer, Producer
    from kombu.pools import connections, producers
    from kombu.serialization import disable_insecure_serializers, enable_insecure_serializers
    from kombu.utils.text import version_info_t
    from kombu.utils.url import parse_url
    from kombu.utils.uuid import uuid

    VERSION: version_info_t
    version_info: version_info_t

__author__ = 'the kombu authors'
__contact__ = 'https://github.com/celery/kombu/issues'
__homepage__ = 'https://kombu.readthedocs.io'
__docformat__ = 'restructuredtext en'

__all__ = (
    'VERSION',
    'BrokerConnection',
    'Connection',
    'Consumer',
    'Exchange',
    'Message',
    'Producer',
    'Queue',
    '__author__',
    '__contact__',
    '__docformat__',
    '__homepage__',
    '__version__',
    'binding',
    'connections',
    'disable_insecure_serializers',
    'enable_insecure_serializers',
    'eventloop',
    'parse_url',
    'producers',
    'uuid',
    'version_info',
)

#: Name to the module it is imported from.
_SOURCES = {
    'BrokerConnection': 'kombu.connection',
    'Connection': 'kombu.connection',
    'Consumer': 'kombu.messaging',
    'Exchange': 'kombu.entity',
    'Message': 'kombu.message',
    'Producer': 'kombu.messaging',
    'Queue': 'kombu.entity',
    'binding': 'kombu.entity',
    'connections': 'kombu.pools',
    'disable_insecure_serializers': 'kombu.serialization',
    'enable_insecure_serializers': 'kombu.serialization',
    'eventloop': 'kombu.common',
    'parse_url': 'kombu.utils.url',
    'producers': 'kombu.pools',
    'uuid': 'kombu.utils.uuid',
    'version_info_t': 'kombu.utils.text',
}

_SUBMODULES = frozenset(
    {
        'abstract', 'asynchronous', 'clocks', 'common', 'compat', 'compression', 'connection',
        'entity', 'exceptions', 'log', 'matcher', 'message', 'messaging', 'mixins', 'pidbox',
        'pools', 'resource', 'serialization', 'simple', 'transport', 'utils',
    }
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return _import_module(f'{__name__}.{name}')
    if name in _SOURCES:
        value = getattr(_import_module(_SOURCES[name]), name)
    elif name in ('VERSION', 'version_info'):
        value = _import_module('kombu.utils.text').version_string_as_tuple(__version__)
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
