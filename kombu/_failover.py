"""Several hosts for one connection: what they are, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any, TypeAlias

from kombu.utils.functional import shufflecycle
from kombu.utils.text import fmatch_best

__all__ = ('Strategy', 'failover_strategies', 'find_strategy', 'host_cycle', 'split_hosts')

#: Makes an iterator over hosts from a list of them; one that ends is begun again.
Strategy: TypeAlias = Callable[[Iterable[str]], Iterator[str]]

#: The strategies known by name.
failover_strategies: dict[str, Strategy] = {'round-robin': cycle, 'shuffle': shufflecycle}

DEFAULT_STRATEGY = 'round-robin'


def find_strategy(strategy: Any, known: dict[str, Any]) -> Strategy:
    """Return the strategy called so; None is round-robin, a callable stands for itself.

    Raises:
        ValueError: there is none of that name.
    """
    if strategy is None:
        strategy = DEFAULT_STRATEGY
    if callable(strategy):
        found: Strategy = strategy
        return found
    try:
        by_name: Strategy = known[strategy]
    except (KeyError, TypeError):
        close = fmatch_best(str(strategy), known)
        hint = f'did you mean {close!r}?' if close else f'known are {", ".join(known)}'
        raise ValueError(
            f'unknown failover strategy {strategy!r}: {hint} (or give a callable)'
        ) from None
    return by_name


def split_hosts(hostname: Any, alternates: Iterable[str] | str | None) -> tuple[Any, list[str]]:
    """Separate the first host from the list of all.

    Args:
        hostname: a URL or host name, several of them joined with `;`, or an iterable of them.
        alternates: further ones.

    Returns:
        the first host, and every host there is to fail over to: empty when there is only one.
    """
    if isinstance(hostname, str):
        several = _split(hostname) if ';' in hostname else []
        first: Any = several[0] if several else hostname
    elif hostname is None:
        several, first = [], None
    else:
        several = [host for text in hostname for host in _split(text)]
        if not several:
            raise ValueError('the list of hosts to connect to is empty')
        first = several[0]
    if isinstance(alternates, str):
        alternates = _split(alternates)
    hosts = several + list(alternates or ())
    return first, [] if hosts == several and len(several) == 1 else hosts


def _split(text: str) -> list[str]:
    return [host.strip() for host in text.split(';') if host.strip()]


def host_cycle(strategy: Strategy, hosts: Sequence[str], current: int | None) -> Iterator[str]:
    """Start going through `hosts` after the one in use.

    Args:
        strategy: decides on the order.
        hosts: all of them.
        current: index of the one that is in use.
    """
    begin = current or 0
    ordered = [*islice(hosts, begin, None), *islice(hosts, begin)]
    iterator = strategy(ordered)
    if current is not None:
        next(iterator, None)
    return iterator
