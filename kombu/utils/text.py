"""Matching names approximately, escaping, version numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

__all__ = (
    'escape_regex',
    'fmatch_best',
    'fmatch_iter',
    'version_info_t',
    'version_string_as_tuple',
)


class version_info_t(NamedTuple):
    """A version number taken apart."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


def escape_regex(p: str, white: str = '') -> str:
    """Escape what a regular expression would give a meaning to.

    Args:
        p: literal text.
        white: characters that keep their meaning.
    """
    return ''.join(
        c if c.isalnum() or c in white else '\\000' if c == '\000' else f'\\{c}' for c in p
    )


def fmatch_iter(
    needle: str, haystack: Iterable[str], min_ratio: float = 0.6
) -> Iterator[tuple[float, str]]:
    """Yield `(similarity, key)` for each key that resembles `needle`.

    Args:
        needle: the name looked for.
        haystack: the names that exist.
        min_ratio: the least similarity, between 0 and 1.
    """
    for key in haystack:
        ratio = SequenceMatcher(None, needle, key).ratio()
        if ratio >= min_ratio:
            yield ratio, key


def fmatch_best(needle: str, haystack: Iterable[str], min_ratio: float = 0.6) -> str | None:
    """Return the key of `haystack` that resembles `needle` most, or None when none does."""
    found = max(fmatch_iter(needle, haystack, min_ratio), default=None)
    return None if found is None else found[1]


_NUMBER = re.compile(r'(\d+)(.*)', re.DOTALL)


def version_string_as_tuple(s: str) -> version_info_t:
    """Take a version number apart.

    Args:
        s: e.g. `'5.0.1'`, `'4.2rc1'`, `'3'`.

    Raises:
        ValueError: it does not begin with a number.
    """
    numbers: list[int] = []
    rest: list[str] = []
    for part in s.split('.'):
        match = None if rest or len(numbers) == 3 else _NUMBER.fullmatch(part)
        if match is None:
            rest.append(part)
            continue
        numbers.append(int(match[1]))
        if match[2]:
            rest.append(match[2])
    if not numbers:
        raise ValueError(f'not a version number: {s!r} (expected something like 5.0.1)')
    major, minor, micro = (numbers + [0, 0])[:3]
    level, serial = (rest + ['', ''])[:2]
    return version_info_t(major, minor, micro, level, serial)
