"""Encoding and decoding of message bodies.

Only JSON, text and bytes are decoded unless a consumer's accept list, or
`enable_insecure_serializers`, names more: a pickle runs whatever its sender wrote into it.

Further serializers come from `register`, or from the entry points `kombu.serializers` of installed
distributions, each of which names a tuple of arguments for `register`.  Those are loaded when a
name is first looked up that is not there.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, overload

from kombu.serialization._names import unknown_name
from kombu.serialization._optional import (
    msgpack_dumps,
    msgpack_loads,
    yaml_dumps,
    yaml_loads,
)
from kombu.serialization._registry import (
    SKIP_DECODE,
    TRUSTED_CONTENT,
    SerializerRegistry,
    codec,
    raw_encode,
)
from kombu.utils import compat
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import decode as _json_decode
from kombu.utils.json import encode as _json_encode

__all__ = (
    'NOTSET',
    'SKIP_DECODE',
    'TRUSTED_CONTENT',
    'SerializerRegistry',
    'codec',
    'disable_insecure_serializers',
    'dumps',
    'enable_insecure_serializers',
    'loads',
    'parenthesize_alias',
    'pickle',
    'pickle_load',
    'pickle_loads',
    'pickle_protocol',
    'prepare_accept_content',
    'raw_encode',
    'register',
    'register_json',
    'register_msgpack',
    'register_pickle',
    'register_yaml',
    'registry',
    'unpickle',
    'unregister',
)

#: Stands for an argument that was not given.
NOTSET: Any = object()

#: Serializers that are disabled until asked for: their formats can build objects, or once could.
_INSECURE = ('pickle', 'yaml', 'msgpack')


def _pickle_protocol() -> int:
    chosen = os.environ.get('PICKLE_PROTOCOL', '4')
    if not chosen.isdecimal() or int(chosen) > pickle.HIGHEST_PROTOCOL:
        highest = pickle.HIGHEST_PROTOCOL
        raise ValueError(f'environment variable PICKLE_PROTOCOL: {chosen!r} is not 0 to {highest}')
    return int(chosen)


#: The protocol to pickle bodies with: PICKLE_PROTOCOL of the environment, or 4, known everywhere.
pickle_protocol = _pickle_protocol()

pickle_load = pickle.load


def pickle_loads(s: Any, load: Callable[[Any], Any] = pickle_load) -> Any:
    """Read an object from a pickle.

    Args:
        s: the bytes.
        load: reads it from a file.
    """
    return load(BytesIO(s))


def unpickle(s: Any) -> Any:
    """Read an object from a pickle that may have been taken for text."""
    return pickle.loads(str_to_bytes(s))  # noqa: S301 - only where a consumer accepts it


def _pickle_dumps(obj: Any) -> bytes:
    return pickle.dumps(obj, protocol=pickle_protocol)


def _entry_points() -> Iterator[Iterable[Any]]:
    for _, arguments in compat.entrypoints('kombu.serializers'):
        yield arguments


#: The serializers of this process.
registry = SerializerRegistry(plugins=_entry_points)

dumps = registry.dumps
loads = registry.loads
register = registry.register
unregister = registry.unregister


def register_json() -> None:
    """Register JSON, the default."""
    registry.register('json', _json_encode, _json_decode, 'application/json', 'utf-8')


def register_pickle() -> None:
    """Register pickle, of which nothing is accepted unless asked for."""
    registry.register('pickle', _pickle_dumps, unpickle, 'application/x-python-serialize', 'binary')


def register_yaml() -> None:
    """Register YAML, which needs the extra `yaml`."""
    registry.register('yaml', yaml_dumps, yaml_loads, 'application/x-yaml', 'utf-8')


def register_msgpack() -> None:
    """Register MessagePack, which needs the extra `msgpack`."""
    registry.register('msgpack', msgpack_dumps, msgpack_loads, 'application/x-msgpack', 'binary')


def enable_insecure_serializers(choices: Iterable[str] | None = NOTSET) -> None:
    """Accept serializers also where a consumer has no accept list.

    Args:
        choices: their names; by default pickle, yaml and msgpack.

    Raises:
        SerializerNotInstalled: one of the names is unknown (also a `KeyError`); nothing changed.
    """
    names = _INSECURE if choices is NOTSET else _names(choices, 'choices')
    registry._disabled_content_types -= _types(names)


def disable_insecure_serializers(allowed: Iterable[str] | None = NOTSET) -> None:
    """Refuse every serializer where a consumer has no accept list, but for some.

    Args:
        allowed: the names of those still accepted; by default json.  None: none at all.

    Raises:
        SerializerNotInstalled: one of the names is unknown (also a `KeyError`); nothing changed.
    """
    names = ('json',) if allowed is NOTSET else _names(allowed, 'allowed')
    registry._load_plugins()  # those found later would be accepted
    kept = _types(names)
    registry._disabled_content_types |= {*registry._decoders}
    registry._disabled_content_types -= kept


def _names(given: Iterable[str] | None, argument: str) -> Iterable[str]:
    if isinstance(given, str):
        raise TypeError(f'{argument} is a list of names, not a text: write [{given!r}]')
    return given or ()


def _types(names: Iterable[str]) -> set[str]:
    return {name if '/' in name else registry._type_of(name) for name in names}


@overload
def prepare_accept_content(
    content_types: None, name_to_type: Mapping[str, str] | None = None
) -> None: ...
@overload
def prepare_accept_content(
    content_types: Iterable[str], name_to_type: Mapping[str, str] | None = None
) -> set[str]: ...
def prepare_accept_content(
    content_types: Iterable[str] | None, name_to_type: Mapping[str, str] | None = None
) -> set[str] | None:
    """Turn an accept list into the set of content types that `loads` takes.

    Args:
        content_types: serializer names and content types; None for no list.
        name_to_type: the content type of each name, instead of those registered.

    Raises:
        SerializerNotInstalled: there is no serializer of one of the names.
        TypeError: it is a text, or holds something that is none.
    """
    if content_types is None:
        return None
    table = registry.name_to_type if name_to_type is None else name_to_type
    accepted = set()
    for name in _names(content_types, 'accept'):
        if not isinstance(name, str):
            raise TypeError(f'accept names serializers and content types, not {name!r}')
        if '/' in name:
            accepted.add(name)
            continue
        try:
            accepted.add(table[name])
        except KeyError:
            raise unknown_name('serializer', name, table) from None
    return accepted


def parenthesize_alias(first: str, second: str) -> str:
    """Return `'first (second)'`."""
    return f'{first} ({second})'


register_json()
register_pickle()
register_yaml()
register_msgpack()
registry._set_default_serializer('json')
for _name in _INSECURE:
    registry.disable(_name)
