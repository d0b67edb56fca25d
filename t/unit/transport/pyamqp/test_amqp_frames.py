from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from struct import pack
from typing import Any

import pytest
from amqp import spec
from amqp.exceptions import FrameSyntaxError, UnexpectedFrame

from kombu.transport.pyamqp._frames import (
    HEARTBEAT,
    Content,
    FrameParser,
    Method,
    content_frames,
    method_frame,
    publish_arguments,
)
from kombu.transport.pyamqp._tables import (
    decode_properties,
    decode_table,
    encode_properties,
    encode_table,
    shortstr,
)

DELIVER = method_frame(1, spec.Basic.Deliver, b'arguments')


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return pack('>BHI', kind, channel, len(payload)) + payload + bytes([end])


def header(size: int, properties: bytes = b'\0\0') -> bytes:
    return pack('>HHQ', 60, 0, size) + properties


class TestParser:
    def test_method(self) -> None:
        (method,) = FrameParser().feed(method_frame(7, (10, 20), b'abc'))
        assert method == Method(7, (10, 20), method.payload)
        assert method.payload[4:] == b'abc'

    def test_heartbeat(self) -> None:
        """It is no method, but it is a sign of life."""
        parser = FrameParser()
        assert parser.feed(HEARTBEAT) == []
        assert parser.frames == 1

    def test_message(self) -> None:
        data = DELIVER + frame(2, 1, header(5)) + frame(3, 1, b'ab') + frame(3, 1, b'cde')
        (method,) = FrameParser().feed(data)
        assert (method.signature, method.body) == (spec.Basic.Deliver, b'abcde')

    def test_empty_message(self) -> None:
        (method,) = FrameParser().feed(DELIVER + frame(2, 1, header(0)))
        assert method.body == b''

    def test_channels_may_be_mixed(self) -> None:
        data = (
            DELIVER
            + method_frame(2, (50, 11), b'')
            + frame(2, 1, header(1))
            + HEARTBEAT
            + frame(3, 1, b'x')
        )
        assert [method.channel for method in FrameParser().feed(data)] == [2, 1]

    def test_in_two_pieces(self) -> None:
        data = DELIVER + frame(2, 1, header(100_000)) + frame(3, 1, b'x' * 100_000)
        for cut in (1, 6, 7, 8, 20, 50, len(data) - 1):
            parser = FrameParser()
            assert parser.feed(data[:cut]) == []
            assert len(parser.feed(data[cut:])) == 1

    def test_forget(self) -> None:
        """The rest of a message on a channel that was closed does not confuse the next one."""
        parser = FrameParser()
        parser.feed(DELIVER)
        parser.forget(1)
        parser.forget(1)
        assert len(parser.feed(DELIVER + frame(2, 1, header(0)))) == 1

    @pytest.mark.parametrize(
        ('data', 'complaint'),
        [
            (b'HTTP/1.1 400 Bad Request', 'no AMQP frame'),
            (b'HTTP/1.1', 'no AMQP frame'),
            (b'AMQP\0\0\x09\x00', 'does not speak AMQP 0-9-1 but 0.9.0'),
            (frame(1, 1, b'abcd', end=0), 'no AMQP frame'),
            (frame(4, 1, b'abcd'), 'no AMQP frame'),
            (frame(2, 1, header(0)), 'header on channel 1 belongs to no method'),
            (frame(3, 1, b'x'), 'body on channel 1 belongs to no method'),
            (DELIVER + frame(3, 1, b'x'), 'body on channel 1 belongs to no method'),
            (DELIVER + DELIVER, 'interrupted'),
            (DELIVER + frame(2, 1, header(1)) + frame(3, 1, b'xy'), 'longer than announced'),
        ],
    )
    def test_disorder(self, data: bytes, complaint: str) -> None:
        with pytest.raises(UnexpectedFrame, match=complaint):
            FrameParser().feed(data)

    def test_limit(self) -> None:
        """What is larger than agreed on is not waited for."""
        parser = FrameParser()
        parser.limit = 100
        with pytest.raises(UnexpectedFrame, match='no AMQP frame'):
            parser.feed(pack('>BHI', 1, 1, 1000) + b'x')


