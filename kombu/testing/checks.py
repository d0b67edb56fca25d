"""Checks that explain themselves, with or without a test framework, and under `python -O`."""

from __future__ import annotations

import contextvars
import reprlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from unittest import SkipTest

__all__ = (
    'Broken',
    'Hung',
    'NotApplicable',
    'NotClaimed',
    'check',
    'equal',
    'eventually',
    'raises',
    'together',
    'within',
)

T = TypeVar('T')


class Broken(AssertionError):
    """The transport does not keep the guarantee."""


class Hung(Broken):
    """Something did not end in the time it had."""


class NotApplicable(SkipTest):
    """The scenario cannot run against this target; the text says why."""


class NotClaimed(NotApplicable):
    """The scenario is about a capability that the transport does not claim."""


def check(condition: object, problem: str) -> None:
    """Raise `Broken` with `problem` unless `condition` holds."""
    if not condition:
        raise Broken(problem)


def equal(actual: object, expected: object, what: str) -> None:
    """Raise `Broken` unless both are equal; `what` names the value in the report."""
    if actual != expected:
        raise Broken(f'{what}: expected {shorten(expected)}, got {shorten(actual)}')


def shorten(value: object, limit: int = 400) -> str:
    """Represent `value` in at most some `limit` characters."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = limit // 2
    short.maxlist = short.maxtuple = short.maxset = short.maxdict = 30
    text = short.repr(bytes(value[:limit]) if isinstance(value, (bytes, bytearray)) else value)
    return text if len(text) <= limit else f'{text[: limit - 4]} ...'


def raises(
    errors: type[BaseException] | tuple[type[BaseException], ...],
    fun: Callable[[], Any],
    what: str,
) -> BaseException:
    """Call `fun` and return the error it raises.

    Raises:
        Broken: it raises none, or one that is not of `errors`.
    """
    try:
        result = fun()
    except errors as exc:
        return exc
    except Exception as exc:
        raise Broken(
            f'{what} raised {type(exc).__name__} ({exc}), which is not a documented error'
        ) from exc
    raise Broken(f'{what} raised nothing and returned {shorten(result)}')


def eventually(
    fun: Callable[[], T], timeout: float = 5.0, *, interval: float = 0.02, what: str = ''
) -> T:
    """Call `fun` again and again until it returns something true, and return that.

    Args:
        fun: what to ask; exceptions end the wait.
        timeout: seconds to go on for.
        interval: seconds between two calls.
        what: names the condition in the report.

    Raises:
        Broken: it did not happen in time.
    """
    end = time.monotonic() + timeout
    while True:
        result = fun()
        if result:
            return result
        if time.monotonic() > end:
            raise Broken(f'{what or "the condition"}: not so after {timeout:g} s')
        time.sleep(interval)


def within(seconds: float, fun: Callable[[], Any], what: str) -> Any:
    """Call `fun` in a thread and return what it returns, or raise what it raises.

    Raises:
        Hung: it did neither within `seconds`.
    """
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(fun())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(work,), daemon=True, name=what
    )
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        frame = sys._current_frames().get(thread.ident or 0)
        where = places(traceback.extract_stack(frame)) if frame else 'nowhere'
        raise Hung(f'{what}: still running after {seconds:g} s, at {where}')
    if errors:
        raise errors.pop()  # popped: else the traceback and this frame hold each other
    return results[0]


def places(stack: Iterable[traceback.FrameSummary], limit: int = 4) -> str:
    """Say in a line where the innermost `limit` frames of a stack are, innermost first."""
    inner = list(stack)[-limit:]
    return ' < '.join(
        f'{Path(frame.filename).name}:{frame.lineno} {frame.name}()' for frame in reversed(inner)
    )


def together(seconds: float, work: Callable[[int], Any], count: int) -> list[Any]:
    """Call `work(number)` in `count` threads at once; return what each returned, or its exception.

    Raises:
        Hung: one of them did not end within `seconds`.
    """
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = work(number)
        except Exception as exc:
            results[number] = exc

    threads = [
        threading.Thread(target=run, args=(number,), daemon=True, name=f'together-{number}')
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        raise Hung(f'{len(stuck)} of {count} threads did not end in {seconds:g} s')
    return results
