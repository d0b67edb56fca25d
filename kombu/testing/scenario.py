"""A scenario: one guarantee, its conditions, and a time limit.

A scenario is a method of a group class, marked with `scenario`.  Called without arguments (as a
test framework does) it runs against `self.target` in a thread of its own, so that one that hangs
is reported and left behind.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from kombu.exceptions import UnsupportedFeatureWarning

from .bench import Bench
from .checks import NotApplicable, NotClaimed, within
from .target import NEEDS, Target

__all__ = ('GROUPS', 'Guarantee', 'Scenarios', 'guarantees', 'scenario')

#: The groups, in the order in which they are shown, with a word of what each is about.
GROUPS: dict[str, str] = {
    'delivery': 'messages arrive once, in order, and come back when not acknowledged',
    'routing': 'exchanges and bindings mean what AMQP says',
    'queue': 'limits, expiry, dead-lettering, priority: what a queue does by itself',
    'consumer': 'consumers share, stop, and are told',
    'confirm': 'publishing returns when the broker has the message',
    'lease': 'what a dead holder had comes back, what a living one holds stays',
    'crash': 'nothing is lost with kill -9',
    'fault': 'nothing is lost, and nothing hangs, on a broken network',
    'foreign': 'a bad message neither stops a consumer nor gets lost',
    'fidelity': 'what arrives is what was sent',
    'concurrency': 'threads and forks',
    'hygiene': 'nothing leaks, closing is safe',
    'isolation': 'virtual hosts and odd names',
    'tls': 'encryption is real and verified',
    'claims': 'what is not supported is said',
}

#: Seconds that putting away may take.
CLEANUP = 8.0


@dataclass(frozen=True)
class Guarantee:
    """What a scenario proves and when it can.

    Attributes:
        id: group and name, `delivery.fifo`.
        title: what completes the sentence *the transport guarantees:*.
        requires: capabilities the transport must claim.
        needs: what the target must offer; see `NEEDS`.
        seconds: time limit.
    """

    id: str
    group: str
    title: str
    requires: frozenset[str]
    needs: frozenset[str]
    seconds: float

    def applicable(self, target: Target) -> None:
        """Raise `NotClaimed` or `NotApplicable` where the scenario cannot run against `target`."""
        unclaimed = target.unclaimed(self.requires)
        if unclaimed:
            raise NotClaimed(f'not claimed: {", ".join(unclaimed)}')
        limit = target.limits.get(self.id)
        missing = [limit] if limit else target.missing(self.needs)
        if missing:
            raise NotApplicable('; '.join(missing))


class Marked(Protocol):
    """A scenario method as `scenario` leaves it."""

    guarantee: Guarantee
    __name__: str

    def __call__(self, suite: Scenarios) -> None: ...


class Scenarios:
    """Base of the groups; `target` is what they run against."""

    target: Target


def scenario(
    group: str,
    *,
    requires: Iterable[str] = (),
    needs: Iterable[str] = (),
    seconds: float = 20.0,
) -> Callable[[Callable[[Any, Bench], None]], Callable[[Any], None]]:
    """Mark a method `test_<group>_<name>(self, bench)` as a scenario.

    Args:
        group: one of `GROUPS`.
        requires: capabilities the transport must claim, exchange types as `exchange:topic`.
        needs: what the target must offer; see `NEEDS`.
        seconds: time limit, for a machine as patient as 1.
    """
    needs = frozenset(needs)
    if group not in GROUPS or needs - set(NEEDS):
        raise ValueError(f'unknown group or need: {group}, {sorted(needs)}')

    def decorate(body: Callable[[Any, Bench], None]) -> Callable[[Any], None]:
        prefix = f'test_{group}_'
        first, _, _ = inspect.cleandoc(body.__doc__ or '').partition('\n\n')
        title = ' '.join(first.split())
        if not body.__name__.startswith(prefix) or not title:
            raise ValueError(f'{body.__qualname__} must be named {prefix}... and have a docstring')
        guarantee = Guarantee(
            id=f'{group}.{body.__name__.removeprefix(prefix)}',
            group=group,
            title=title,
            requires=frozenset(requires),
            needs=needs,
            seconds=seconds,
        )

        # No functools.wraps: its __wrapped__ would show a test framework the parameter `bench`.
        def run(self: Scenarios) -> None:
            guarantee.applicable(self.target)
            perform(lambda bench: body(self, bench), self.target, guarantee)

        run.__name__, run.__qualname__ = body.__name__, body.__qualname__
        run.__doc__, run.__module__ = body.__doc__, body.__module__
        cast('Marked', run).guarantee = guarantee
        return run

    return decorate


def guarantees(suite: type[Scenarios]) -> Iterator[tuple[Guarantee, Marked]]:
    """List the scenarios of a suite, group by group, in the order in which they are written."""
    found: dict[str, Marked] = {}
    for klass in suite.__mro__:
        for name in vars(klass):
            method = getattr(suite, name)
            if hasattr(method, 'guarantee'):
                found.setdefault(name, method)
    order = list(GROUPS)
    for method in sorted(found.values(), key=lambda marked: order.index(marked.guarantee.group)):
        yield method.guarantee, method


def perform(body: Callable[[Bench], None], target: Target, guarantee: Guarantee) -> None:
    """Run `body` within its time limit and put everything away afterwards.

    Raises:
        Hung: the scenario, or putting away, did not end; its thread is left behind.
    """
    bench = Bench(target, guarantee.id)
    with warnings.catch_warnings():
        # What a transport claims it may not warn about.
        warnings.simplefilter('error', UnsupportedFeatureWarning)
        try:
            within(guarantee.seconds * target.patience, lambda: body(bench), guarantee.id)
        except BaseException:
            # What went wrong first is what counts.
            with suppress(Exception):
                within(CLEANUP * target.patience, bench.close, 'closing')
            raise
        within(CLEANUP * target.patience, bench.close, f'closing everything after {guarantee.id}')
