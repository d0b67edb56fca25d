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

    Raises:
        TypeError: something given as a host is no text.
        ValueError: the list of hosts is empty.
    """
    if hostname is None or (isinstance(hostname, str) and ';' not in hostname):
        several, first = [], hostname
    else:
        several = _split('hostname', hostname)
        if not several:
            raise ValueError(f'there is no host to connect to in hostname={hostname!r}')
        first = several[0]
    hosts = several + _split('alternates', alternates or ())
    return first, [] if hosts == several and len(several) == 1 else hosts


def _split(argument: str, hosts: Any) -> list[str]:
    """Return the hosts named in a text, or in several."""
    texts = (hosts,) if isinstance(hosts, str) else hosts
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        kind = type(hosts).__name__
        raise TypeError(f'{argument} is a URL, a host name, or a list of them, not {kind}')
    found = []
    for text in texts:
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f'{argument} holds {kind}, which is neither a URL nor a host name')
        found += [host.strip() for host in text.split(';') if host.strip()]
    return found


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
