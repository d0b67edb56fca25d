"""Calling back in the child after a fork.

`os.register_at_fork` covers every fork of Python code: `os.fork`, `multiprocessing`, billiard, the
pre-fork servers.  The registry holds what is registered weakly, because pools and channels register
themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from kombu.log import get_logger

__all__ = ('register_after_fork',)

T = TypeVar('T')

logger = get_logger(__name__)

_order = count()
_registered: WeakValueDictionary[tuple[int, Callable[[Any], Any]], Any] = WeakValueDictionary()


def register_after_fork(obj: T, func: Callable[[T], Any]) -> None:
    """Call `func(obj)` in every child process forked while `obj` lives.

    The callbacks run in the order of registration.  One that raises is logged and does not stop the
    others. They must not acquire locks that another thread of the parent may have held.

    Args:
        obj: something that can be weakly referenced.
        func: what to call.
    """
    _registered[next(_order), func] = obj


def _in_child() -> None:
    for (_, func), obj in sorted(_registered.items(), key=lambda item: item[0][0]):
        try:
            func(obj)
        except Exception:
            logger.exception('error in %r after a fork', func)


if hasattr(os, 'register_at_fork'):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_in_child)