class TestWriting:
    def test_small_message_in_one_piece(self) -> None:
        assert len(content_frames(DELIVER, 1, Content(b'x' * 1000), 4096)) == 1

    def test_large_body_is_not_copied(self) -> None:
        body = b'x' * 100_000
        assert any(piece is body for piece in content_frames(DELIVER, 1, Content(body), 131_072))

    def test_no_limit(self) -> None:
        pieces = content_frames(DELIVER, 1, Content(b'x' * 100_000), 0)
        (method,) = FrameParser().feed(b''.join(pieces))
        assert method.body == b'x' * 100_000

    @pytest.mark.parametrize('body', [bytearray(b'ab'), memoryview(b'ab'), 'ab', b'ab'])
    def test_kinds_of_bodies(self, body: Any) -> None:
        (method,) = FrameParser().feed(b''.join(content_frames(DELIVER, 1, Content(body), 4096)))
        assert method.body == b'ab'

    def test_headers_that_do_not_fit(self) -> None:
        """The properties of a message have to fit into a frame (AMQP 0-9-1, 4.2.6.1)."""
        message = Content(b'x', application_headers={'h': 'x' * 5000})
        with pytest.raises(FrameSyntaxError, match='headers take 50'):
            content_frames(DELIVER, 1, message, 4096)

    def test_publish(self) -> None:
        assert publish_arguments('e', 'key', mandatory=True, immediate=False) == b'\0\0\1e\3key\1'
        assert publish_arguments(None, None, mandatory=False, immediate=True) == b'\0\0\0\0\2'


class TestTables:
    @pytest.mark.parametrize(
        ('value', 'complaint'),
        [
            (2**63, "'key'.*9223372036854775808"),
            (object(), "'key'.*object"),
            (Decimal('NaN'), 'not a finite number'),
            (Decimal(2**31), "'key'"),
            ({1, 2}, "'key'.*set"),
            ([object()], "'key'.*object"),
        ],
    )
    def test_impossible_values(self, value: Any, complaint: str) -> None:
        with pytest.raises(FrameSyntaxError, match=complaint):
            encode_table({'key': value})

    def test_long_key(self) -> None:
        with pytest.raises(FrameSyntaxError, match='300 bytes'):
            encode_table({'k' * 300: 1})

    def test_subclasses(self) -> None:
        """What is a kind of text, number or mapping is written as such."""

        class Text(str):
            __slots__ = ()

        class Table(dict[str, Any]):
            pass

        class Number(int):
            pass

        table = {Text('k'): Text('v'), 't': Table(n=Number(5))}
        assert decode_table(encode_table(table), 0)[0] == {'k': 'v', 't': {'n': 5}}

    def test_aware_times(self) -> None:
        """Times travel as UTC, without saying so."""
        now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        assert decode_table(encode_table({'t': now}), 0)[0]['t'] == now.replace(tzinfo=None)

    def test_time_out_of_range(self) -> None:
        raw = b'\x01tT' + pack('>Q', 2**63)
        assert decode_table(pack('>I', len(raw)) + raw, 0)[0]['t'] == 2**63

    def test_integral_decimal(self) -> None:
        assert decode_table(encode_table({'n': Decimal('1E+3')}), 0)[0]['n'] == 1000

    def test_unknown_type(self) -> None:
        with pytest.raises(FrameSyntaxError, match="'Z'"):
            decode_table(pack('>I', 3) + b'\x01kZ', 0)

    def test_key_that_is_no_text(self) -> None:
        assert decode_table(pack('>I', 3) + b'\x01\xffV', 0)[0] == {b'\xff': None}


class TestProperties:
    def test_none_is_left_out(self) -> None:
        assert encode_properties({'priority': None, 'no_such': 1}) == b'\0\0'

    @pytest.mark.parametrize(
        ('name', 'value'),
        [('priority', 300), ('correlation_id', 5), ('timestamp', 'now'), ('reply_to', 'x' * 256)],
    )
    def test_impossible_values(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f'the property {name} cannot be'):
            encode_properties({name: value})

    def test_header_error_is_told_as_it_is(self) -> None:
        with pytest.raises(FrameSyntaxError, match="'h'"):
            encode_properties({'application_headers': {'h': object()}})

    @pytest.mark.parametrize('raw', [b'', b'\x80', b'\x80\x00', b'\x20\x00\0\0\0\x05', b'\x08\0'])
    def test_cut_short(self, raw: bytes) -> None:
        with pytest.raises(FrameSyntaxError, match='malformed'):
            decode_properties(raw, 0)

    def test_shortstr(self) -> None:
        assert shortstr(None) == b'\0'
        assert shortstr(b'ab') == b'\2ab'
        assert shortstr('é') == b'\2\xc3\xa9'
