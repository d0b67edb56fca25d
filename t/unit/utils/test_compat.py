from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kombu.utils import _fork, compat


def module(name: str, **names: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


class TestDetectEnvironment:
    @pytest.fixture(autouse=True)
    def neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ('eventlet', 'eventlet.patcher', 'gevent', 'gevent.monkey'):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(compat, '_environment', None)

    def test_default(self) -> None:
        assert compat.detect_environment() == compat._detect_environment() == 'default'

    @pytest.mark.parametrize(('patched', 'found'), [(True, 'gevent'), (False, 'default')])
    def test_gevent(self, monkeypatch: pytest.MonkeyPatch, patched: bool, found: str) -> None:
        monkeypatch.setitem(sys.modules, 'gevent', module('gevent'))
        monkey = module('gevent.monkey', is_module_patched=lambda name: patched)
        monkeypatch.setitem(sys.modules, 'gevent.monkey', monkey)
        assert compat._detect_environment() == found

    @pytest.mark.parametrize(('patched', 'found'), [(True, 'eventlet'), (False, 'default')])
    def test_eventlet(self, monkeypatch: pytest.MonkeyPatch, patched: bool, found: str) -> None:
        monkeypatch.setitem(sys.modules, 'eventlet', module('eventlet'))
        patcher = module('eventlet.patcher', is_monkey_patched=lambda what: patched)
        monkeypatch.setitem(sys.modules, 'eventlet.patcher', patcher)
        assert compat._detect_environment() == found

    def test_half_imported_packages_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ('eventlet', 'gevent'):
            monkeypatch.setitem(sys.modules, name, module(name))
        assert compat._detect_environment() == 'default'

    def test_is_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compat, '_environment', 'gevent')
        assert compat.detect_environment() == 'gevent'
        assert compat._detect_environment() == 'default'

    def test_gevent_concurrent_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert compat.get_gevent_concurrent_error() is None
        monkeypatch.setitem(sys.modules, 'gevent', module('gevent'))
        assert compat.get_gevent_concurrent_error() is None
        exceptions = module('gevent.exceptions', ConcurrentObjectUseError=KeyError)
        monkeypatch.setitem(sys.modules, 'gevent.exceptions', exceptions)
        assert compat.get_gevent_concurrent_error() is KeyError


def test_fileno() -> None:
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read) as file:
        assert compat.fileno(file) == compat.maybe_fileno(file) == read
    assert compat.fileno(3) == 3


@pytest.mark.parametrize('thing', [None, 'text', io.BytesIO(), object()])
def test_no_fileno(thing: Any) -> None:
    with pytest.raises(compat.FILENO_ERRORS):
        compat.fileno(thing)
    assert compat.maybe_fileno(thing) is None


def test_fileno_of_none() -> None:
    with pytest.raises(ValueError, match='None'):
        compat.fileno(None)


def test_coro() -> None:
    got = []

    @compat.coro
    def collect(first: str) -> Generator[None, str, None]:
        got.append(first)
        while True:
            got.append((yield))

    running = collect('a')
    running.send('b')
    assert got == ['a', 'b']


def test_nested() -> None:
    events = []

    @contextmanager
    def manager(name: str) -> Iterator[str]:
        events.append(f'+{name}')
        try:
            yield name
        finally:
            events.append(f'-{name}')

    with compat.nested(manager('a'), manager('b')) as entered:
        assert entered == ['a', 'b']
    assert events == ['+a', '+b', '-b', '-a']
    with pytest.raises(KeyError), compat.nested(manager('c')):
        raise KeyError
    assert events[4:] == ['+c', '-c']
    with compat.nested() as entered:
        assert entered == []


def test_entrypoints() -> None:
    found = dict(compat.entrypoints('pytest11'))
    assert any(point.name == 'timeout' for point in found)
    assert all(isinstance(plugin, types.ModuleType) for plugin in found.values())
    assert list(compat.entrypoints('kombu.no-such-group')) == []


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match='nothing'):
        _ = compat.nothing


class Registered:
    def __init__(self) -> None:
        self.called: list[str] = []


class TestRegisterAfterFork:
    def test_calls_in_order(self) -> None:
        obj = Registered()
        compat.register_after_fork(obj, lambda obj: obj.called.append('a'))
        compat.register_after_fork(obj, lambda obj: obj.called.append('b'))
        _fork._in_child()
        assert obj.called == ['a', 'b']

    def test_one_that_fails_does_not_stop_the_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        obj = Registered()

        def fail(obj: Registered) -> None:
            raise KeyError('reason')

        compat.register_after_fork(obj, fail)
        compat.register_after_fork(obj, lambda obj: obj.called.append('a'))
        _fork._in_child()
        assert obj.called == ['a']
        assert 'reason' in caplog.text

    def test_keeps_nothing_alive(self) -> None:
        gc.collect()  # what other tests left behind
        before = len(_fork._registered)
        obj = Registered()
        compat.register_after_fork(obj, print)
        del obj
        gc.collect()
        assert len(_fork._registered) == before

    @pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork here')
    @pytest.mark.parametrize('how', ['os', 'multiprocessing'])
    def test_real_forks(self, how: str) -> None:
        """In an interpreter without threads, which is what may be forked."""
        script = textwrap.dedent("""
            import multiprocessing, os, sys
            from kombu.utils.compat import register_after_fork

            class Thing:
                forked = 0

                def after_fork(self):
                    self.forked += 1

            thing = Thing()
            register_after_fork(thing, Thing.after_fork)

            def child():
                os._exit(40 + thing.forked)

            if sys.argv[1] == 'os':
                pid = os.fork()
                pid or child()
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            else:
                process = multiprocessing.get_context('fork').Process(target=child)
                process.start()
                process.join()
                status = process.exitcode
            assert (status, thing.forked) == (41, 0), (status, thing.forked)
        """)
        subprocess.run([sys.executable, '-c', script, how], check=True, timeout=30)
