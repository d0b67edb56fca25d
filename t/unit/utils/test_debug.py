from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from kombu.utils.debug import Logwrapped, setup_logging


class Thing:
    value = 3

    def method(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def __repr__(self) -> str:
        return '<Thing>'


class Manager(Thing):
    left: Any = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> bool:
        self.left = exc_info[0]
        return True


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_logs_calls(logged: pytest.LogCaptureFixture) -> None:
    wrapped = Logwrapped(Thing(), 'some.logger', '[{0} id] ')
    assert wrapped.method(1, b='2') == ((1,), {'b': '2'})
    assert logged.record_tuples == [('some.logger', logging.DEBUG, "[<Thing> id] method(1, b='2')")]


def test_without_ident_and_logger(logged: pytest.LogCaptureFixture) -> None:
    Logwrapped(Thing()).method()
    assert logged.record_tuples == [('kombu', logging.DEBUG, 'method()')]


def test_percent_signs(logged: pytest.LogCaptureFixture) -> None:
    Logwrapped(Thing(), ident='%s').method('%d')
    assert logged.messages == ["%smethod('%d')"]


def test_looks_like_the_other() -> None:
    wrapped = Logwrapped(Thing())
    assert wrapped.value == 3
    assert repr(wrapped) == '<Thing>'
    assert 'method' in dir(wrapped)
    with pytest.raises(AttributeError, match='nothing'):
        _ = wrapped.nothing
    with pytest.raises(AttributeError):
        Logwrapped.__new__(Logwrapped).logger.debug('')


def test_context_manager(logged: pytest.LogCaptureFixture) -> None:
    """Calls within the block are logged as well."""
    manager = Manager()
    with Logwrapped(manager) as inside:
        inside.method()
        raise KeyError
    assert manager.left is KeyError
    assert logged.messages == ['method()']


def test_context_manager_that_gives_something_else() -> None:
    class Giving(Manager):
        def __enter__(self) -> str:
            return 'given'

    with Logwrapped(Giving()) as inside:
        assert inside == 'given'


def test_no_context_manager() -> None:
    with pytest.raises(AttributeError), Logwrapped(Thing()):
        pass


def test_setup_logging() -> None:
    names = ['t.debug.a', 't.debug.b']
    loggers = [logging.getLogger(name) for name in names]
    try:
        setup_logging(logging.INFO, names)
        setup_logging(loggers=names)
        for logger in loggers:
            streams = [h for h in logger.handlers if type(h) is logging.StreamHandler]
            assert len(streams) == 1
            assert logger.level == logging.DEBUG
    finally:
        for logger in loggers:
            logger.handlers.clear()
