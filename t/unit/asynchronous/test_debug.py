from __future__ import annotations

from typing import Any

import pytest

from kombu.asynchronous import debug
from kombu.utils.eventio import ERR, READ, WRITE


def read(*args: Any) -> None: ...


def write(*args: Any) -> None: ...


class Callable:
    def method(self) -> None: ...

    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        return '<callable>'


class Hub:
    readers: dict[int, Any] = {5: (read, (1, 'a')), 6: ((x for x in ()), ())}
    writers: dict[int, Any] = {5: (write, ()), 7: None, 8: (write, ())}


hub = Hub()


@pytest.mark.parametrize(
    ('flag', 'shown'),
    [
        (0, ''),
        (READ, 'R'),
        (WRITE, 'W'),
        (READ | WRITE, 'RW'),
        (ERR, '!'),
        (8, '!'),
        (READ | ERR, 'R!'),
        (READ | WRITE | ERR, 'RW!'),
        (32, ''),
    ],
)
def test_repr_flag(flag: int, shown: str) -> None:
    assert debug.repr_flag(flag) == shown


def test_repr_readers() -> None:
    assert debug.repr_readers(hub) == ["(5)read(1, 'a')->R!", '(6)<genexpr>()->R!']


def test_repr_writers() -> None:
    assert debug.repr_writers(hub) == ['(5)write()->W', '(7)<missing>->W', '(8)write()->W']


def test_repr_active() -> None:
    assert debug.repr_active(hub) == ', '.join(debug.repr_readers(hub) + debug.repr_writers(hub))


def test_what_has_no_name() -> None:
    class Hub:
        readers = {1: (Callable(), (2,)), 2: (Callable().method, ())}

    assert debug.repr_readers(Hub()) == ['(1)<callable>(2)->R!', '(2)method()->R!']


def test_repr_events() -> None:
    assert debug.repr_events(hub, [(5, READ), (7, WRITE), (9, READ), (8, ERR)]) == (
        "read(1, 'a')(5)->R, <missing>(7)->W, (GONE)(9)->R, write()(8)->!"
    )
    assert debug.repr_events(hub, None) == ''


@pytest.mark.parametrize(
    ('fd', 'flag', 'expected'),
    [
        (5, READ, (read, (1, 'a'))),
        (5, WRITE, (write, ())),
        (5, READ | WRITE, (read, (1, 'a'))),
        (5, ERR, (read, (1, 'a'))),
        (8, ERR, (write, ())),
        (7, WRITE, None),
        (5, 0, None),
    ],
)
def test_callback_for(fd: int, flag: int, expected: Any) -> None:
    assert debug.callback_for(hub, fd, flag) == expected
    assert debug.callback_for(hub, fd, flag, 'default') == expected


def test_callback_for_what_is_gone() -> None:
    for flag in (READ, WRITE, ERR):
        with pytest.raises(KeyError):
            debug.callback_for(hub, 99, flag)
        assert debug.callback_for(hub, 99, flag, 'default') == 'default'
        assert debug.callback_for(hub, 99, flag, None) is None
