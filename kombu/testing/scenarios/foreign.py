"""Foreign: a bad message neither stops a consumer nor gets lost."""

from __future__ import annotations

import pickle
import zlib
from typing import Any

from kombu import compression
from kombu.exceptions import ContentDisallowed, KombuError

from ..bench import Bench
from ..checks import check, equal, raises
from ..scenario import Scenarios, scenario

__all__ = ('Foreign',)

JSON = 'application/json'
GZIP = 'application/x-gzip'

#: Messages nobody can read: content type, encoding, body, headers.
BAD: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    'cut-off JSON': (JSON, 'utf-8', b'{"a": ', {}),
    'no JSON': (JSON, 'utf-8', b'\x00\x01\x02', {}),
    'JSON in no UTF-8': (JSON, 'utf-8', b'"\xff\xfe"', {}),
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


class Reader:
    """A consumer that keeps apart what it can read and what not, and acknowledges both."""

    def __init__(self, channel: Any, queue: Any) -> None:
        self.good: list[Any] = []
        self.bad: list[tuple[Any, BaseException]] = []
        self.consumer = channel.Consumer(
            [queue],
            callbacks=[self._keep],
            on_decode_error=self._keep_bad,
            accept=['json', 'text/plain'],
            auto_declare=False,
        )
        self.consumer.consume()

    def _keep(self, body: Any, message: Any) -> None:
        self.good.append(body)
        message.ack()

    def _keep_bad(self, message: Any, error: BaseException) -> None:
        self.bad.append((message, error))
        message.ack()


def raw(message: Any) -> bytes:
    """Return the body of a message as bytes."""
    body = message.body
    return body.encode('utf-8', 'surrogateescape') if isinstance(body, str) else bytes(body)


def read_all(bench: Bench, channel: Any, queue: Any, bads: list[Any]) -> None:
    """Read a queue of bad messages, each followed by a good one."""
    reader = Reader(channel, queue)
    bench.wait([channel], lambda: len(reader.good) + len(reader.bad) >= 2 * len(bads), 10)
    equal(reader.good, ['good'] * len(bads), 'readable messages')
    equal(len(reader.bad), len(bads), 'unreadable messages')
    for (message, error), (_, _, body, _) in zip(reader.bad, bads, strict=True):
        check(isinstance(error, Exception), f'the error is {error!r}')
        equal(raw(message)[:100], body[:100], 'the body of the unreadable message')
    reader.consumer.cancel()
    bench.empty(queue, 'after all were acknowledged')


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
        read_all(bench, channel, queue, list(BAD.values()))

    @scenario('foreign', seconds=50)
    def test_foreign_bomb(self, bench: Bench) -> None:
        """A small body that decompresses to hundreds of megabytes is refused like any
        unreadable one"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bad = ('text/plain', 'utf-8', bomb(), {'compression': GZIP})
        put(channel, queue, *bad)
        bench.publish(queue, 'good')
        read_all(bench, channel, queue, [bad])

    @scenario('foreign')
    def test_foreign_not_lost(self, bench: Bench) -> None:
        """Without on_decode_error an unreadable message does not get lost, nor stop the next
        for good"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        put(channel, queue, *BAD['cut-off JSON'])
        bench.publish(queue, 'good')
        good: list[Any] = []

        def keep(body: Any, message: Any) -> None:
            good.append(body)
            message.ack()

        channel.Consumer([queue], callbacks=[keep], auto_declare=False).consume()
        for _ in range(3):
            try:
                bench.wait([channel], lambda: bool(good), 2)
            except (KombuError, ValueError):
                continue
        equal(good, ['good'], 'readable messages')
        connection.release()
        message = bench.take(queue(bench.channel()))
        equal(raw(message), BAD['cut-off JSON'][2], 'the unreadable message, back in the queue')
        message.ack()

    @scenario('foreign')
    def test_foreign_get(self, bench: Bench) -> None:
        """Getting an unreadable message works; decoding it raises, again each time; it can be
        settled"""
        channel = bench.channel()
        queue = bench.queue(channel)
        for name, bad in BAD.items():
            put(channel, queue, *bad)
            message = bench.take(queue, accept=['json'])
            for _ in range(2):
                raises(Exception, message.decode, f'decoding {name}')
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
        done: list[Any] = []

        def reject(message: Any, error: BaseException) -> None:
            message.reject()
            done.append(message)

        consumer = channel.Consumer(
            [queue],
            callbacks=[lambda body, message: None],
            on_decode_error=reject,
            auto_declare=False,
        )
        consumer.consume()
        bench.wait([channel], lambda: bool(done))
        dead = bench.take(graveyard)
        equal(raw(dead), BAD['no JSON'][2], 'body')
        equal(dead.content_type, JSON, 'content type')

    @scenario('foreign', needs={'inject_raw'})
    def test_foreign_injected(self, bench: Bench) -> None:
        """Bytes that some other program put into the store neither stop a consumer nor get lost
        in silence"""
        inject = bench.hook('inject_raw')
        channel = bench.channel()
        queue = bench.queue(channel)
        bodies = (
            b'',
            b'plain text',
            b'{"a": 1}',
            b'{"body": 5, "properties": null}',
            b'\xff\x00\xfe',
            b'[1, 2]',
        )
        for number, body in enumerate(bodies):
            inject(queue.name, body)
            bench.publish(queue, number)
        reader = Reader(channel, queue)
        wanted = set(range(len(bodies)))

        def numbers() -> set[Any]:
            return {body for body in reader.good if isinstance(body, int)}

        bench.wait([channel], lambda: wanted <= numbers(), 10)
        equal(sorted(wanted - numbers()), [], 'readable messages that did not arrive')

    @scenario('foreign')
    def test_foreign_accept(self, bench: Bench) -> None:
        """A consumer gets what it accepts and refuses the rest, also what this process itself
        could read"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, {'a': 1}, serializer='json')
        bench.publish(queue, {'a': 1}, serializer='pickle')
        inbox = bench.inbox(channel, queue, accept=['pickle'])
        refused, accepted = [], []
        bench.wait([channel], lambda: len(inbox.messages) >= 2)
        for message in inbox.messages:
            try:
                accepted.append((message.content_type, message.decode()))
            except ContentDisallowed:
                refused.append(message.content_type)
        equal(accepted, [('application/x-python-serialize', {'a': 1})], 'accepted')
        equal(refused, [JSON], 'refused')
