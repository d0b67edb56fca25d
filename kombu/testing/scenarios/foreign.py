"""Foreign: a bad message neither stops a consumer nor gets lost."""

from __future__ import annotations

import pickle
import zlib
from typing import Any

from kombu import compression
from kombu.exceptions import ContentDisallowed, KombuError

from ..bench import Bench, Inbox
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Foreign',)

JSON = 'application/json'
GZIP = 'application/x-gzip'

#: Messages nobody can read: content type, encoding, body, headers.
BAD: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    'cut-off JSON': (JSON, 'utf-8', b'{"a": ', {}),
    'no JSON': (JSON, 'utf-8', b'\x00\x01\x02', {}),
    'JSON in no UTF-8': (JSON, 'utf-8', b'"\xff\xfe"', {}),
    'JSON in an unknown encoding': (JSON, 'no-such-charset', b'1', {}),
    'empty JSON': (JSON, 'utf-8', b'', {}),
    'very deep JSON': (JSON, 'utf-8', b'[' * 200_000, {}),
    'refused content type': ('application/x-python-serialize', 'binary', pickle.dumps(1), {}),
    'unknown content type': ('application/x-nobody-knows', 'binary', b'\x01\x02', {}),
    'cut-off compression': (JSON, 'utf-8', zlib.compress(b'"x"' * 500)[:-9], {'compression': GZIP}),
    'no compression': (JSON, 'utf-8', b'"plain"', {'compression': GZIP}),
    'unknown compression': (JSON, 'utf-8', b'1', {'compression': 'application/x-rar'}),
}


