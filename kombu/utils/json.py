"""JSON that also carries bytes, dates, times, UUIDs and decimals.

Such a value travels as an object of exactly two keys, `{"__type__": TAG, "__value__": VALUE}`, and
comes back as what it was.  The tags are a wire format that every release since 5.3 reads:

==========  ==============================================  ======================
tag         value                                           for
==========  ==============================================  ======================
`bytes`     the text they are in UTF-8                      `bytes` that are UTF-8
`base64`    standard base64                                 all other `bytes`
`datetime`  ISO 8601                                        `datetime.datetime`
`date`      ISO 8601                                        `datetime.date`
`time`      ISO 8601                                        `datetime.time`
`uuid`      `{"hex": 32 digits}`, perhaps with `"version"`  `uuid.UUID`
`decimal`   its `str`                                       `decimal.Decimal`
==========  ==============================================  ======================

A tag is a key into a table and nothing else: reading one never imports anything.  `register_type`
adds to the table.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from kombu.utils.text import fmatch_best

__all__ = (
    'JSONEncoder',
    'decode',
    'dumps',
    'encode',
    'loads',
    'object_hook',
    'register_type',
    'textual_types',
)

T = TypeVar('T')
EncodedT = TypeVar('EncodedT')
EncoderT = Callable[[T], EncodedT]
DecoderT = Callable[[EncodedT], T]

#: Further classes whose instances are written as their `str`.
textual_types: tuple[type, ...] = ()

_encoders: dict[type, tuple[str | None, Callable[[Any], Any]]] = {}
_decoders: dict[str, Callable[[Any], Any]] = {}

_SPACE = ' \t\n\r'


def _same(value: Any) -> Any:
    return value


def register_type(
    t: type[T],
    marker: str | None,
    encoder: EncoderT[T, EncodedT],
    decoder: DecoderT[EncodedT, T] | None = _same,
) -> None:
    """Let JSON carry the instances of a class.

    Args:
        t: the class; subclasses without an entry of their own are written like it.
        marker: the tag on the wire, or None to write what `encoder` returns untagged.
        encoder: turns an instance into something that JSON, or another entry, can write.
        decoder: turns that back into an instance; None where this process only writes.
    """
    _encoders[t] = (marker, encoder)
    if marker is not None and decoder is not None:
        _decoders[marker] = decoder


def _entry(o: Any) -> tuple[str | None, Callable[[Any], Any]] | None:
    """Find how to write `o`: by its class, its nearest base, or an abstract class it counts as."""
    found = _encoders.get(type(o))
    if found is not None:
        return found
    for base in type(o).__mro__:
        found = _encoders.get(base)
        if found is not None:
            return found
    for t, entry in tuple(_encoders.items()):
        if isinstance(o, t):
            return entry
    return None


def _is_lazy_text(o: Any) -> bool:
    """Tell whether `o` is one of `textual_types`, or a lazily translated text of Django."""
    if isinstance(o, textual_types):
        return True
    # Whoever holds such a text has imported its module, so there is no need for us to.
    lazy_text = getattr(sys.modules.get('django.utils.functional'), 'Promise', None)
    return lazy_text is not None and isinstance(o, lazy_text)


class JSONEncoder(json.JSONEncoder):
    """Write what `json` can, objects with a `__json__` method, and the types of `register_type`."""

    def default(self, o: Any) -> Any:
        """Return something that JSON can write instead of `o`.

        Raises:
            TypeError: nothing is known about objects of that class.
        """
        reduce = getattr(o, '__json__', None)
        if reduce is not None:
            return reduce()
        entry = _entry(o)
        if entry is not None:
            marker, encode = entry
            value = encode(o)
            return value if marker is None else {'__type__': marker, '__value__': value}
        if _is_lazy_text(o):
            return str(o)
        return super().default(o)


def object_hook(o: dict[str, Any]) -> Any:
    """Return the value that a tagged object stands for, and any other object as it is.

    Raises:
        ValueError: the tag is not registered in this process.
    """
    if len(o) == 2 and '__type__' in o and '__value__' in o:
        marker = o['__type__']
        decode = _decoders.get(marker) if isinstance(marker, str) else None
        if decode is None:
            raise ValueError(_unknown_tag(marker))
        return decode(o['__value__'])
    return o


def _unknown_tag(marker: Any) -> str:
    # The sender chose it: it can be of any size.
    likely = isinstance(marker, str) and len(marker) <= 50
    best = fmatch_best(marker, _decoders) if likely else None
    hint = f' (did you mean {best!r}?)' if best else ''
    return (
        f'unknown JSON type tag {repr(marker)[:60]}{hint}: '
        'register it with kombu.utils.json.register_type in the process that reads it'
    )


_encoder = JSONEncoder()
_plain_decoder: Any = json.JSONDecoder()
_tagged_decoder: Any = json.JSONDecoder(object_hook=object_hook)


def _default(o: Any) -> Any:
    # By name, so that an application that replaces `JSONEncoder.default` is heard.
    return _encoder.default(o)


def _prepare_encode() -> Callable[[Any, int], Any] | None:
    """Make the accelerated encoder once; the standard library makes one for each call.

    It looks for no cycles while it writes: that state would be shared between threads.
    """
    make = getattr(json.encoder, 'c_make_encoder', None)
    if make is None:
        return None
    escape = json.encoder.encode_basestring_ascii
    try:
        prepared: Callable[[Any, int], Any] = make(
            None, _default, escape, None, ': ', ', ', False, False, True
        )
        if ''.join(prepared([{'a': None}, 'é', 0.5], 0)) == '[{"a": null}, "\\u00e9", 0.5]':
            return prepared
    except TypeError:
        pass  # another release of Python with another private signature
    return None


_chunks = _prepare_encode()


def encode(o: Any) -> str:
    """Write an object as JSON: `dumps` without its options.

    Raises:
        TypeError: it holds something that JSON cannot carry.
        ValueError: it contains itself.
        RecursionError: it is nested too deeply.
    """
    if _chunks is None:
        return _encoder.encode(o)
    try:
        return ''.join(_chunks(o, 0))
    except RecursionError:
        return _encoder.encode(o)  # says whether it is a cycle, or only too deep


def decode(s: str | bytes | bytearray | memoryview) -> Any:
    """Read an object from JSON, of which bytes are taken to be UTF-8: `loads` without its options.

    Raises:
        ValueError: it is not JSON, not UTF-8, or a tag's value is not what the tag says.
    """
    if type(s) is bytes:
        s = s.decode()
    elif not isinstance(s, str):
        s = _text(s)
    # Only an object whose keys may spell a tag, in plain letters or in escapes, needs the hook.
    decoder = _tagged_decoder if '__type__' in s or '\\u00' in s else _plain_decoder
    try:
        value, end = decoder.scan_once(s, 0)
    except StopIteration:
        return decoder.decode(s)  # white space in front, or nothing that is JSON
    if end != len(s) and s[end:].strip(_SPACE):
        return decoder.decode(s)  # raises: it knows line and column
    return value


def _text(s: Any) -> str:
    if isinstance(s, (bytes, bytearray, memoryview)):
        return str(s, 'utf-8')
    raise TypeError(f'JSON is text or bytes, not {type(s).__name__}')


_json_dumps = json.dumps
_json_loads = json.loads
_object_hook = object_hook


def dumps(
    s: Any,
    _dumps: Callable[..., str] = _json_dumps,
    cls: type[json.JSONEncoder] = JSONEncoder,
    default_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> str:
    """Write an object as JSON.

    Args:
        s: the object.
        _dumps: what writes it, instead of `json.dumps`.
        cls: the encoder's class.
        default_kwargs: keyword arguments for `_dumps`, which `kwargs` override.
        **kwargs: keyword arguments for `_dumps`.

    Raises:
        TypeError: it holds something that JSON cannot carry.
        ValueError: it contains itself.
        RecursionError: it is nested too deeply.
    """
    if not kwargs and not default_kwargs and cls is JSONEncoder and _dumps is _json_dumps:
        return encode(s)
    return _dumps(s, cls=cls, **{**(default_kwargs or {}), **kwargs})


def loads(
    s: str | bytes | bytearray | memoryview,
    _loads: Callable[..., Any] = _json_loads,
    decode_bytes: bool = True,
    object_hook: Callable[[dict[str, Any]], Any] | None = object_hook,
) -> Any:
    """Read an object from JSON.

    Args:
        s: the text, or its bytes.
        _loads: what reads it, instead of `json.loads`.
        decode_bytes: take bytes to be UTF-8; otherwise `_loads` gets them as they are, and finds
            out by itself whether they are UTF-8, 16 or 32.
        object_hook: called with each JSON object, and returns what to put in its place.

    Raises:
        ValueError: it is not JSON, not UTF-8, or a tag's value is not what the tag says.
    """
    if decode_bytes and object_hook is _object_hook and _loads is _json_loads:
        return decode(s)
    if isinstance(s, memoryview):
        s = s.tobytes()
    if decode_bytes and not isinstance(s, str):
        s = _text(s)
    return _loads(s, object_hook=object_hook)


def _encode_bytes(o: bytes) -> dict[str, str]:
    try:
        return {'__type__': 'bytes', '__value__': o.decode()}
    except UnicodeDecodeError:
        return {'__type__': 'base64', '__value__': b64encode(o).decode('ascii')}


def _decode_datetime(value: str) -> datetime:
    # Python 3.10 does not read the Z that older releases wrote.
    return datetime.fromisoformat(f'{value[:-1]}+00:00' if value[-1:] == 'Z' else value)


register_type(bytes, None, _encode_bytes)
_decoders['bytes'] = str.encode
_decoders['base64'] = lambda value: b64decode(value, validate=True)
register_type(datetime, 'datetime', datetime.isoformat, _decode_datetime)
register_type(date, 'date', date.isoformat, lambda value: _decode_datetime(value).date())
register_type(time, 'time', time.isoformat, time.fromisoformat)
register_type(UUID, 'uuid', lambda o: {'hex': o.hex}, lambda value: UUID(**value))
register_type(Decimal, 'decimal', str, Decimal)
