"""Run the suite without a test framework."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase

from kombu import __version__

from .checks import Broken, Hung, NotApplicable, NotClaimed, places
from .matrix import Outcome, Report, Result
from .scenario import Guarantee, Marked, guarantees
from .suite import TransportSuite, suite_for
from .target import Target

__all__ = ('run', 'selected')

#: What the end of a scenario means, first match first.
OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (NotClaimed, Outcome.NOT_CLAIMED),
    (NotApplicable, Outcome.NOT_APPLICABLE),
    (Hung, Outcome.HUNG),
    (Broken, Outcome.FAILED),
    (Exception, Outcome.ERROR),
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
        result = _run_one(suite, guarantee, method)
        results.append(result)
        if progress is not None:
            progress(result)
    transport = target.connection().transport
    return Report(
        name=target.title,
        driver=f'{transport.driver_name} {transport.driver_version()}',
        version=__version__,
        claims=tuple(sorted(target.claims())),
        results=tuple(results),
    )


def _run_one(suite: type[TransportSuite], guarantee: Guarantee, method: Marked) -> Result:
    start = time.monotonic()
    outcome, detail = Outcome.PASSED, ''
    try:
        method(suite())
    except Exception as exc:
        outcome = next(outcome for kind, outcome in OUTCOMES if isinstance(exc, kind))
        detail = str(exc)
        if outcome is Outcome.ERROR:
            where = places(traceback.extract_tb(exc.__traceback__), limit=6)
            detail = f'{type(exc).__name__}: {exc}, at {where}'
    return Result(
        id=guarantee.id,
        group=guarantee.group,
        title=guarantee.title,
        outcome=outcome,
        detail=detail,
        seconds=round(time.monotonic() - start, 3),
    )