def bomb() -> bytes:
    """Compress so many zeros that nobody may want them."""
    size = getattr(compression, 'DEFAULT_MAX_SIZE', 128 << 20) + 1
    packer = zlib.compressobj(1)
    chunk = bytes(1 << 20)
    parts = [packer.compress(chunk) for _ in range(size // len(chunk) + 1)]
    return b''.join([*parts, packer.flush()])


def put(
    channel: Any, queue: Any, kind: str, encoding: str, body: bytes, headers: dict[str, Any]
) -> None:
    """Publish bytes as they are."""
    message = channel.prepare_message(
        body, content_type=kind, content_encoding=encoding, headers=dict(headers), properties={}
    )
    channel.basic_publish(message, exchange='', routing_key=queue.name)


class Foreign(Scenarios):
    """Messages from elsewhere, damaged, or hostile."""

    @scenario('foreign')
    def test_foreign_bad(self, bench: Bench) -> None:
        """on_decode_error gets each unreadable message, and the consumer goes on with the next"""
        channel = bench.channel()
        queue = bench.queue(channel)
        for bad in BAD.values():
            put(channel, queue, *bad)
            bench.publish(queue, 'good')
        self._consume(bench, channel, queue, list(BAD.values()))

    @scenario('foreign', seconds=60)
    def test_foreign_bomb(self, bench: Bench) -> None:
        """A small body that decompresses to hundreds of megabytes is refused like any unreadable one"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bad = ('text/plain', 'utf-8', bomb(), {'compression': GZIP})
        put(channel, queue, *bad)
        bench.publish(queue, 'good')
        self._consume(bench, channel, queue, [bad])

    def _consume(self, bench: Bench, channel: Any, queue: Any, bads: list[Any]) -> None:
        good: list[Any] = []
        refused: list[tuple[Any, BaseException]] = []

        def on_good(body: Any, message: Any) -> None:
            good.append(body)
            message.ack()

        def on_bad(message: Any, error: BaseException) -> None:
            refused.append((message, error))
            message.ack()

        consumer = channel.Consumer(
            [queue], callbacks=[on_good], on_decode_error=on_bad, auto_declare=False
        )
        consumer.consume()
        bench.wait([channel], lambda: len(good) + len(refused) >= 2 * len(bads), 10)
        equal(good, ['good'] * len(bads), 'readable messages')
        equal(len(refused), len(bads), 'unreadable messages')
        bodies = [bytes(message.body) if not isinstance(message.body, str)
                  else message.body.encode('utf-8', 'surrogateescape') for message, _ in refused]
        for body, (_, _, expected, _), (_, error) in zip(bodies, bads, refused, strict=True):
            check(isinstance(error, Exception), f'the error is {error!r}')
            equal(body[:100], expected[:100], 'the body of the unreadable message, as received')
        consumer.cancel()
        bench.empty(queue, 'after all were acknowledged')

    @scenario('foreign')
    def test_foreign_not_lost(self, bench: Bench) -> None:
        """Without on_decode_error an unreadable message does not get lost, nor stop the next for good"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        put(channel, queue, *BAD['cut-off JSON'])
        bench.publish(queue, 'good')
        good: list[Any] = []
        consumer = channel.Consumer([queue], auto_declare=False)
        consumer.register_callback(lambda body, message: (good.append(body), message.ack()))
        consumer.consume()
        for _ in range(3):
            try:
                bench.wait([channel], lambda: bool(good), 2)
            except (KombuError, ValueError):
                continue
        equal(good, ['good'], 'readable messages')
        connection.release()
        message = bench.take(queue(bench.channel()))
        equal(bytes(message.body, 'utf-8') if isinstance(message.body, str) else bytes(message.body),
              BAD['cut-off JSON'][2], 'the unreadable message, back in the queue')
        message.ack()

    @scenario('foreign')
    def test_foreign_get(self, bench: Bench) -> None:
        """Getting an unreadable message works; decoding it raises, again each time; it can be settled"""
        channel = bench.channel()
        queue = bench.queue(channel)
        for name, bad in BAD.items():
            put(channel, queue, *bad)
            message = bench.take(queue, accept=['json'])
            for _ in range(2):
                try:
                    decoded = message.decode()
                except Exception:
                    continue
                check(False, f'{name} was decoded to {decoded!r}')
            message.reject()
        bench.empty(queue, 'after all were rejected')

    @scenario('foreign', requires={'dead_letter'})
    def test_foreign_dead_letter(self, bench: Bench) -> None:
        """An unreadable message that is rejected is dead-lettered as it came"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        graveyard = bench.queue(channel, exchange=exchange, routing_key='dead')
        queue = bench.queue(
            channel,
            queue_arguments={
                'x-dead-letter-exchange': exchange.name,
                'x-dead-letter-routing-key': 'dead',
            },
        )
        put(channel, queue, *BAD['no JSON'])
        consumer = channel.Consumer(
            [queue],
            callbacks=[lambda body, message: None],
            on_decode_error=lambda message, error: message.reject(),
            auto_declare=False,
        )
        consumer.consume()
        dead: list[Any] = []
        bench.wait([channel], lambda: bool(dead.append(graveyard.get()) or dead[-1]), 5)
        check(dead and dead[-1], 'it was not dead-lettered')
        body = dead[-1].body
        equal(body.encode() if isinstance(body, str) else bytes(body), BAD['no JSON'][2], 'body')
        equal(dead[-1].content_type, JSON, 'content type')

    @scenario('foreign', needs={'inject_raw'})
    def test_foreign_injected(self, bench: Bench) -> None:
        """Bytes that some other program put into the store neither stop a consumer nor get lost in silence"""
        inject = bench.target.inject_raw
        if inject is None:
            raise RuntimeError('the target must inject')
        channel = bench.channel()
        queue = bench.queue(channel)
        raw = (b'', b'plain text', b'{"a": 1}', b'{"body": 5, "properties": null}', b'\xff\x00\xfe', b'[1, 2]')
        for number, body in enumerate(raw):
            inject(queue.name, body)
            bench.publish(queue, number)
        good: list[Any] = []
        bad: list[Any] = []
        consumer = channel.Consumer(
            [queue],
            callbacks=[lambda body, message: (good.append(body), message.ack())],
            on_decode_error=lambda message, error: (bad.append(message), message.ack()),
            auto_declare=False,
        )
        consumer.consume()
        bench.wait([channel], lambda: set(range(len(raw))) <= set(map(str_or_int, good)), 10)
        missing = set(range(len(raw))) - set(map(str_or_int, good))
        check(not missing, f'the consumer did not get {sorted(missing)}')

    @scenario('foreign')
    def test_foreign_accept(self, bench: Bench) -> None:
        """A consumer gets what it accepts and refuses the rest, also what this process itself could read"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, {'a': 1}, serializer='json')
        bench.publish(queue, {'a': 1}, serializer='pickle')
        inbox = Inbox(channel, queue, accept=['pickle'])
        refused, accepted = [], []
        bench.wait([channel], lambda: len(inbox.messages) >= 2)
        for message in inbox.messages:
            try:
                accepted.append((message.content_type, message.decode()))
            except ContentDisallowed:
                refused.append(message.content_type)
        equal(accepted, [('application/x-python-serialize', {'a': 1})], 'accepted')
        equal(refused, [JSON], 'refused')


def str_or_int(value: Any) -> Any:
    """Return something hashable."""
    return value if isinstance(value, int) else str(value)
