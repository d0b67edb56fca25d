"""Faults: a broken network or broker loses nothing that was confirmed, and no call hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..bench import Bench
from ..checks import Broken, check, equal
from ..scenario import Scenarios, scenario

__all__ = ('DEADLINE', 'RETRY', 'Faults', 'usable')

#: Seconds a call may take on a broken network, with a connect timeout of 2 s and the target's
#: `fault_options`.
DEADLINE = 12.0

#: How to try again: without long pauses, and not for ever.
RETRY = {
    'max_retries': 20,
    'interval_start': 0.02,
    'interval_step': 0.1,
    'interval_max': 0.5,
}

#: The steps of a client's life, in order.
STEPS = ('connect', 'declare', 'publish', 'consume', 'receive', 'ack')


class Session:
    """A client that goes from step to step, each of which can be broken.

    Args:
        bench: where its queue is declared.
        url: of the broker, through a proxy.
    """

    def __init__(self, bench: Bench, url: str, **connect_args: Any) -> None:
        self.bench = bench
        self.connection = bench.impatient(url, **connect_args)
        self.name = bench.name('session')
        self.channel: Any = None
        self.queue: Any = None
        self.inbox: Any = None

    def connect(self) -> None:
        self.connection.ensure_connection(max_retries=1, interval_start=0.05)

    def declare(self) -> None:
        self.channel = self.connection.channel()
        self.queue = self.bench.queue(self.channel, self.name)

    def publish(self) -> None:
        self.bench.publish(self.queue, 'x', timeout=3, confirm_timeout=3)

    def consume(self) -> None:
        self.inbox = self.bench.inbox(self.channel, self.queue)

    def receive(self) -> None:
        self.inbox.wait(2, 3)

    def ack(self) -> None:
        self.inbox.messages[0].ack(multiple=True)
        # An acknowledgement has no answer; what follows it has.
        self.channel.queue_declare(queue=self.name, durable=True, auto_delete=False)

    def upto(self, step: str, fault: Callable[[], None]) -> None:
        """Take all steps before `step`, and let `fault` happen before that one."""
        for name in STEPS[: STEPS.index(step) + 1]:
            if name == step:
                fault()
            if name == 'receive':
                # What is already on its way when the fault happens is not enough.
                self.bench.publish(self.queue(self.bench.channel()), 'y')
            if name != step:
                getattr(self, name)()


def usable(bench: Bench, connection: Any) -> None:
    """Check that a connection object can be used again, by those who retry."""

    def work(channel: Any) -> None:
        queue = bench.queue(channel)
        bench.publish(queue, 'again')
        equal(bench.contents(queue, 1), ['again'], 'after the fault')

    def retried() -> None:
        connection.ensure_connection(timeout=DEADLINE, **RETRY)
        connection.autoretry(work, **RETRY)()

    result = bench.ends(2 * DEADLINE, retried, 'using the connection again')
    if isinstance(result, Exception):
        raise result


def break_at(bench: Bench, step: str, fault: Callable[[Any], None]) -> None:
    """Let `fault` happen to a step: it ends in time, with a documented error if any, and can be
    repeated."""
    url, proxy = bench.proxy()
    session = Session(bench, url)
    session.upto(step, lambda: fault(proxy))
    start = time.monotonic()
    result = bench.ends(DEADLINE, getattr(session, step), step)
    took = time.monotonic() - start
    documented = (*bench.errors(session.connection), TimeoutError, Broken)
    if isinstance(result, Exception) and not isinstance(result, documented):
        check(False, f'{step} raised {type(result).__name__} ({result}) after {took:.1f} s')
    proxy.heal()
    usable(bench, session.connection)
    # What was published, confirmed and not acknowledged must still be there.
    left = {'consume': {'x'}, 'receive': {'x', 'y'}}.get(step, set())
    if step == 'publish' and result is None:
        left = {'x'}
    bench.ends(DEADLINE, session.connection.release, 'release')
    bodies = bench.contents(session.queue(bench.channel()), len(left)) if left else []
    check(left <= set(bodies), f'after {step} the queue should have {left}, and has {bodies}')


class Faults(Scenarios):
    """Connections that are cut, stall, crawl; brokers that go and come back."""


def _breaker(step: str, what: str, fault: Callable[[Any], None]) -> Callable[[Any, Bench], None]:
    def run(self: Faults, bench: Bench) -> None:
        break_at(bench, step, fault)

    run.__doc__ = f'{step} {what} ends in time, and the connection can be used again'
    return run


#: Faults that every step is put to.
FAULTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    'reset': ('over a connection that is reset', lambda proxy: proxy.cut_after(1)),
    'closed': ('over a connection that is closed', lambda proxy: proxy.cut_after(1, reset=False)),
    'reset_reply': (
        'over a connection that is reset before the answer',
        lambda proxy: proxy.cut_after(1, direction='down'),
    ),
    'half_open': ('over a half-open link', lambda proxy: proxy.stall()),
    'half_open_up': ('over a link that swallows what is sent', lambda proxy: proxy.swallow('up')),
    'half_open_down': (
        'over a link that swallows what comes back',
        lambda proxy: proxy.swallow('down'),
    ),
}

for _fault, (_what, _do) in FAULTS.items():
    for _step in STEPS:
        _body = _breaker(_step, _what, _do)
        _body.__name__ = f'test_fault_{_fault}_{_step}'
        _body.__qualname__ = f'Faults.{_body.__name__}'
        setattr(
            Faults,
            _body.__name__,
            scenario('fault', needs={'proxy'}, seconds=50)(_body),
        )
