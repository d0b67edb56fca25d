"""The checks of the conformance suite."""

from __future__ import annotations

import threading
import time
import unittest

import pytest

from kombu.testing import checks
from kombu.testing.checks import (
    Broken,
    Hung,
    NotApplicable,
    NotClaimed,
    check,
    equal,
    eventually,
    raises,
    together,
    within,
)


def test_check():
    check([1], 'not shown')
    with pytest.raises(Broken, match='what is wrong'):
        check([], 'what is wrong')


def test_equal_shows_both_sides():
    equal({'a': 1}, {'a': 1}, 'value')
    with pytest.raises(Broken, match=r'^bodies: expected \[1\], got \[2\]$'):
        equal([2], [1], 'bodies')


@pytest.mark.parametrize(
    'value', ['x' * 10_000_000, b'x' * 10_000_000, list(range(100_000)), {'a': ['y' * 100_000]}]
)
def test_shorten_keeps_reports_short(value):
    assert len(checks.shorten(value)) <= 400


def test_raises_returns_the_error():
    error = ValueError('bad')

    def fail():
        raise error

    assert raises((KeyError, ValueError), fail, 'it') is error


def test_raises_complains_of_none_and_of_others():
    with pytest.raises(Broken, match='it raised nothing and returned 5'):
        raises(ValueError, lambda: 5, 'it')
    with pytest.raises(Broken, match=r'it raised KeyError .* not a documented error') as caught:
        raises(ValueError, lambda: {}['x'], 'it')
    assert isinstance(caught.value.__cause__, KeyError)


def test_eventually():
    answers = iter([0, None, [], 'yes'])
    assert eventually(lambda: next(answers), 5, interval=0) == 'yes'
    with pytest.raises(Broken, match=r'^rain: not so after 0 s'):
        eventually(lambda: False, 0, interval=0, what='rain')


def test_within_returns_and_raises():
    assert within(5, lambda: 5, 'it') == 5
    with pytest.raises(KeyError, match='x'):
        within(5, lambda: {}['x'], 'it')


def test_within_reports_what_hangs_and_where():
    release = threading.Event()

    def where_it_waits():
        release.wait(10)

    start = time.monotonic()
    with pytest.raises(Hung, match=r'^the call: still running after 0.02 s, .*where_it_waits\(\)'):
        within(0.02, where_it_waits, 'the call')
    assert time.monotonic() - start < 5
    release.set()


def test_together():
    def work(number):
        if number == 2:
            raise ValueError('two')
        return number * 10

    zero, ten, error = together(5, work, 3)
    assert (zero, ten) == (0, 10)
    assert isinstance(error, ValueError)


def test_together_reports_what_hangs():
    release = threading.Event()
    with pytest.raises(Hung, match='2 of 2 threads'):
        together(0.02, lambda number: release.wait(10), 2)
    release.set()


def test_reasons_not_to_run_are_skips():
    """Any test framework knows them, without being imported."""
    assert issubclass(NotApplicable, unittest.SkipTest)
    assert issubclass(NotClaimed, NotApplicable)
    assert issubclass(Hung, Broken)
    assert issubclass(Broken, AssertionError)
