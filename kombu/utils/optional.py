"""Drivers that are installed only by those who need them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ('import_optional',)


def import_optional(module: str, extra: str, feature: str) -> ModuleType:
    """Import an optional driver.

    Args:
        module: what to import, e.g. `'redis.asyncio'`.
        extra: the extra of the distribution that installs it, e.g. `'redis'`.
        feature: what needs it, for the text of the error, e.g. `'the redis transport'`.

    Raises:
        ImportError: it is not installed, or it is and something that it imports is not; `__cause__`
            says what.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        missing = getattr(exc, 'name', None) or module
        raise ImportError(
            f'{feature} needs the package {missing!r}: pip install "kombu[{extra}]"',
            name=exc.name,
            path=exc.path,
        ) from exc
