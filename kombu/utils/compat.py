"""What differs between platforms and between the worlds of threads, gevent and eventlet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any, TypeVar

from kombu.utils._fork import register_after_fork

if TYPE_CHECKING:
    from kombu.utils._entrypoints import entrypoints

__all__ = (
    'FILENO_ERRORS',
    'coro',
    'detect_environment',
    'entrypoints',
    'fileno',
    'get_gevent_concurrent_error',
    'maybe_fileno',
    'nested',
    'register_after_fork',
)

T = TypeVar('T')

#: What asking something for its file descriptor may raise.
FILENO_ERRORS: tuple[type[Exception], ...] = (AttributeError, ValueError, UnsupportedOperation)

#: What `detect_environment` found; patching happens before anything else or not at all.
_environment: str | None = None


def __getattr__(name: str) -> Any:
    if name == 'entrypoints':
        value = getattr(import_module(f'{__package__}._entrypoints'), name)
        globals()[name] = value
        return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def coro(gen: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Generator[Any, Any, Any]]:
    """Decorate a generator function so that what it returns is ready for `send()`."""

    @wraps(gen)
    def started(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = gen(*args, **kwargs)
        next(running)
        return running

    return started


def _detect_environment() -> str:
    """Return what the socket module is patched for, without remembering."""
    # A library that was not imported has patched nothing, and asking must not import it.
    socket = sys.modules.get('socket')
    if 'eventlet' in sys.modules:
        try:
            patched = import_module('eventlet.patcher').is_monkey_patched
            if patched('socket') or (socket is not None and patched(socket)):
                return 'eventlet'
        except ImportError:
            pass
    if 'gevent' in sys.modules:
        try:
            if import_module('gevent.monkey').is_module_patched('socket'):
                return 'gevent'
        except ImportError:
            pass
    return 'default'


def detect_environment() -> str:
    """Return `'eventlet'` or `'gevent'` where sockets are patched, else `'default'`."""
    global _environment  # noqa: PLW0603 - looked up once a process
    if _environment is None:
        _environment = _detect_environment()
    return _environment


def get_gevent_concurrent_error() -> type[BaseException] | None:
    """Return the error gevent raises when two greenlets use one socket, or None without gevent."""
    if 'gevent' not in sys.modules:
        return None
    try:
        found = import_module('gevent.exceptions').ConcurrentObjectUseError
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def fileno(f: Any) -> int:
    """Return a file descriptor.

    Args:
        f: the descriptor itself, or something with a `fileno()`.

    Raises:
        ValueError: `f` is None.
        AttributeError: `f` is neither.
    """
    if f is None:
        raise ValueError('no file, so no file descriptor: None')
    return f if isinstance(f, int) else int(f.fileno())


def maybe_fileno(f: Any) -> int | None:
    """Return a file descriptor, or None for what has none."""
    try:
        return fileno(f)
    except FILENO_ERRORS:
        return None


@contextmanager
def nested(*managers: AbstractContextManager[Any]) -> Iterator[list[Any]]:
    """Enter several context managers, giving the list of what they gave; left in reverse order."""
    with ExitStack() as stack:
        yield [stack.enter_context(manager) for manager in managers]
