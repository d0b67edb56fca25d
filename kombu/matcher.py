"""Matching names with patterns, by matchers that are registered under a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from re import match as rematch
from typing import Any

from kombu.utils import compat
from kombu.utils.text import fmatch_best

__all__ = (
    'MatcherNotInstalled',
    'MatcherRegistry',
    'match',
    'register',
    'register_glob',
    'register_pcre',
    'registry',
    'unregister',
)

#: Takes the name and the pattern, or the pattern and the name:
#: `MatcherRegistry.matcher_pattern_first` says which.
MatcherFunction = Callable[..., Any]


class MatcherNotInstalled(Exception):
    """No matcher is registered under that name."""


class MatcherRegistry:
    """The matchers that there are.

    Args:
        discover: gives further matchers as `(name, function)`; called once, when a name is not
            known.
    """

    MatcherNotInstalled = MatcherNotInstalled

    #: The matchers that take the pattern as their first argument.
    matcher_pattern_first = ['pcre']

    def __init__(
        self, discover: Callable[[], Iterable[tuple[str, MatcherFunction]]] | None = None
    ) -> None:
        self._matchers: dict[str, MatcherFunction] = {}
        self._default_matcher = 'glob'
        self._discover = discover

    def register(self, name: str, matcher: MatcherFunction) -> None:
        """Add a matcher, or replace the one of that name.

        Args:
            name: what to call it.
            matcher: called with the name and the pattern, both text; what it returns is true or
                false.
        """
        self._matchers[name] = matcher

    def unregister(self, name: str) -> None:
        """Remove a matcher.

        Raises:
            MatcherNotInstalled: there is none of that name.
        """
        self._find(name)
        del self._matchers[name]

    def match(
        self,
        data: str,
        pattern: str,
        matcher: str | None = None,
        matcher_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Say whether a name matches a pattern.

        Args:
            data: the name.
            pattern: the pattern.
            matcher: name of the matcher; `glob` by default.
            matcher_kwargs: further arguments for the matcher.

        Raises:
            MatcherNotInstalled: there is no such matcher.
        """
        name = matcher or self._default_matcher
        function = self._find(name)
        arguments = (pattern, data) if name in self.matcher_pattern_first else (data, pattern)
        return function(*arguments, **(matcher_kwargs or {}))

    def _find(self, name: str) -> MatcherFunction:
        if name not in self._matchers and self._discover is not None:
            discover, self._discover = self._discover, None
            for found, function in discover():
                self._matchers.setdefault(found, function)
        try:
            return self._matchers[name]
        except KeyError:
            best = fmatch_best(name, self._matchers)
            hint = f'; did you mean {best!r}?' if best else ''
            raise self.MatcherNotInstalled(f'No matcher installed for {name}{hint}') from None


def _entry_points() -> Iterable[tuple[str, MatcherFunction]]:
    for point, function in compat.entrypoints('kombu.matchers'):
        yield point.name, function


#: The registry that pidbox uses; distributions add to it by the entry-point group `kombu.matchers`.
registry = MatcherRegistry(discover=_entry_points)

match = registry.match
register = registry.register
unregister = registry.unregister


def register_glob() -> None:
    """Register `glob`: shell patterns with `*`, `?` and `[...]`."""
    registry.register('glob', fnmatch)


def register_pcre() -> None:
    """Register `pcre`: regular expressions, matched from the beginning of the name."""
    registry.register('pcre', rematch)


register_glob()
register_pcre()
