"""Unit tests touch no network and do not wait.

Whoever tries fails at once, with a traceback that shows where.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

#: Seconds that a unit test may sleep: enough to let another thread run.
LONGEST_SLEEP = 0.05

_sleep = time.sleep


def _no_network(*args: Any, **kwargs: Any) -> NoReturn:
    # `pytest.fail` raises no Exception, so a retry loop does not swallow it.
    pytest.fail('a unit test tried to use the network')


def _short_sleep(seconds: float) -> None:
    if seconds > LONGEST_SLEEP:
        pytest.fail(f'a unit test tried to sleep for {seconds} s')
    _sleep(seconds)


@pytest.fixture(autouse=True)
def _unit_test_guards() -> Iterator[None]:
    """Fail on connecting, on looking up a host, and on sleeping."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ('connect', 'connect_ex', 'sendto'):
            patch.setattr(socket.socket, name, _no_network)
        patch.setattr(socket, 'getaddrinfo', _no_network)
        patch.setattr(time, 'sleep', _short_sleep)
        _replace_imported_sleep(_sleep, _short_sleep)
        yield
    # Modules that were first imported during the test are put right as well.
    _replace_imported_sleep(_short_sleep, _sleep)


def _replace_imported_sleep(old: Callable[[float], None], new: Callable[[float], None]) -> None:
    """Put `new` wherever a module of the package or of the tests holds `old` as its `sleep`."""
    for name, module in list(sys.modules.items()):
        if name.startswith(('kombu.', 't.unit.')) and vars(module).get('sleep') is old:
            vars(module)['sleep'] = new
