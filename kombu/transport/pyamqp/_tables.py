"""Field tables and basic properties, to bytes and back.

The types are those of RabbitMQ's errata (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3),
written with the same letters that py-amqp chooses, so that the bytes are the same whoever encodes
them.  Encoding and decoding go by one look-up in a table for each value: headers are the larger
part of the work that a message takes.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Any

from amqp.exceptions import FrameSyntaxError

__all__ = (
    'PROPERTY_NAMES',
    'decode_properties',
    'decode_table',
    'encode_properties',
    'encode_table',
    'shortstr',
)

_u8 = Struct('>B')
_u16 = Struct('>H')
_u32 = Struct('>I')
_i32 = Struct('>i')
_u64 = Struct('>Q')

_tagged_i32 = Struct('>ci').pack
_tagged_i64 = Struct('>cq').pack
_tagged_f64 = Struct('>cd').pack
_tagged_u64 = Struct('>cQ').pack
_tagged_size = Struct('>cI').pack
_tagged_decimal = Struct('>cBi').pack

#: A short string has one octet for its length (AMQP 0-9-1, 4.2.5.3).
MAX_SHORTSTR = 255
#: Names of table fields kept in either form: those of headers are the same again and again.
KEYS = 1024
#: Integers up to this, either way, are written in 32 bits.
MAX_INT32 = 2147483647


def shortstr(value: str | bytes | None, what: str = 'value') -> bytes:
    """Encode a short string; `what` names it in the error for one that is too long."""
    raw = value.encode('utf-8', 'surrogatepass') if isinstance(value, str) else value or b''
    if len(raw) > MAX_SHORTSTR:
        raise ValueError(f'{what} is {len(raw)} bytes long, AMQP allows {MAX_SHORTSTR}')
    return _u8.pack(len(raw)) + raw


# -- encoding


def _encode_str(value: str) -> bytes:
    raw = value.encode('utf-8', 'surrogatepass')
    return _tagged_size(b'S', len(raw)) + raw


def _encode_bytes(value: bytes) -> bytes:
    return _tagged_size(b'S', len(value)) + value


def _encode_bool(value: bool) -> bytes:
    return b't\x01' if value else b't\x00'


def _encode_int(value: int) -> bytes:
    if -MAX_INT32 <= value <= MAX_INT32:
        return _tagged_i32(b'I', value)
    return _tagged_i64(b'L', value)


def _encode_float(value: float) -> bytes:
    return _tagged_f64(b'd', value)


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError('not a finite number')
    scaled = int(''.join(map(str, digits)))
    if exponent > 0:
        scaled, exponent = scaled * 10**exponent, 0
    return _tagged_decimal(b'D', -exponent, -scaled if sign else scaled)


def _encode_datetime(value: datetime) -> bytes:
    return _tagged_u64(b'T', timegm(value.utctimetuple()))


def _encode_dict(value: Mapping[Any, Any]) -> bytes:
    return b'F' + encode_table(value)


def _encode_list(values: list[Any] | tuple[Any, ...]) -> bytes:
    parts = []
    value: Any = None
    try:
        for value in values:
            encode = _ENCODERS.get(type(value)) or _encoder_for(value)
            parts.append(encode(value))
    except (StructError, ValueError) as exc:
        raise _impossible(value, exc) from exc
    raw = b''.join(parts)
    return _tagged_size(b'A', len(raw)) + raw


def _encode_none(value: None) -> bytes:
    return b'V'


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    str: _encode_str,
    bytes: _encode_bytes,
    bool: _encode_bool,
    int: _encode_int,
    float: _encode_float,
    Decimal: _encode_decimal,
    datetime: _encode_datetime,
    dict: _encode_dict,
    list: _encode_list,
    tuple: _encode_list,
    type(None): _encode_none,
}


def _encoder_for(value: Any) -> Callable[[Any], bytes]:
    """Find the encoder of a subclass of one of the types above."""
    for kind, encode in _ENCODERS.items():
        if isinstance(value, kind):
            return encode
    raise FrameSyntaxError(f'a {type(value).__name__} cannot be put into an AMQP table: {value!r}')


def _impossible(value: Any, reason: Exception, key: Any = None) -> FrameSyntaxError:
    where = '' if key is None else f'{key!r}: '
    return FrameSyntaxError(f'{where}{value!r} cannot be put into an AMQP table: {reason}')


@lru_cache(KEYS)
def _encode_key(key: str | bytes) -> bytes:
    return shortstr(key, 'the name of a table field')


def encode_table(table: Mapping[Any, Any]) -> bytes:
    """Encode a field table.

    Raises:
        FrameSyntaxError: a value has a type that AMQP has no word for, or is out of range, or a key
            is too long.
    """
    parts = []
    key: Any = None
    value: Any = None
    encoders = _ENCODERS
    try:
        for key, value in table.items():
            parts.append(_encode_key(key))
            encode = encoders.get(type(value)) or _encoder_for(value)
            parts.append(encode(value))
    except FrameSyntaxError as exc:
        raise FrameSyntaxError(f'{key!r}: {exc.message}') from exc
    except (StructError, ValueError) as exc:
        raise _impossible(value, exc, key) from exc
    raw = b''.join(parts)
    return _u32.pack(len(raw)) + raw


# -- decoding


# Text and bytes travel under the same letter: what is no text is bytes.


def _decode_str(buf: bytes, at: int) -> tuple[Any, int]:
    start = at + 4
    end = start + _u32.unpack_from(buf, at)[0]
    raw = buf[start:end]
    try:
        return raw.decode('utf-8', 'surrogatepass'), end
    except UnicodeDecodeError:
        return raw, end


def _decode_bytes(buf: bytes, at: int) -> tuple[Any, int]:
    start = at + 4
    end = start + _u32.unpack_from(buf, at)[0]
    return buf[start:end], end


def _decode_bool(buf: bytes, at: int) -> tuple[Any, int]:
    return buf[at] != 0, at + 1


def _decode_decimal(buf: bytes, at: int) -> tuple[Any, int]:
    return Decimal(_i32.unpack_from(buf, at + 1)[0]).scaleb(-buf[at]), at + 5


def _decode_time(buf: bytes, at: int) -> tuple[Any, int]:
    seconds = _u64.unpack_from(buf, at)[0]
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).replace(tzinfo=None), at + 8
    except (ValueError, OverflowError, OSError):  # out of range; no reason to lose the message
        return seconds, at + 8


def _decode_array(buf: bytes, at: int) -> tuple[Any, int]:
    end = at + 4 + _u32.unpack_from(buf, at)[0]
    at += 4
    items = []
    while at < end:
        decode = _DECODERS.get(buf[at])
        if decode is None:
            raise _unknown_type(buf[at])
        value, at = decode(buf, at + 1)
        items.append(value)
    return items, at


def _decode_none(buf: bytes, at: int) -> tuple[Any, int]:
    return None, at


def _number(format: str) -> Callable[[bytes, int], tuple[Any, int]]:
    """Make the decoder of one of the number types."""
    packed = Struct(format)
    unpack, size = packed.unpack_from, packed.size

    def decode(buf: bytes, at: int) -> tuple[Any, int]:
        return unpack(buf, at)[0], at + size

    return decode


@lru_cache(KEYS)
def _decode_key(raw: bytes) -> str | bytes:
    try:
        return raw.decode('utf-8', 'surrogatepass')
    except UnicodeDecodeError:
        return raw


def decode_table(buf: bytes, at: int) -> tuple[dict[Any, Any], int]:
    """Decode the field table that begins at offset `at`; return it with the offset of what follows.

    Raises:
        FrameSyntaxError: it is no table.
    """
    end = at + 4 + _u32.unpack_from(buf, at)[0]
    at += 4
    table = {}
    decoders = _DECODERS
    while at < end:
        start = at + 1
        at = start + buf[at]
        decode = decoders.get(buf[at])
        if decode is None:
            raise _unknown_type(buf[at])
        table[_decode_key(buf[start:at])], at = decode(buf, at + 1)
    return table, at


_DECODERS: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    ord('S'): _decode_str,
    ord('x'): _decode_bytes,
    ord('t'): _decode_bool,
    ord('b'): _number('>b'),
    ord('B'): _number('>B'),
    ord('s'): _number('>h'),
    ord('U'): _number('>h'),
    ord('u'): _number('>H'),
    ord('I'): _number('>i'),
    ord('i'): _number('>I'),
    ord('l'): _number('>q'),
    ord('L'): _number('>q'),
    ord('f'): _number('>f'),
    ord('d'): _number('>d'),
    ord('D'): _decode_decimal,
    ord('T'): _decode_time,
    ord('F'): decode_table,
    ord('A'): _decode_array,
    ord('V'): _decode_none,
}


def _unknown_type(letter: int) -> FrameSyntaxError:
    return FrameSyntaxError(f'the type {chr(letter)!r} of a table field is not known')


# -- properties


def _encode_octet(value: Any) -> bytes:
    return _u8.pack(value)


def _encode_timestamp(value: Any) -> bytes:
    return _u64.pack(value)


def _decode_shortstr(buf: bytes, at: int) -> tuple[Any, int]:
    start = at + 1
    end = start + buf[at]
    return buf[start:end].decode('utf-8', 'surrogatepass'), end


#: Flag, name, encoder and decoder of the properties of a message (AMQP 0-9-1, 1.8 and 4.2.6.1), in
#: the order of the wire.
_PROPERTIES: tuple[tuple[int, str, Callable[[Any], bytes], Callable[..., tuple[Any, int]]], ...] = (
    (0x8000, 'content_type', shortstr, _decode_shortstr),
    (0x4000, 'content_encoding', shortstr, _decode_shortstr),
    (0x2000, 'application_headers', encode_table, decode_table),
    (0x1000, 'delivery_mode', _encode_octet, _number('>B')),
    (0x0800, 'priority', _encode_octet, _number('>B')),
    (0x0400, 'correlation_id', shortstr, _decode_shortstr),
    (0x0200, 'reply_to', shortstr, _decode_shortstr),
    (0x0100, 'expiration', shortstr, _decode_shortstr),
    (0x0080, 'message_id', shortstr, _decode_shortstr),
    (0x0040, 'timestamp', _encode_timestamp, _number('>Q')),
    (0x0020, 'type', shortstr, _decode_shortstr),
    (0x0010, 'user_id', shortstr, _decode_shortstr),
    (0x0008, 'app_id', shortstr, _decode_shortstr),
    (0x0004, 'cluster_id', shortstr, _decode_shortstr),
)


PROPERTY_NAMES = frozenset(name for _, name, _, _ in _PROPERTIES)


def encode_properties(properties: Mapping[str, Any]) -> bytes:
    """Encode the properties of a message; what is None, or no property of AMQP, is left out.

    Raises:
        ValueError: a value does not fit; the text tells which.
    """
    flags = 0
    parts = [b'']
    get = properties.get
    for flag, name, encode, _ in _PROPERTIES:
        value = get(name)
        if value is not None:
            flags |= flag
            try:
                parts.append(encode(value))
            except FrameSyntaxError:
                raise
            except (StructError, ValueError, TypeError, AttributeError) as exc:
                raise ValueError(f'the property {name} cannot be {value!r}: {exc}') from exc
    parts[0] = _u16.pack(flags)
    return b''.join(parts)


def decode_properties(buf: bytes, at: int) -> dict[str, Any]:
    """Decode the properties of a message from its header frame, from the flags at offset `at` on.

    Raises:
        FrameSyntaxError: they are malformed.
    """
    properties = {}
    try:
        flags = _u16.unpack_from(buf, at)[0]
        at += 2
        for flag, name, _, decode in _PROPERTIES:
            if flags & flag:
                properties[name], at = decode(buf, at)
    except (IndexError, StructError, UnicodeDecodeError) as exc:
        raise FrameSyntaxError(f'malformed message properties: {exc}') from exc
    return properties
