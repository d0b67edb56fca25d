"""Codecs: what goes in comes out, and what was never put in is an error of ours."""

from __future__ import annotations

import json as stdlib_json
import math
from datetime import timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kombu.compression import compress, decompress, encoders
from kombu.exceptions import ContentDisallowed, DecodeError, EncodeError
from kombu.message import Message
from kombu.serialization import dumps, loads, registry
from kombu.utils import json

JSON = 'application/json'
EVERY_TYPE = frozenset(registry.type_to_name)

#: JavaScript and msgpack have no larger ones.
small_ints = st.integers(-(2**63), 2**64 - 1)
utf8 = st.text(st.characters(exclude_categories=['Cs']))
plain = st.none() | st.booleans() | small_ints | st.floats(allow_nan=False) | utf8


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(utf8, inner), max_leaves=12
    )


tagged = st.one_of(
    st.binary(),
    st.datetimes(timezones=st.just(timezone.utc) | st.none()),
    st.dates(),
    st.times(),
    st.uuids(),
    st.decimals(allow_nan=False),
)

#: Two keys that make an object a tag: an application that writes them gets what it asks for.
reserved = {'__type__', '__value__'}


def mentions_a_tag(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == reserved or any(map(mentions_a_tag, value.values()))
    return isinstance(value, list) and any(map(mentions_a_tag, value))


class TestJSON:
    @given(nested(plain | tagged))
    def test_comes_back(self, value: Any) -> None:
        assume(not mentions_a_tag(value))
        assert json.loads(json.dumps(value)) == value

    @given(nested(plain | st.floats() | st.integers() | st.text()))
    def test_written_as_the_standard_library_does(self, value: Any) -> None:
        assert json.dumps(value) == stdlib_json.dumps(value)

    @given(nested(plain), st.sampled_from([None, 1, '\t']), st.text(' \t\n\r'))
    def test_reads_what_the_standard_library_writes(
        self, value: Any, indent: Any, space: str
    ) -> None:
        assume(not mentions_a_tag(value))
        text = space + stdlib_json.dumps(value, indent=indent, ensure_ascii=False) + space
        assert json.loads(text) == value
        assert json.loads(text.encode()) == value

    @given(st.text())
    def test_reads_exactly_what_the_standard_library_reads(self, text: str) -> None:
        try:
            expected = stdlib_json.loads(text, object_hook=json.object_hook)
        except (ValueError, RecursionError) as exc:
            with pytest.raises(type(exc)):
                json.loads(text)
        else:
            read = json.loads(text)
            assert read == expected or (math.isnan(read) and math.isnan(expected))

    @given(nested(plain), st.sampled_from(['__type__', '\\u005f_type__', '__typ\\u0065__']))
    def test_tags_are_found_however_they_are_spelt(self, value: Any, key: str) -> None:
        """Reading without the hook is only a shortcut."""
        text = f'[{stdlib_json.dumps(value)}, {{"{key}": "decimal", "__value__": "1.50"}}]'
        assume(not mentions_a_tag(value))
        assert json.loads(text) == [value, Decimal('1.50')]


class TestSerializers:
    @given(st.text() | st.binary())
    def test_text_and_bytes_come_back(self, body: Any) -> None:
        try:
            content_type, encoding, payload = dumps(body)
        except EncodeError:
            with pytest.raises(UnicodeEncodeError):
                body.encode()
        else:
            assert isinstance(payload, bytes)
            assert loads(payload, content_type, encoding) == body

    @pytest.mark.parametrize('name', ['json', 'pickle', 'yaml', 'msgpack'])
    @given(value=nested(plain))
    def test_plain_data_comes_back(self, name: str, value: Any) -> None:
        assume(not mentions_a_tag(value))
        content_type, encoding, payload = dumps(value, name)
        wire = payload.encode() if isinstance(payload, str) else payload
        assert loads(wire, content_type, encoding, accept={content_type}) == value

    @given(
        st.binary(max_size=60),
        st.sampled_from(sorted(EVERY_TYPE - {'application/x-python-serialize'}))
        | st.sampled_from(['text/plain', 'application/data', 'x/y'])
        | st.none(),
        st.sampled_from(['utf-8', 'binary', 'ascii', 'zlib', 'hex', 'idna', 'utf-7', None])
        | st.text(),
    )
    def test_any_bytes_are_read_or_refused(self, body: bytes, content_type: Any, enc: Any) -> None:
        try:
            loads(body, content_type, enc, accept=EVERY_TYPE)
        except (DecodeError, ContentDisallowed):
            pass

    @given(st.binary(max_size=20), st.text(), st.sets(st.text()))
    def test_nothing_is_decoded_that_is_not_accepted(
        self, body: bytes, content_type: str, accept: set[str]
    ) -> None:
        decoded: list[Any] = []
        registry._decoders[content_type] = decoded.append
        try:
            loads(body, content_type, 'binary', accept=accept)
        except ContentDisallowed:
            assert content_type not in accept
            assert not decoded
        finally:
            registry._decoders.pop(content_type)
        if decoded:
            assert content_type in accept or content_type in {
                'application/data',
                'application/text',
            }


class TestCompression:
    @pytest.mark.parametrize('name', encoders())
    @given(body=st.binary() | st.binary(min_size=1).map(lambda b: b * 50))
    def test_comes_back(self, name: str, body: bytes) -> None:
        assert decompress(*compress(body, name), max_size=len(body)) == body

    @pytest.mark.parametrize('name', encoders())
    @given(data=st.data())
    def test_any_bytes_are_read_or_refused(self, name: str, data: st.DataObject) -> None:
        whole = compress(data.draw(st.binary(min_size=1)) * 10, name)[0]
        cut = data.draw(st.integers(0, len(whole)))
        broken = whole[:cut] + data.draw(st.binary(max_size=8)) + whole[cut:]
        try:
            assert len(decompress(broken, name, max_size=5000)) <= 5000
        except DecodeError:
            pass


class TestMessage:
    @given(nested(plain), st.sampled_from([None, *encoders()]))
    def test_body_on_the_wire_to_payload(self, value: Any, compression: str | None) -> None:
        assume(not mentions_a_tag(value))
        content_type, encoding, body = dumps(value, 'json')
        headers = {}
        if compression:
            body, headers['compression'] = compress(body, compression)
        received = Message(
            body, content_type=content_type, content_encoding=encoding, headers=headers
        )
        assert received.payload == value

    @given(st.binary(), st.none() | st.text(), st.dictionaries(st.text(), st.text()))
    def test_no_message_is_worse_than_a_decode_error(
        self, body: bytes, encoding: str | None, headers: dict[str, str]
    ) -> None:
        headers.setdefault('compression', 'zlib')
        received = Message(body, 1, JSON, encoding, headers=headers)
        repr(received)
        with pytest.raises((DecodeError, LookupError)):
            received.decode()
        assert received.body == body
