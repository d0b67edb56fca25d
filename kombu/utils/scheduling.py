"""Taking turns: between channels, and between the queues of a channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from kombu.utils.imports import symbol_by_name
from kombu.utils.text import fmatch_best

__all__ = ('FairCycle', 'cycle_by_name', 'priority_cycle', 'round_robin_cycle', 'sorted_cycle')

T = TypeVar('T')

#: What `queue_order_strategy` may be; third parties may add theirs.
CYCLE_ALIASES = {
    'priority': 'kombu.utils.scheduling:priority_cycle',
    'round_robin': 'kombu.utils.scheduling:round_robin_cycle',
    'sorted': 'kombu.utils.scheduling:sorted_cycle',
}


class FairCycle(Generic[T]):
    """Get something from one of several resources, each in its turn.

    Args:
        fun: gets from one resource; called with the resource, the callback and the keyword
            arguments of `get`.
        resources: what to take turns among; may grow and shrink at any time, also during a call.
        predicate: the error with which `fun` says that there is nothing.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        resources: Sequence[T],
        predicate: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        self.fun = fun
        self.resources = resources
        self.predicate = predicate
        self.pos = 0

    def get(self, callback: Any, **kwargs: Any) -> Any:
        """Ask one resource after the other until one has something.

        Args:
            callback: passed on to `fun`.
            **kwargs: passed on to `fun`.

        Raises:
            predicate: none has anything, or there are none.
        """
        resources = self.resources
        fun = self.fun
        tried = 0
        while True:
            try:
                resource = resources[self.pos]
            except IndexError:
                # Past the end, maybe because resources went away meanwhile.
                self.pos = 0
                if not resources:
                    raise self._nothing() from None
                continue
            self.pos += 1
            try:
                return fun(resource, callback, **kwargs)
            except self.predicate:
                tried += 1
                if tried >= len(resources):
                    raise

    def close(self) -> None:
        """Do nothing; a cycle of another kind may have something to give back."""

    def _nothing(self) -> BaseException:
        predicate = self.predicate
        return (predicate[0] if isinstance(predicate, tuple) else predicate)()

    def __repr__(self) -> str:
        return f'<FairCycle: {self.pos}/{len(self.resources)} {self.resources}>'


class round_robin_cycle:
    """What was used goes to the end.

    Args:
        it: the names.
    """

    def __init__(self, it: Iterable[Any] | None = None) -> None:
        self.items: list[Any] = [] if it is None else list(it)

    def update(self, it: Iterable[Any]) -> None:
        """Replace the names."""
        self.items[:] = it

    def consume(self, n: int) -> list[Any]:
        """Return the next `n` names in their order."""
        return self.items[:n]

    def rotate(self, last_used: Any) -> Any:
        """Note that a name was used, and return it; one that is not there any more is ignored."""
        items = self.items
        try:
            items.append(items.pop(items.index(last_used)))
        except ValueError:
            pass
        return last_used

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self.items}>'


class priority_cycle(round_robin_cycle):
    """The first always comes first."""

    def rotate(self, last_used: Any) -> None:
        """Leave the order as it is."""


class sorted_cycle(priority_cycle):
    """The first in the alphabet always comes first."""

    def consume(self, n: int) -> list[Any]:
        """Return the next `n` names in alphabetical order."""
        return sorted(self.items[:n])


def cycle_by_name(name: Any) -> Any:
    """Find a cycle.

    Args:
        name: a key of `CYCLE_ALIASES`, `'module:Class'`, or the class itself.

    Raises:
        ValueError: it is neither a known name nor that of a module's attribute.
    """
    if isinstance(name, str) and name not in CYCLE_ALIASES and '.' not in name and ':' not in name:
        best = fmatch_best(name, CYCLE_ALIASES)
        hint = (
            f'did you mean {best!r}?' if best else f'known are {", ".join(sorted(CYCLE_ALIASES))}'
        )
        raise ValueError(f'unknown queue order {name!r}; {hint}')
    return symbol_by_name(name, CYCLE_ALIASES)
