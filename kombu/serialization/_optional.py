"""The serializers whose libraries are extras, imported when the first body needs them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kombu.exceptions import SerializerNotInstalled
from kombu.utils.optional import import_optional

__all__ = ('msgpack_dumps', 'msgpack_loads', 'yaml_dumps', 'yaml_loads')


def _library(module: str, extra: str) -> ModuleType:
    try:
        return import_optional(module, extra, f'the {extra} serializer')
    except ImportError as exc:
        raise SerializerNotInstalled(str(exc)) from exc


def msgpack_dumps(data: Any) -> bytes:
    """Write an object as MessagePack.

    Raises:
        SerializerNotInstalled: the library is missing.
    """
    packed: bytes = _library('msgpack', 'msgpack').packb(data, use_bin_type=True)
    return packed


def msgpack_loads(data: Any) -> Any:
    """Read an object from MessagePack.

    Raises:
        SerializerNotInstalled: the library is missing.
    """
    return _library('msgpack', 'msgpack').unpackb(data, raw=False)


def _yaml_class(yaml: ModuleType, name: str) -> Any:
    """Return libyaml's counterpart of a class of PyYAML, which is several times as fast.

    Where an application taught the slow one about types of its own, it is that one: its
    counterpart does not know of them.
    """
    slow = getattr(yaml, name)
    if any(attribute.startswith('yaml_') for attribute in vars(slow)):
        return slow
    return getattr(yaml, f'C{name}', slow)


def yaml_dumps(data: Any) -> str:
    """Write plain data as YAML.

    Raises:
        SerializerNotInstalled: the library is missing.
    """
    yaml = _library('yaml', 'yaml')
    text: str = yaml.dump(data, Dumper=_yaml_class(yaml, 'SafeDumper'))
    return text


#: How deeply YAML may nest.  The composer of libyaml's binding recurses in C without a guard, so
#: that a message of some thirty thousand brackets would take the process down with it.
_MAX_DEPTH = 1000

#: Each level of nesting takes at least one of these.
_LEVELS = ('[', '{', '-', ':', '?')


def yaml_loads(data: Any) -> Any:
    """Read plain data from YAML; tags that would make other objects are errors.

    Raises:
        SerializerNotInstalled: the library is missing.
        ValueError: it is nested too deeply.
    """
    yaml = _library('yaml', 'yaml')
    if isinstance(data, (bytearray, memoryview)):
        data = bytes(data)
    loader = _yaml_class(yaml, 'SafeLoader')
    if loader is not yaml.SafeLoader and len(data) > _MAX_DEPTH:
        _check_depth(yaml, data)
    return yaml.load(data, Loader=loader)


def _check_depth(yaml: Any, data: Any) -> None:
    marks = _LEVELS if isinstance(data, str) else [mark.encode() for mark in _LEVELS]
    if sum(map(data.count, marks)) <= _MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise ValueError(f'YAML nested deeper than {_MAX_DEPTH} levels')
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
