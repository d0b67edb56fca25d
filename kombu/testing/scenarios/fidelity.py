"""Fidelity: what arrives is what was sent."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import uuid
import warnings
from typing import Any

from kombu import compression
from kombu.exceptions import KombuError, UnknownArgumentWarning
from kombu.serialization import registry

from ..bench import Bench
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Fidelity',)

TEXTS = (
    '',
    'plain',
    'Grüße, Ελλάδα, 日本語, עברית',
    '\U0001f407\U0001f3ff e\u0301 \u202e right to left',
    'nul \x00 and controls \x01\x1f\x7f\x85\u2028',
    '"quoted" \\back\\ \r\n lines \t',
)

#: Values that JSON carries as they are.
PLAIN: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**53 + 1,
    1.5,
    -1e-7,
    [],
    {},
    [1, [2, [3, None]]],
    {'a': {'b': [1, {'c': 'ü'}]}},
    *TEXTS,
)

HEADERS: dict[str, Any] = {
    'text': 'Grüße',
    'empty': '',
    'int': 5,
    'negative': -5,
    'big': 2**40,
    'true': True,
    'false': False,
    'none': None,
    'float': 1.25,
    'dict': {'a': 1, 'b': {'c': 'x', 'd': [1, 'two']}},
    'list': [1, 'two', None, [3], {'four': 4}],
    'Ümlaut key': 1,
}

RICH_HEADERS: dict[str, Any] = {
    'bytes': b'\x00\xff bytes',
    'datetime': dt.datetime(2026, 11, 22, 16, 4, 5, tzinfo=dt.timezone.utc),
    'decimal': decimal.Decimal('1.10'),
    'huge': 2**70,
    'long': 'x' * 100_000,
}

PROPERTIES: dict[str, Any] = {
    'correlation_id': 'c-1',
    'reply_to': 'somewhere',
    'message_id': 'm-1',
    'type': 'a.type',
    'app_id': 'app',
}


def serializers() -> list[str]:
    """List the serializers that are installed."""
    names = []
    for name in sorted(set(registry._encoders)):
        try:
            registry.dumps({'a': 1}, name)
        except (KombuError, ImportError):
            continue
        names.append(name)
    return names


def compressions() -> list[str]:
    """List the compressions that are installed, by content type."""
    return sorted(set(compression.encoders()))


def carries(bench: Bench, queue: Any, body: Any, what: str, **options: Any) -> Any:
    """Check that a body arrives as it was sent; return the message."""
    accept = options.pop('accept', None)
    bench.publish(queue, body, **options)
    message = bench.take(queue, accept=accept)
    got = message.decode()
    if isinstance(got, memoryview):
        got = bytes(got)
    equal(got, body, what)
    equal(type(got), type(body), f'type of {what}')
    message.ack()
    return message


class Fidelity(Scenarios):
    """Bodies, headers and properties of every kind."""

    @scenario('fidelity')
    def test_fidelity_bytes(self, bench: Bench) -> None:
        """Bytes of any value and length, 0 B to 1 MB, arrive as they were sent"""
        queue = bench.queue(bench.channel())
        every = bytes(range(256))
        for size in (0, 1, 255, 256, 65535, 65536, 1 << 20):
            body = (every * (size // 256 + 1))[:size]
            carries(bench, queue, body, f'{size} bytes')

    @scenario('fidelity', seconds=50)
    def test_fidelity_large(self, bench: Bench) -> None:
        """A large body (16 MB, where the store can) arrives whole"""
        queue = bench.queue(bench.channel())
        block = hashlib.sha512(b'kombu').digest() * 1024
        body = (block * (bench.target.large // len(block) + 1))[: bench.target.large]
        bench.publish(queue, body)
        message = bench.take(queue, 30)
        got = message.body if not isinstance(message.body, str) else message.body.encode()
        equal((len(got), bytes(got) == body), (len(body), True), 'size, and whether all is alike')
        message.ack()

    @scenario('fidelity')
    def test_fidelity_values(self, bench: Bench) -> None:
        """Plain values arrive equal and of the same type"""
        queue = bench.queue(bench.channel())
        for value in PLAIN:
            carries(bench, queue, value, 'the value', serializer='json')

    @scenario('fidelity')
    def test_fidelity_text(self, bench: Bench) -> None:
        """Text arrives character by character, as JSON and as plain text"""
        queue = bench.queue(bench.channel())
        for text in TEXTS:
            carries(bench, queue, text, 'text as JSON', serializer='json')
            carries(
                bench,
                queue,
                text,
                'plain text',
                content_type='text/plain',
                content_encoding='utf-8',
            )

    @scenario('fidelity')
    def test_fidelity_rich_json(self, bench: Bench) -> None:
        """Dates, UUIDs and decimals come back through JSON as what they were"""
        queue = bench.queue(bench.channel())
        for value in (
            dt.datetime(2026, 11, 22, 16, 4, 5, 123456, tzinfo=dt.timezone.utc),
            dt.date(2026, 11, 22),
            dt.time(16, 4, 5),
            uuid.UUID('12345678123456781234567812345678'),
            decimal.Decimal('1.10'),
        ):
            carries(bench, queue, value, type(value).__name__, serializer='json')

    @scenario('fidelity')
    def test_fidelity_surrogates(self, bench: Bench) -> None:
        """Text that is not Unicode (lone surrogates) arrives whole or is refused when it is
        published"""
        queue = bench.queue(bench.channel())
        bad = 'lone \ud800 surrogate'
        ways: tuple[dict[str, Any], ...] = (
            {'serializer': 'json'},
            {'content_type': 'text/plain', 'content_encoding': 'utf-8'},
            {'headers': {'h': bad}},
            {'correlation_id': bad},
        )
        for options in ways:
            body = 'x' if 'headers' in options or 'correlation_id' in options else bad
            try:
                bench.publish(queue, body, **options)
            except (KombuError, ValueError):
                queue = queue(bench.channel())
                bench.empty(queue, f'although {sorted(options)} was refused')
                continue
            message = bench.take(queue)
            sent = (body, options.get('headers', {}).get('h'), options.get('correlation_id'))
            got = (
                message.decode(),
                message.headers.get('h'),
                message.properties.get('correlation_id'),
            )
            equal(got, sent, 'what was not refused')
            message.ack()

    @scenario('fidelity')
    def test_fidelity_serializers(self, bench: Bench) -> None:
        """Every serializer installed carries its values"""
        queue = bench.queue(bench.channel())
        value = {'a': [1, 2.5, None, True, 'ü'], 'b': {'c': 'x' * 5000}}
        names = serializers()
        check({'json', 'pickle', 'raw'} & set(names), f'installed: {names}')
        for name in names:
            body = b'\x00\xff' if name == 'raw' else value
            carries(bench, queue, body, f'a value through {name}', serializer=name, accept=[name])

    @scenario('fidelity')
    def test_fidelity_compression(self, bench: Bench) -> None:
        """Every compression installed carries text and bytes"""
        queue = bench.queue(bench.channel())
        names = compressions()
        check(names, 'no compression is installed')
        for name in names:
            for body in ('text ' * 5000, bytes(range(256)) * 500, '', b''):
                carries(bench, queue, body, f'a body through {name}', compression=name)

    @scenario('fidelity')
    def test_fidelity_headers(self, bench: Bench) -> None:
        """Headers arrive equal and of the same type: text, numbers, booleans, None, nested"""
        queue = bench.queue(bench.channel())
        headers = dict(HEADERS)
        bench.publish(queue, 'x', headers=headers)
        equal(headers, HEADERS, "the caller's dict")
        got = bench.take(queue).headers
        for name, value in HEADERS.items():
            check(name in got, f'the header {name!r} is missing in {got}')
            equal((type(got[name]), got[name]), (type(value), value), f'header {name!r}')

    @scenario('fidelity')
    def test_fidelity_rich_headers(self, bench: Bench) -> None:
        """Headers of other kinds (bytes, dates, decimals, huge numbers) arrive equal, or are
        refused"""
        connection = bench.connect()
        for name, value in RICH_HEADERS.items():
            queue = bench.queue(connection.channel())
            try:
                bench.publish(queue, 'x', headers={'h': value})
                # The refusal of the broker comes with the next answer.
                queue.declare()
            except bench.refusals(connection):
                continue
            got = bench.take(queue).headers.get('h')
            if isinstance(got, dt.datetime) and got.tzinfo is None:
                got = got.replace(tzinfo=dt.timezone.utc)
            equal(got, value, f'a header of {name}')

    @scenario('fidelity')
    def test_fidelity_properties(self, bench: Bench) -> None:
        """The properties of AMQP arrive: correlation_id, reply_to, message_id, type, app_id,
        user_id, timestamp"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, 'x', timestamp=1795363445, **PROPERTIES)
        got = bench.take(queue).properties
        for name, value in PROPERTIES.items():
            equal(got.get(name), value, name)
        stamp = got.get('timestamp')
        if isinstance(stamp, dt.datetime):
            stamp = stamp.replace(tzinfo=dt.timezone.utc).timestamp()
        equal(stamp, 1795363445, 'timestamp')

    @scenario('fidelity')
    def test_fidelity_envelope(self, bench: Bench) -> None:
        """Content type, encoding, delivery mode, priority, exchange and routing key are told"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue = bench.queue(channel, exchange=exchange, routing_key='a.key')
        bench.publish(exchange, {'a': 1}, key='a.key', priority=3, delivery_mode=1)
        message = bench.take(queue)
        equal(
            (message.content_type, message.content_encoding), ('application/json', 'utf-8'), 'type'
        )
        equal(message.properties.get('delivery_mode'), 1, 'delivery_mode')
        equal(message.properties.get('priority'), 3, 'priority')
        info = message.delivery_info
        equal((info['exchange'], info['routing_key']), (exchange.name, 'a.key'), 'delivery_info')
        message.ack()
        bench.publish(exchange, 'x', key='a.key')
        equal(bench.take(queue).properties.get('delivery_mode'), 2, 'delivery_mode by default')

    @scenario('fidelity')
    def test_fidelity_custom_properties(self, bench: Bench) -> None:
        """A property that AMQP does not know arrives, or the publisher is told that it cannot"""
        queue = bench.queue(bench.channel())
        with warnings.catch_warnings():
            warnings.simplefilter('error', UnknownArgumentWarning)
            try:
                bench.publish(queue, 'x', my_property='mine')
            except (KombuError, TypeError, UnknownArgumentWarning):
                return
        equal(bench.take(queue).properties.get('my_property'), 'mine', 'my_property')

    @scenario('fidelity')
    def test_fidelity_republish(self, bench: Bench) -> None:
        """A received message can be published again as it is: same body, headers, properties"""
        channel = bench.channel()
        first, second = bench.queue(channel), bench.queue(channel)
        bench.publish(first, {'a': 'ü' * 3000}, headers={'h': 1}, correlation_id='c')
        message = bench.take(first)
        message.ack()
        bench.publish(
            second,
            message.body,
            headers={**message.headers},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            correlation_id=message.properties['correlation_id'],
        )
        again = bench.take(second)
        equal(again.decode(), {'a': 'ü' * 3000}, 'body')
        equal(
            (again.headers.get('h'), again.properties.get('correlation_id')), (1, 'c'), 'the rest'
        )
