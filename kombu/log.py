"""Logging helpers.

The library logs under the logger `kombu` and writes nowhere unless the application configures a
handler.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from logging.handlers import WatchedFileHandler
from typing import IO, Any

from kombu.utils.encoding import safe_repr, safe_str
from kombu.utils.objects import cached_property
from kombu.utils.text import fmatch_best

__all__ = ('LOG_LEVELS', 'LogMixin', 'get_loglevel', 'setup_logging')

_NAMES = {
    'CRITICAL': logging.CRITICAL,
    'FATAL': logging.CRITICAL,
    'ERROR': logging.ERROR,
    'WARN': logging.WARNING,
    'WARNING': logging.WARNING,
    'INFO': logging.INFO,
    'DEBUG': logging.DEBUG,
    'NOTSET': logging.NOTSET,
}

#: Both ways: numbers by name, and names by number.
LOG_LEVELS: dict[Any, Any] = {
    **_NAMES,
    **{number: logging.getLevelName(number) for number in _NAMES.values()},
}

#: Set in the environment, it leaves tracebacks out of what `LogMixin` logs.
DISABLE_TRACEBACKS = os.environ.get('DISABLE_TRACEBACKS')


def get_logger(logger: str | logging.Logger) -> logging.Logger:
    """Return a logger that has a handler, if only one that writes nothing.

    Args:
        logger: the logger or its name.
    """
    found = logging.getLogger(logger) if isinstance(logger, str) else logger
    if not found.handlers:
        found.addHandler(logging.NullHandler())
    return found


def get_loglevel(level: Any) -> Any:
    """Return the number of a level that is given by name; anything else is returned as it is.

    Raises:
        ValueError: there is no level of that name.
    """
    if not isinstance(level, str):
        return level
    try:
        return _NAMES[level.upper()]
    except KeyError:
        best = fmatch_best(level.upper(), _NAMES)
        hint = f'did you mean {best!r}?' if best else f'known are {", ".join(_NAMES)}'
        raise ValueError(f'unknown log level {level!r}; {hint}') from None


_CONVERSION = re.compile(r'%(?:\(\w*\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[hlL]?(.)')


def naive_format_parts(fmt: str) -> Iterator[str]:
    """Yield the conversions of a format: `s`, `r` and `d` for `'%s %-5r %(count)d %%'`."""
    for conversion in _CONVERSION.findall(fmt):
        if conversion != '%':
            yield conversion


class _Shown(str):
    """A `repr` that stays as it is when `%r` asks for that of the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_SAFE: dict[str, Callable[[Any], str]] = {'s': safe_str, 'r': lambda arg: _Shown(safe_repr(arg))}


def safeify_format(
    fmt: str, args: tuple[Any, ...], filters: Mapping[str, Callable[[Any], Any]] | None = None
) -> Iterator[Any]:
    """Yield the arguments of a format in a form that cannot fail to be written.

    Args:
        fmt: the format, with `%`.
        args: the arguments.
        filters: what to do with the argument of a conversion; by default `safe_str` and
            `safe_repr`.
    """
    using = _SAFE if filters is None else filters
    conversions = list(naive_format_parts(fmt))
    for index, arg in enumerate(args):
        change = using.get(conversions[index]) if index < len(conversions) else None
        yield arg if change is None else change(arg)


class LogMixin:
    """Logging methods for a class, under a logger of its name."""

    def debug(self, *args: Any, **kwargs: Any) -> None:
        """Log at that level; the first argument is the format of the others."""
        self.log(logging.DEBUG, *args, **kwargs)

    def info(self, *args: Any, **kwargs: Any) -> None:
        """Log at that level; the first argument is the format of the others."""
        self.log(logging.INFO, *args, **kwargs)

    def warn(self, *args: Any, **kwargs: Any) -> None:
        """Log at that level; the first argument is the format of the others."""
        self.log(logging.WARNING, *args, **kwargs)

    def error(self, *args: Any, **kwargs: Any) -> None:
        """Log at that level, with the traceback of the error being handled."""
        self._log_error(logging.ERROR, *args, **kwargs)

    def critical(self, *args: Any, **kwargs: Any) -> None:
        """Log at that level, with the traceback of the error being handled."""
        self._log_error(logging.CRITICAL, *args, **kwargs)

    def _log_error(self, severity: int, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('exc_info', sys.exc_info()[0] is not None)
        self.log(severity, *args, **kwargs)

    def annotate(self, text: str) -> str:
        """Say in a text who logs it."""
        return f'{self.logger_name} - {text}'

    def log(self, severity: Any, *args: Any, **kwargs: Any) -> None:
        """Log.

        Args:
            severity: a level, or its name.
            *args: a format and its values, or things to write one after the other.
            **kwargs: as for `logging.Logger.log`.
        """
        level = get_loglevel(severity)
        logger = self.logger
        if not logger.isEnabledFor(level):
            return
        if DISABLE_TRACEBACKS:
            kwargs.pop('exc_info', None)
        if len(args) > 1 and isinstance(args[0], str):
            logger.log(level, self.annotate(args[0]), *safeify_format(args[0], args[1:]), **kwargs)
        else:
            logger.log(level, self.annotate(' '.join(map(safe_str, args))), **kwargs)

    def get_logger(self) -> logging.Logger:
        """Return the logger to use."""
        return get_logger(self.logger_name)

    def is_enabled_for(self, level: Any) -> bool:
        """Say whether anything is written at that level, given as number or name."""
        return self.logger.isEnabledFor(get_loglevel(level))

    def get_loglevel(self, level: Any) -> Any:
        """Return the number of a level that is given by name."""
        return get_loglevel(level)

    @cached_property
    def logger(self) -> logging.Logger:
        """The logger."""
        return self.get_logger()

    @property
    def logger_name(self) -> str:
        """Name of the logger: that of the class."""
        return type(self).__name__


class Log(LogMixin):
    """Something to log with.

    Args:
        name: name of the logger.
        logger: another logger, or its name.
    """

    def __init__(self, name: str, logger: logging.Logger | str | None = None) -> None:
        self._logger_name = name
        self._logger = logger

    def get_logger(self) -> logging.Logger:
        """Return the logger to use."""
        return get_logger(self._logger_name if self._logger is None else self._logger)

    @property
    def logger_name(self) -> str:
        """Name of the logger."""
        return self._logger_name


def setup_logging(
    loglevel: int | str | None = None, logfile: str | IO[str] | None = None
) -> logging.Logger:
    """Make the root logger write somewhere, unless it does already.

    Args:
        loglevel: the least level written; errors by default.
        logfile: path of a file, or a stream; standard error by default.

    Returns:
        the root logger.
    """
    root = logging.getLogger()
    if not root.handlers:
        if isinstance(logfile, str):
            root.addHandler(WatchedFileHandler(logfile))
        else:
            root.addHandler(logging.StreamHandler(sys.__stderr__ if logfile is None else logfile))
        root.setLevel(logging.ERROR if loglevel is None else get_loglevel(loglevel))
    return root
