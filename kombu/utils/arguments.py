"""Warning about keyword arguments nobody knows."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from types import FrameType

from kombu.exceptions import UnknownArgumentWarning
from kombu.utils.text import fmatch_best

__all__ = ('warn_unknown',)


def warn_unknown(where: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """Warn about keyword arguments without effect, at the line of the caller outside of kombu.

    Args:
        where: what they were given to, e.g. `'Queue'`.
        unknown: the names given.
        known: the names that exist, from which to suggest.
    """
    names = tuple(unknown)
    if not names:
        return
    candidates = tuple(known)
    level = _outside()
    for name in names:
        best = fmatch_best(name, candidates)
        hint = f'; did you mean {best!r}?' if best else ''
        warnings.warn(
            f'{where}: unknown argument {name!r} has no effect{hint}',
            UnknownArgumentWarning,
            stacklevel=level,
        )


def _outside() -> int:
    """Return the `stacklevel`, seen from `warn_unknown`, of the nearest frame that is not ours."""
    frame: FrameType | None = sys._getframe(1)
    level = 0
    while frame is not None:
        level += 1
        module = frame.f_globals.get('__name__', '')
        if module != 'kombu' and not module.startswith('kombu.'):
            return level
        frame = frame.f_back
    return 2
