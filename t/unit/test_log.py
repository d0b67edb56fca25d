from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

import pytest

from kombu import log
from kombu.log import Log, LogMixin, get_logger, get_loglevel, naive_format_parts, safeify_format


def test_get_logger_has_a_handler() -> None:
    logger = get_logger('t.log.fresh')
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert get_logger(logger) is get_logger('t.log.fresh') is logger
    assert len(logger.handlers) == 1


def test_log_levels_both_ways() -> None:
    assert log.LOG_LEVELS['WARN'] == log.LOG_LEVELS['WARNING'] == 30
    assert log.LOG_LEVELS[30] == 'WARNING'
    assert log.LOG_LEVELS[50] == 'CRITICAL'


@pytest.mark.parametrize(('level', 'number'), [('DEBUG', 10), ('info', 20), (10, 10), (None, None)])
def test_get_loglevel(level: Any, number: Any) -> None:
    assert get_loglevel(level) == number


@pytest.mark.parametrize(('level', 'hint'), [('DEBGU', "'DEBUG'"), ('x', 'CRITICAL, FATAL')])
def test_unknown_loglevel(level: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        get_loglevel(level)


@pytest.mark.parametrize(
    ('fmt', 'parts'),
    [('%s %-5r %d %%', 'srd'), ('%(x)s %5.2f %*d', 'sfd'), ('none', ''), ('%', ''), ('', '')],
)
def test_naive_format_parts(fmt: str, parts: str) -> None:
    assert list(naive_format_parts(fmt)) == list(parts)


def test_safeify_format() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    fmt = '%s|%r|%d|%r'
    text = fmt % tuple(safeify_format(fmt, (b'\xff', Broken(), 3, {'a': 1})))
    assert text.startswith('\ufffd|<Unrepresentable')
    assert text.endswith("|3|{'a': 1}")
    assert list(safeify_format('%s', ('a', 'more'))) == ['a', 'more']
    assert list(safeify_format('%s', ('a',), filters={'s': str.upper})) == ['A']


class Worker(LogMixin):
    pass


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


class TestLogMixin:
    def test_levels(self, written: pytest.LogCaptureFixture) -> None:
        worker = Worker()
        for name in ('debug', 'info', 'warn', 'error', 'critical'):
            getattr(worker, name)('%s and %r', name, {'a': 1})
        worker.log('INFO', 'by name')
        assert written.record_tuples[0] == ('Worker', 10, "Worker - debug and {'a': 1}")
        assert [record.levelno for record in written.records] == [10, 20, 30, 40, 50, 20]

    def test_things_without_a_format(self, written: pytest.LogCaptureFixture) -> None:
        Worker().info(1, b'2')
        Worker().info('100%')
        assert written.messages == ['Worker - 1 2', 'Worker - 100%']

    def test_disabled_level(self, written: pytest.LogCaptureFixture) -> None:
        worker = Worker()
        written.set_level(logging.ERROR, 'Worker')
        worker.info('nothing')
        assert not written.records
        assert not worker.is_enabled_for('INFO')
        assert worker.is_enabled_for(logging.ERROR)
        assert worker.get_loglevel('INFO') == 20

    def test_errors_have_the_traceback(self, written: pytest.LogCaptureFixture) -> None:
        try:
            raise KeyError('why')
        except KeyError:
            Worker().error('failed')
            Worker().critical('failed', exc_info=False)
        Worker().error('no error')
        traces = [bool(record.exc_info) for record in written.records]
        assert traces == [True, False, False]

    def test_tracebacks_can_be_disabled(
        self, written: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At every level."""
        monkeypatch.setattr(log, 'DISABLE_TRACEBACKS', '1')
        try:
            raise KeyError
        except KeyError:
            Worker().error('failed')
            Worker().debug('failed', exc_info=True)
        assert not any(record.exc_info for record in written.records)

    def test_name_of_its_own(self, written: pytest.LogCaptureFixture) -> None:
        class Named(LogMixin):
            logger_name = 'mine'

            def annotate(self, text: str) -> str:
                return f'[{text}]'

        Named().info('hello %s', 'you')
        assert written.record_tuples == [('mine', 20, '[hello you]')]


def test_log() -> None:
    assert Log('a.name').logger is logging.getLogger('a.name')
    assert Log('a.name', logger='another').logger is logging.getLogger('another')
    given = logging.getLogger('given')
    assert Log('a.name', logger=given).logger is given
    assert Log('a.name', logger=given).logger_name == 'a.name'


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger without handlers, also those of pytest."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield root
    finally:
        root.handlers = handlers
        root.setLevel(level)


class TestSetupLogging:
    def test_default(self) -> None:
        with bare_root() as root:
            assert log.setup_logging() is root
            assert root.level == logging.ERROR
            (handler,) = root.handlers
            assert isinstance(handler, logging.StreamHandler)
            assert handler.stream is sys.__stderr__

    def test_stream(self) -> None:
        stream = io.StringIO()
        with bare_root() as root:
            log.setup_logging('info', stream)
            root.info('text')
        assert stream.getvalue() == 'text\n'

    def test_file(self, tmp_path: Path) -> None:
        with bare_root() as root:
            log.setup_logging(logging.DEBUG, str(tmp_path / 'log'))
            (handler,) = root.handlers
            handler.close()
            assert isinstance(handler, WatchedFileHandler)

    def test_is_done_once(self) -> None:
        with bare_root() as root:
            log.setup_logging('INFO')
            log.setup_logging('DEBUG')
            assert len(root.handlers) == 1
            assert root.level == logging.INFO
