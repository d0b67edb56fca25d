from __future__ import annotations

from typing import Any

import pytest

from kombu import matcher
from kombu.matcher import MatcherNotInstalled, MatcherRegistry
from kombu.utils import compat


@pytest.mark.parametrize(
    ('name', 'pattern', 'using', 'matches'),
    [
        ('celery.x', 'celery.*', 'glob', True),
        ('celery.x', 'celery.*', None, True),
        ('a', 'b', 'glob', False),
        ('abc', 'a.c', 'pcre', True),
        ('abcd', 'a.c', 'pcre', True),
        ('xabc', 'a.c', 'pcre', False),
        ('a.c', 'abc', 'pcre', False),
    ],
)
def test_match(name: str, pattern: str, using: str | None, matches: bool) -> None:
    assert bool(matcher.match(name, pattern, using)) is matches


def test_own_matcher() -> None:
    registry = MatcherRegistry()
    registry.register('both', lambda data, pattern, **kwargs: (data, pattern, kwargs))
    assert registry.match('d', 'p', 'both', {'x': 1}) == ('d', 'p', {'x': 1})
    registry.unregister('both')
    with pytest.raises(MatcherNotInstalled):
        registry.match('d', 'p', 'both')
    with pytest.raises(MatcherNotInstalled):
        registry.unregister('both')


def test_pattern_first() -> None:
    registry = MatcherRegistry()
    registry.register('pcre', lambda first, second: (first, second))
    assert registry.match('data', 'pattern', 'pcre') == ('pattern', 'data')


def test_suggests() -> None:
    with pytest.raises(MatcherNotInstalled, match=r"No matcher installed for glop.*'glob'"):
        matcher.match('a', 'b', 'glop')


def test_entry_points_are_asked_once_and_late(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []

    class Point:
        name = 'equal'

    def entrypoints(group: str) -> Any:
        groups.append(group)
        yield Point, lambda data, pattern: data == pattern

    monkeypatch.setattr(compat, 'entrypoints', entrypoints)
    registry = MatcherRegistry(discover=matcher._entry_points)
    registry.register('glob', lambda data, pattern: True)
    assert registry.match('a', 'b')
    assert groups == []
    assert registry.match('a', 'a', 'equal')
    with pytest.raises(MatcherNotInstalled):
        registry.match('a', 'b', 'other')
    assert groups == ['kombu.matchers']
