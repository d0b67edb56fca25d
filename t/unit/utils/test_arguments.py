from __future__ import annotations

import warnings

import pytest

from kombu.exceptions import UnknownArgumentWarning
from kombu.utils.arguments import warn_unknown


def test_suggests() -> None:
    with pytest.warns(UnknownArgumentWarning, match=r"Queue.*'durabel'.*did you mean 'durable'"):
        warn_unknown('Queue', ['durabel'], {'durable', 'exclusive'})


def test_without_suggestion() -> None:
    with pytest.warns(UnknownArgumentWarning, match="'xyz' has no effect$"):
        warn_unknown('Queue', {'xyz': 1}, ['durable'])


def test_one_warning_each() -> None:
    with pytest.warns(UnknownArgumentWarning) as caught:
        warn_unknown('Queue', ['a', 'b'], [])
    assert len(caught) == 2


def test_nothing_unknown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_unknown('Queue', [], ['durable'])


def test_points_at_the_caller_outside_of_the_library() -> None:
    """Whatever number of constructors lies between."""
    inside = {'__name__': 'kombu.entity', 'warn_unknown': warn_unknown}
    exec(  # noqa: S102 - a function that counts as one of the library's
        'def init(): warn_unknown("Queue", ["x"], [])\ndef outer(): init()', inside
    )
    with pytest.warns(UnknownArgumentWarning) as caught:
        inside['outer']()  # type: ignore[operator]
    assert caught[0].filename == __file__
