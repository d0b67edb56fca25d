"""The work that is measured: each case does it, checks it, and returns how many operations it was.

Runs under kombu 6 and under kombu 5.x alike, so it uses what both have.  Called by `run.py`::

    python cases.py CASE SIZE        prints seconds of processor time an operation
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.serialization import dumps, loads

LOOKUPS = 100
CASES: dict[str, Callable[[int], tuple[float, int]]] = {}


def case(function: Callable[[int], tuple[float, int]]) -> Callable[[int], tuple[float, int]]:
    """Register a case; it takes a size and returns seconds and operations."""
    CASES[function.__name__] = function
    return function


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Run `work`, which returns how many operations it was."""
    started = time.process_time()
    count = work()
    return time.process_time() - started, count


def lookups(type: str, size: int) -> tuple[float, int]:
    """Route 100 different keys on an exchange with `size` bindings, several times over."""
    with Connection('memory://') as connection:
        channel = connection.channel()
        channel.exchange_declare(f'bench.{type}', type)
        for n in range(LOOKUPS):
            channel.queue_declare(f'q{n}')
        for n in range(size):
            key = f'k{n}.*.x' if type == 'topic' else f'k{n}'
            channel.queue_bind(f'q{n % LOOKUPS}', f'bench.{type}', key)
        step = max(size // LOOKUPS, 1)
        keys = [f'k{n * step % size}' + ('.a.x' if type == 'topic' else '') for n in range(LOOKUPS)]
        rounds = 50

        def work() -> int:
            for _ in range(rounds):
                for n, key in enumerate(keys):
                    assert list(channel._lookup(f'bench.{type}', key)) == [
                        f'q{n * step % size % LOOKUPS}'
                    ]
            return rounds * LOOKUPS

        return timed(work)


@case
def direct(size: int) -> tuple[float, int]:
    return lookups('direct', size)


@case
def topic(size: int) -> tuple[float, int]:
    return lookups('topic', size)


@case
def publish(size: int) -> tuple[float, int]:
    """Publish a body of 100 bytes of JSON."""
    with Connection('memory://') as connection:
        queue = Queue('bench')
        producer = Producer(connection.channel(), serializer='json')
        queue(producer.channel).declare()
        body = {'text': 'x' * 88}

        def work() -> int:
            for _ in range(size):
                producer.publish(body, routing_key='bench')
            return size

        result = timed(work)
        assert queue(producer.channel).purge() == size
        return result


@case
def consume(size: int) -> tuple[float, int]:
    """Consume and acknowledge bodies of 100 bytes of JSON."""
    with Connection('memory://') as connection:
        queue = Queue('bench')
        producer = Producer(connection.channel(), serializer='json')
        body = {'text': 'x' * 88}
        for _ in range(size):
            producer.publish(body, routing_key='bench', declare=[queue])
        got = []

        def handle(body: object, message: object) -> None:
            got.append(body)
            message.ack()  # type: ignore[attr-defined]

        def work() -> int:
            for _ in range(size):
                connection.drain_events(timeout=1)
            return size

        with Consumer(connection.channel(), [queue], callbacks=[handle]):
            result = timed(work)
        assert got == [body] * size
        return result


@case
def fanout(size: int) -> tuple[float, int]:
    """Publish to an exchange with `size` queues."""
    with Connection('memory://') as connection:
        exchange = Exchange('bench.all', 'fanout')
        channel = connection.channel()
        queues = [Queue(f'fan{n}', exchange) for n in range(size)]
        for queue in queues:
            queue(channel).declare()
        producer = Producer(channel, exchange, serializer='json')
        count = 20_000 // size

        def work() -> int:
            for _ in range(count):
                producer.publish({'a': 1})
            return count

        result = timed(work)
        assert sum(queue(channel).purge() for queue in queues) == count * size
        return result


@case
def as_celery(size: int) -> tuple[float, int]:
    """One round trip as a task queue makes it: declared, retried, with headers."""
    with Connection('memory://') as connection:
        queue = Queue('celery', Exchange('celery'), 'celery')
        producer = Producer(connection.channel(), serializer='json')
        headers = {'lang': 'py', 'task': 'tasks.add', 'id': 'x' * 36, 'eta': None, 'retries': 0}
        body = ((1, 2), {}, {'callbacks': None, 'errbacks': None, 'chain': None, 'chord': None})
        done = []

        def handle(message: object) -> None:
            assert message.headers['task'] == 'tasks.add'  # type: ignore[attr-defined]
            done.append(message.payload)  # type: ignore[attr-defined]
            message.ack()  # type: ignore[attr-defined]

        def work() -> int:
            for _ in range(size):
                producer.publish(
                    body,
                    exchange='celery',
                    routing_key='celery',
                    headers=headers,
                    retry=True,
                    retry_policy={'max_retries': 3, 'interval_start': 0, 'interval_step': 0.2},
                    declare=[queue],
                    delivery_mode=2,
                    correlation_id='x' * 36,
                    reply_to='y' * 36,
                )
                connection.drain_events(timeout=1)
            return size

        with Consumer(connection.channel(), [queue], on_message=handle):
            result = timed(work)
        assert len(done) == size
        return result


@case
def json_codec(size: int) -> tuple[float, int]:
    """Encode and decode a small body."""
    body = {'id': 1, 'name': 'x' * 40, 'tags': ['a', 'b'], 'ok': True}

    def work() -> int:
        for _ in range(size):
            content_type, encoding, payload = dumps(body, 'json')
            loads(payload, content_type, encoding)
        return size

    assert loads(*(dumps(body, 'json')[i] for i in (2, 0, 1))) == body
    return timed(work)


if __name__ == '__main__':
    seconds, operations = CASES[sys.argv[1]](int(sys.argv[2]))
    print(seconds / operations)
