"""Frames, tables and properties of AMQP, held against py-amqp's own."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from struct import pack
from typing import Any

from amqp import spec
from amqp.serialization import decode_properties_basic, dumps, loads
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.pyamqp._frames import Content, FrameParser, content_frames, method_frame
from kombu.transport.pyamqp._tables import (
    decode_properties,
    decode_table,
    encode_properties,
    encode_table,
)

names = st.text(max_size=20)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(-(10**6), 10**6, places=3),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
tables = st.dictionaries(names, values, max_size=6)

shortstrs = st.text(max_size=60)
octets = st.integers(0, 255)
properties = st.fixed_dictionaries(
    {},
    optional={
        'content_type': shortstrs,
        'content_encoding': shortstrs,
        'application_headers': tables,
        'delivery_mode': octets,
        'priority': octets,
        'correlation_id': shortstrs,
        'reply_to': shortstrs,
        'expiration': shortstrs,
        'message_id': shortstrs,
        'timestamp': st.integers(0, 2**64 - 1),
        'type': shortstrs,
        'user_id': shortstrs,
        'app_id': shortstrs,
        'cluster_id': shortstrs,
    },
)


@given(tables)
def test_tables_are_written_as_by_py_amqp(table: dict[str, Any]) -> None:
    assert encode_table(table) == dumps('F', (table,))


@given(tables)
def test_tables_are_read_as_by_py_amqp(table: dict[str, Any]) -> None:
    raw = dumps('F', (table,))
    (expected,), end = loads('F', raw, 0)
    assert decode_table(raw + b'rest', 0) == (expected, end)


@given(st.sampled_from('bBsUuIilLfd'), st.binary(min_size=8, max_size=8))
def test_numbers_are_read_as_by_py_amqp(kind: str, raw: bytes) -> None:
    """Those as well that it never writes."""
    item = b'\x01k' + kind.encode() + raw
    size = {'b': 1, 'B': 1, 's': 2, 'U': 2, 'u': 2, 'I': 4, 'i': 4, 'f': 4}.get(kind, 8)
    table = pack('>I', 3 + size) + item[: 3 + size]
    expected = loads('F', table, 0)[0][0]['k']
    found = decode_table(table, 0)[0]['k']
    assert found == expected or (found != found and expected != expected)


@given(properties)
def test_properties_are_written_as_by_py_amqp(given_properties: dict[str, Any]) -> None:
    assert (
        encode_properties(given_properties) == Content(**given_properties)._serialize_properties()
    )


@given(properties)
def test_properties_are_read_as_by_py_amqp(given_properties: dict[str, Any]) -> None:
    raw = encode_properties(given_properties)
    assert decode_properties(raw, 0) == decode_properties_basic(raw, 0)[0]


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-2000, max_value=2000, places=5)
)
def test_decimals_keep_their_digits(number: Decimal) -> None:
    assert str(decode_table(encode_table({'n': number}), 0)[0]['n']) == str(number)


messages = st.lists(
    st.tuples(st.integers(1, 3), st.binary(max_size=300), properties),
    max_size=6,
)


@given(messages, st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(64, 128))
def test_frames_survive_any_cut(sent: list[Any], cuts: list[int], limit: int) -> None:
    """Whatever the pieces in which the stream arrives, the same messages come out of it."""
    stream = b''
    expected = []
    for channel, body, given_properties in sent:
        given_properties.pop('application_headers', None)
        kept = {
            name: value[:3] if isinstance(value, str) else value
            for name, value in given_properties.items()
        }
        if len(encode_properties(kept)) + 20 > limit:
            kept = {}
        method = method_frame(channel, spec.Basic.Deliver, b'arguments')
        stream += b''.join(content_frames(method, channel, Content(body, **kept), limit))
        expected.append((channel, body, kept))
    parser = FrameParser()
    parser.limit = limit
    found = []
    at = index = 0
    while at < len(stream):
        size = cuts[index % len(cuts)]
        found += parser.feed(stream[at : at + size])
        at += size
        index += 1
    assert [
        (m.channel, m.body, Content.received(m.header or b'', m.body).properties) for m in found
    ] == expected
