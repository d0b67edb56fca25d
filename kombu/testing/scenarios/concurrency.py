"""Concurrency: a connection is shared by threads, a channel belongs to one; a fork is noticed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from ..bench import Bench, drain
from ..checks import Broken, Hung, check, equal, places, together
from ..scenario import Scenarios, scenario

__all__ = ('Concurrency',)

THREADS = 8
EACH = 50


class Concurrency(Scenarios):
    """Threads and processes that share."""

    @scenario('concurrency', seconds=50)
    def test_concurrency_publish(self, bench: Bench) -> None:
        """Eight threads with a channel each publish over one connection: everything arrives,
        once"""
        connection = bench.confirming()
        queue = bench.queue(connection.channel())

        def work(number: int) -> None:
            channel = connection.channel()
            bench.publish(queue(channel), *range(number * EACH, (number + 1) * EACH))
            channel.close()

        for result in together(40, work, THREADS):
            check(not isinstance(result, Exception), f'publishing raised {result!r}')
        bodies = bench.contents(queue, THREADS * EACH)
        equal(sorted(bodies), list(range(THREADS * EACH)), 'messages')

    @scenario('concurrency', seconds=50)
    def test_concurrency_get(self, bench: Bench) -> None:
        """Eight threads with a channel each get from one queue: each message goes to one of them"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        total = THREADS * EACH
        bench.publish(queue, *range(total))
        seen: list[int] = []

        def work(number: int) -> None:
            mine = queue(connection.channel())
            end = time.monotonic() + 30
            while len(seen) < total and time.monotonic() < end:
                message = mine.get()
                if message is None:
                    time.sleep(0.005)
                    continue
                seen.append(message.decode())
                message.ack()

        for result in together(40, work, THREADS):
            check(not isinstance(result, Exception), f'getting raised {result!r}')
        equal(sorted(seen), list(range(total)), 'messages')

    @scenario('concurrency', seconds=50)
    def test_concurrency_both(self, bench: Bench) -> None:
        """One thread consumes while others publish over the same connection"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        total = 3 * EACH
        inbox = bench.inbox(connection.channel(), queue(connection.channel()))

        def work(number: int) -> None:
            if number == 0:
                drain([inbox.channel], lambda: len(inbox.messages) >= total, 30)
            else:
                mine = queue(connection.channel())
                bench.publish(mine, *range((number - 1) * EACH, number * EACH))

        for result in together(40, work, 4):
            check(not isinstance(result, Exception), f'it raised {result!r}')
        equal(sorted(inbox.bodies), list(range(total)), 'messages')

    @scenario('concurrency', seconds=50)
    def test_concurrency_own_consumers(self, bench: Bench) -> None:
        """Threads that consume each on a channel of its own over one connection all get their
        messages"""
        connection = bench.connect()
        queues = [bench.queue(connection.channel()) for _ in range(4)]
        ready = threading.Barrier(4)

        def work(number: int) -> list[Any]:
            channel = connection.channel()
            inbox = bench.inbox(channel, queues[number](channel))
            ready.wait(20)
            for target in range(4):
                bench.publish(queues[target](channel), number)
            drain([channel], lambda: len(inbox.messages) >= 4, 20)
            return sorted(inbox.bodies)

        for number, result in enumerate(together(45, work, 4)):
            equal(result, [0, 1, 2, 3], f'thread {number}')

    @scenario('concurrency', seconds=50)
    def test_concurrency_misuse(self, bench: Bench) -> None:
        """Two threads on one channel either work or get an error; nothing reported as published
        is lost"""
        connection = bench.confirming()
        channel = connection.channel()
        queue = bench.queue(channel)
        sent: list[int] = []
        errors = bench.errors(connection)

        def work(number: int) -> None:
            for count in range(200):
                try:
                    bench.publish(queue, number * 1000 + count)
                except errors:
                    continue
                sent.append(number * 1000 + count)

        for result in together(40, work, 2):
            check(not isinstance(result, Exception), f'an error that is not documented: {result!r}')
        bodies = bench.contents(queue(bench.channel()), len(sent), timeout=10)
        missing = set(sent) - set(bodies)
        check(not missing, f'{len(missing)} of {len(sent)} published messages are lost')

    @scenario('concurrency', needs={'fork'}, seconds=50)
    def test_concurrency_fork(self, bench: Bench) -> None:
        """A forked child that uses the inherited connection gets its own; the parent's is not
        harmed"""
        processes = bench.target.has('processes')
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, 'before')
        inbox = bench.inbox(channel, queue, settle=True)
        inbox.wait(1)

        def in_child() -> None:
            with connection.channel() as inherited:
                bench.publish(queue(inherited), 'child')
            connection.release()

        status = forked(in_child, 20)
        equal(status, 0, 'exit status of the child')
        bench.publish(queue, 'parent')
        expected = {'before', 'parent'} | ({'child'} if processes else set())
        inbox.wait(len(expected))
        equal(set(inbox.bodies), expected, 'messages')
        equal(len(inbox.bodies), len(expected), 'each once')

    @scenario('concurrency', needs={'fork', 'processes'}, seconds=50)
    def test_concurrency_fork_many(self, bench: Bench) -> None:
        """Forked children that publish through inherited connection and producer lose nothing"""
        connection = bench.confirming()
        producer = connection.Producer(auto_declare=False)
        queue = bench.queue(connection.channel())
        producer.publish(-1, exchange='', routing_key=queue.name)

        def in_child(number: int) -> None:
            for count in range(20):
                producer.publish(
                    number * 100 + count,
                    exchange='',
                    routing_key=queue.name,
                    retry=True,
                    retry_policy={'max_retries': 3, 'interval_start': 0},
                )
            connection.release()

        children = [fork(partial(in_child, number)) for number in range(4)]
        statuses = []
        try:
            while children:
                statuses.append(ended(children.pop(), 20))
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        equal(statuses, [0] * 4, 'exit statuses')
        producer.publish(-2, exchange='', routing_key=queue.name)
        expected = {-1, -2, *(100 * number + count for number in range(4) for count in range(20))}
        bodies = bench.contents(queue, len(expected))
        equal(expected - set(bodies), set(), 'lost messages')


def fork(work: Callable[[], Any]) -> int:
    """Call `work` in a forked child, which ends with 0 if that returns; return its process id."""
    with warnings.catch_warnings():
        # Python warns of forking with threads about, which is what this is for.
        warnings.simplefilter('ignore', DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as exc:
        where = places(traceback.extract_tb(exc.__traceback__))
        sys.stderr.write(f'forked child: {type(exc).__name__}: {exc}, at {where}\n')
    finally:
        os._exit(status)


def ended(child: int, seconds: float) -> int:
    """Wait for a forked child; return its exit status, or kill it.

    Raises:
        Hung: it did not end within `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise Hung(f'a forked child did not end in {seconds:g} s')


def forked(work: Callable[[], Any], seconds: float) -> int:
    """Call `work` in a forked child and return its exit status."""
    try:
        return ended(fork(work), seconds)
    except Hung as exc:
        raise Broken(str(exc)) from None
