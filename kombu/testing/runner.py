"""Run the suite without a test framework."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from kombu import __version__

from .checks import Broken, Hung, NotApplicable, NotClaimed, places
from .matrix import Outcome, Report, Result
from .scenario import Guarantee, Marked, guarantees
from .suite import TransportSuite, suite_for
from .target import Target

__all__ = ('report_of', 'result_of', 'run', 'selected')

#: What the end of a scenario means, first match first.
OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (NotClaimed, Outcome.NOT_CLAIMED),
    (NotApplicable, Outcome.NOT_APPLICABLE),
    (Hung, Outcome.HUNG),
    (Broken, Outcome.FAILED),
    (BaseException, Outcome.ERROR),
)


def selected(
    suite: type[TransportSuite], only: Collection[str] = ()
) -> Iterator[tuple[Guarantee, Marked]]:
    """List the scenarios of `suite` whose group or id matches one of the patterns `only`; all
    without patterns."""
    for guarantee, method in guarantees(suite):
        names = (guarantee.group, guarantee.id)
        if not only or any(fnmatchcase(name, pattern) for name in names for pattern in only):
            yield guarantee, method


def run(
    target: Target,
    *,
    only: Collection[str] = (),
    progress: Callable[[Result], object] | None = None,
) -> Report:
    """Run the scenarios against `target`, one after the other, each within its time limit.

    Args:
        target: the broker.
        only: groups or ids, with wildcards.
        progress: called with each result as it comes.
    """
    suite = suite_for(target)
    results = []
    for guarantee, method in selected(suite, only):
        start = time.monotonic()
        error: BaseException | None = None
        try:
            method(suite())
        except Exception as exc:
            error = exc
        result = result_of(guarantee, error, time.monotonic() - start)
        results.append(result)
        if progress is not None:
            progress(result)
    return report_of(target, results)


def result_of(guarantee: Guarantee, error: BaseException | None, seconds: float) -> Result:
    """Say what became of a scenario that ended with `error`, or with none, after `seconds`."""
    outcome, detail = Outcome.PASSED, ''
    if error is not None:
        outcome = next(outcome for kind, outcome in OUTCOMES if isinstance(error, kind))
        detail = str(error)
        if outcome is Outcome.ERROR:
            where = places(traceback.extract_tb(error.__traceback__), limit=6)
            detail = f'{type(error).__name__}: {error}, at {where}'
    return Result(
        id=guarantee.id,
        group=guarantee.group,
        title=guarantee.title,
        outcome=outcome,
        detail=detail,
        seconds=round(seconds, 3),
    )


def report_of(target: Target, results: Iterable[Result]) -> Report:
    """Put results against one target together."""
    transport = target.connection().transport
    return Report(
        name=target.title,
        driver=f'{transport.driver_name} {transport.driver_version()}',
        version=__version__,
        claims=tuple(sorted(target.claims())),
        results=tuple(results),
    )
