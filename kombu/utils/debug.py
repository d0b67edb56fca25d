"""Seeing what is called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from types import TracebackType
from typing import Any

from kombu.log import get_logger
from kombu.utils.functional import reprcall

__all__ = ('Logwrapped', 'setup_logging')


def setup_logging(
    loglevel: int | None = logging.DEBUG, loggers: Iterable[str] | None = None
) -> None:
    """Show on standard error what is logged.

    Args:
        loglevel: the least level shown.
        loggers: names of loggers; by default those of connections and channels.
    """
    for name in ('kombu.connection', 'kombu.channel') if loggers is None else loggers:
        logger = get_logger(name)
        if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
            logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.NOTSET if loglevel is None else loglevel)


class Logwrapped:
    """An object around another, that logs each call of a method of the other.

    Args:
        instance: the other object.
        logger: a logger or its name; by default that of the package.
        ident: put before the name of the method; `{0}` in it is the other object.
    """

    def __init__(
        self,
        instance: Any,
        logger: logging.Logger | str | None = None,
        ident: str | None = None,
    ) -> None:
        self.instance = instance
        self.logger = get_logger('kombu' if logger is None else logger)
        self.ident = ident

    def __getattr__(self, key: str) -> Any:
        if key in ('instance', 'logger', 'ident'):  # not there yet while unpickling or copying
            raise AttributeError(key)
        method = getattr(self.instance, key)
        return self._logging(key, method) if callable(method) else method

    def _logging(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def logged(*args: Any, **kwargs: Any) -> Any:
            ident = self.ident.format(self.instance) if self.ident else ''
            self.logger.debug('%s%s', ident, reprcall(name, args, kwargs))
            return method(*args, **kwargs)

        return logged

    def __enter__(self) -> Any:
        entered = type(self.instance).__enter__(self.instance)
        return self if entered is self.instance else entered

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Any:
        return type(self.instance).__exit__(self.instance, exc_type, exc_val, exc_tb)

    def __repr__(self) -> str:
        return repr(self.instance)

    def __dir__(self) -> list[str]:
        return dir(self.instance)
