from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kombu import resource as module
from kombu.exceptions import ConnectionLimitExceeded, LimitExceeded
from kombu.resource import Resource
from kombu.utils.functional import lazy


class Thing:
    release: Callable[[], None]

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.closed = False
        pool.made.append(self)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f'<Thing {self.pool.made.index(self)}>'


class Pool(Resource):
    """A pool the way dependents write them."""

    broken: type[BaseException] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.made: list[Thing] = []
        self.events: list[tuple[str, Any]] = []
        super().__init__(*args, **kwargs)

    def setup(self) -> None:
        for index in range(self.limit or 0):
            made = self.new() if index < self.preload else lazy(self.new)
            self._resource.put_nowait(made)

    def new(self) -> Thing:
        return Thing(self)

    def prepare(self, resource: Any) -> Thing:
        self.check('prepare', resource)
        return resource() if isinstance(resource, lazy) else resource

    def release_resource(self, resource: Thing) -> None:
        self.check('release', resource)

    def close_resource(self, resource: Thing) -> None:
        self.check('close', resource)
        super().close_resource(resource)

    def collect_resource(self, resource: Any) -> None:
        self.check('collect', resource)
        super().collect_resource(resource)

    def check(self, event: str, resource: Any) -> None:
        if not isinstance(resource, lazy):
            self.events.append((event, resource))
        if self.broken is not None:
            raise self.broken

    @property
    def idle(self) -> list[Any]:
        return list(self._resource.queue)

    def history(self, resource: Thing) -> list[str]:
        return [event for event, which in self.events if which is resource]


class TestAcquire:
    def test_makes_what_is_needed(self) -> None:
        pool = Pool(3)
        assert pool.made == []
        first = pool.acquire()
        assert pool.made == [first]
        assert pool._dirty == {first}
        assert len(pool.idle) == 2

    def test_what_was_used_last_is_taken_first(self) -> None:
        pool = Pool(3)
        first, second = pool.acquire(), pool.acquire()
        first.release()
        second.release()
        assert pool.acquire() is second
        assert pool.acquire() is first
        assert pool.history(first) == ['release', 'prepare']

    def test_limit(self) -> None:
        pool = Pool(2)
        held = [pool.acquire(), pool.acquire()]
        with pytest.raises(LimitExceeded, match='all 2 resources of the Pool'):
            pool.acquire()
        with pytest.raises(LimitExceeded):
            pool.acquire(block=True, timeout=0)
        with pytest.raises(LimitExceeded):
            pool.acquire(block=True, timeout=0.01)
        held.pop().release()
        assert pool.acquire()

    def test_error_of_the_subclass(self) -> None:
        class Connections(Pool):
            LimitExceeded = ConnectionLimitExceeded

        pool = Connections(1)
        pool.acquire()
        with pytest.raises(ConnectionLimitExceeded):
            pool.acquire()

    def test_waits_for_a_release(self) -> None:
        pool = Pool(1)
        held = pool.acquire()
        with released_while_waiting(pool, held.release):
            assert pool.acquire(block=True, timeout=5) is held

    def test_waits_for_a_replacement(self) -> None:
        pool = Pool(1)
        held = pool.acquire()
        with released_while_waiting(pool, lambda: pool.replace(held)):
            assert pool.acquire(block=True, timeout=5) is not held

    def test_waits_for_a_larger_limit(self) -> None:
        pool = Pool(1)
        pool.acquire()
        with released_while_waiting(pool, lambda: pool.resize(2)):
            assert pool.acquire(block=True)

    def test_closing_ends_the_waiting(self) -> None:
        pool = Pool(1)
        pool.acquire()
        with (
            released_while_waiting(pool, pool.force_close_all),
            pytest.raises(RuntimeError, match='closed pool'),
        ):
            pool.acquire(block=True)

    def test_preload(self) -> None:
        pool = Pool(3, preload=2)
        assert len(pool.made) == 2
        assert pool.preload == 2

    def test_setup_may_put_nothing(self) -> None:
        class Empty(Pool):
            def setup(self) -> None:
                pass

        pool = Empty(1)
        pool.acquire()
        with pytest.raises(LimitExceeded):
            pool.acquire()

    def test_keeps_the_limit_among_threads(self) -> None:
        pool = Pool(3)
        most = 0
        failures = []

        def work() -> None:
            nonlocal most
            try:
                for _ in range(200):
                    with pool.acquire(block=True, timeout=5):
                        most = max(most, len(pool._dirty))
            except Exception as exc:
                failures.append(exc)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not failures
        assert most <= 3
        assert len(pool.made) <= 3
        assert not pool._dirty
        assert not pool._coming
        assert not pool._waiting


class released_while_waiting:
    """Calls something in a thread as soon as this one waits for a resource."""

    def __init__(self, pool: Pool, action: Callable[[], Any]) -> None:
        self.pool = pool
        self.thread = threading.Thread(target=self.run)
        self.action = action

    def run(self) -> None:
        tick = threading.Event()
        for _ in range(5000):
            if self.pool._waiting:
                break
            tick.wait(0.001)
        self.action()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *exc_info: object) -> None:
        self.thread.join(5)


class TestPrepare:
    def test_failure_gives_the_place_back(self) -> None:
        pool = Pool(1)
        pool.broken = KeyError
        for _ in range(3):
            with pytest.raises(KeyError):
                pool.acquire()
        pool.broken = None
        assert pool.acquire()
        assert not pool._coming

    def test_what_is_broken_is_replaced(self) -> None:
        """A resource that cannot be made ready must not come back for ever."""
        pool = Pool(1)
        first = pool.acquire()
        first.release()
        pool.broken = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            pool.check('', None)
        pool.broken = KeyError
        with pytest.raises(KeyError):
            pool.acquire()
        pool.broken = None
        assert pool.history(first)[-1] == 'close'
        assert pool.acquire() is not first

    def test_default(self) -> None:
        assert Resource.prepare(Pool(1), 'thing') == 'thing'


class TestRelease:
    def test_with(self) -> None:
        pool = Pool(1)
        with pool.acquire() as thing:
            assert pool._dirty == {thing}
        assert pool.idle == [thing]

    def test_by_the_pool(self) -> None:
        pool = Pool(1)
        thing = pool.acquire()
        pool.release(thing)
        assert pool.idle == [thing]
        thing.release()
        assert pool.idle == [thing]

    def test_twice(self) -> None:
        """The second must not give two users one resource."""
        pool = Pool(2)
        thing = pool.acquire()
        release = thing.release
        release()
        release()
        pool.release(thing)
        assert pool.idle.count(thing) == 1
        again = pool.acquire()
        release()
        assert pool._dirty == {again}

    def test_foreign_resource_is_not_taken_in(self) -> None:
        pool = Pool(1)
        pool.release(Thing(pool))
        assert len(pool.idle) == 1

    def test_failure_drops_the_resource(self) -> None:
        pool = Pool(1)
        thing = pool.acquire()
        pool.broken = KeyError
        with pytest.raises(KeyError):
            thing.release()
        pool.broken = None
        assert pool.history(thing)[-1] == 'close'
        assert pool.acquire() is not thing

    def test_repr(self) -> None:
        thing = Pool(1).acquire()
        release = thing.release
        assert repr(release) == '<release: <Thing 0>>'
        release()
        assert repr(release) == '<release: done>'

    def test_idle_resource_does_not_keep_the_pool(self) -> None:
        gc.disable()
        try:
            pool = Resource.__new__(Simple)
            Simple.__init__(pool, 1)
            thing = pool.acquire()
            thing.release()
            dead = weakref.ref(pool)
            del pool
            assert dead() is None
        finally:
            gc.enable()


class Simple(Resource):
    class Thing:
        release: Any

    def setup(self) -> None:
        pass

    def new(self) -> Any:
        return self.Thing()


def test_replace() -> None:
    pool = Pool(1)
    thing = pool.acquire()
    pool.replace(thing)
    assert thing.closed
    thing.release()
    assert pool.acquire() is not thing
    assert len(pool.made) == 2


def test_replace_that_fails_frees_the_place() -> None:
    pool = Pool(1)
    thing = pool.acquire()
    pool.broken = KeyError
    with pytest.raises(KeyError):
        pool.replace(thing)
    pool.broken = None
    assert pool.acquire()


class TestNoPool:
    @pytest.mark.parametrize('limit', [None, 0])
    def test_a_resource_each(self, limit: int | None) -> None:
        pool = Pool(limit)
        first, second = pool.acquire(), pool.acquire()
        assert first is not second
        first.release()
        first.release()
        assert pool.history(first) == ['prepare', 'close']
        pool.release(second)
        assert second.closed
        assert pool.idle == []

    def test_closed(self) -> None:
        pool = Pool(None)
        pool.force_close_all()
        with pytest.raises(RuntimeError):
            pool.acquire()


class TestResize:
    def test_grow(self) -> None:
        pool = Pool(1)
        first = pool.acquire()
        pool.resize(3)
        assert pool.limit == 3
        rest = [pool.acquire(), pool.acquire()]
        with pytest.raises(LimitExceeded):
            pool.acquire()
        assert len({first, *rest}) == 3

    def test_shrink_closes_the_idle(self) -> None:
        pool = Pool(3)
        things = [pool.acquire() for _ in range(3)]
        for thing in things:
            thing.release()
        pool.resize(1)
        assert [thing.closed for thing in things] == [True, True, False]
        assert pool.idle == things[2:]

    def test_shrink_forgets_what_was_not_made(self) -> None:
        pool = Pool(3)
        pool.resize(1)
        assert len(pool.idle) == 1
        assert pool.made == []

    def test_shrink_in_use(self) -> None:
        pool = Pool(3)
        things = [pool.acquire() for _ in range(2)]
        pool.resize(2)
        with pytest.raises(RuntimeError, match='2 of 2 are, and 1 are wanted'):
            pool.resize(1)
        assert pool.limit == 2
        assert not any(thing.closed for thing in things)

    @pytest.mark.parametrize('how', ['force', 'ignore_errors', 'assign'])
    def test_shrink_by_force(self, how: str) -> None:
        """What is too much is closed when it is released."""
        pool = Pool(2)
        first, second = pool.acquire(), pool.acquire()
        if how == 'assign':
            pool.limit = 1
        else:
            pool.resize(1, **{how: True})
        first.release()
        assert first.closed
        second.release()
        assert not second.closed
        assert pool.idle == [second]

    def test_reset(self) -> None:
        """The pool stays usable, and what was in use does not come back."""
        pool = Pool(2)
        used, idle = pool.acquire(), pool.acquire()
        idle.release()
        pool.resize(3, reset=True)
        assert pool.history(used)[-1] == pool.history(idle)[-1] == 'collect'
        used.release()
        fresh = [pool.acquire() for _ in range(3)]
        assert used not in fresh
        assert idle not in fresh

    def test_to_no_pool_and_back(self) -> None:
        pool = Pool(2)
        held = pool.acquire()
        pool.resize(None)
        assert pool.idle == []
        held.release()
        assert held.closed
        outside = pool.acquire()
        pool.resize(1)
        outside.release()
        assert len(pool.idle) == 1
        pool.acquire()
        with pytest.raises(LimitExceeded):
            pool.acquire()

    def test_setup_in_the_new_size(self) -> None:
        pool = Pool(None)
        pool.limit = 2
        assert len(pool.idle) == 2

    def test_a_resource_that_cannot_be_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level('DEBUG')
        pool = Pool(1, preload=1)
        pool.broken = KeyError
        pool.resize(0)
        assert 'cannot dispose of a Thing' in caplog.text

    @pytest.mark.parametrize('limit', [True, False, '2', 1.5])
    def test_limit_must_be_a_number(self, limit: Any) -> None:
        with pytest.raises(TypeError):
            Pool(limit)
        pool = Pool(2)
        with pytest.raises(TypeError):
            pool.limit = limit
        assert pool.limit == 2

    def test_limit_must_not_be_negative(self) -> None:
        with pytest.raises(ValueError, match='negative: -1'):
            Pool(-1)


class TestForceCloseAll:
    def test_collects_everything(self) -> None:
        pool = Pool(3)
        used, idle = pool.acquire(), pool.acquire()
        idle.release()
        pool.force_close_all()
        assert pool.history(used) == ['collect']
        assert pool.history(idle)[-1] == 'collect'
        assert not pool._dirty
        assert not pool.idle
        with pytest.raises(RuntimeError, match='Acquire on closed pool'):
            pool.acquire()
        used.release()
        assert pool.idle == []
        pool.force_close_all()

    def test_stays_open_on_request(self) -> None:
        pool = Pool(1)
        used = pool.acquire()
        pool.force_close_all(close_pool=False)
        assert pool.acquire() is not used
        pool.force_close_all()
        assert repr(pool) == '<Pool: closed>'

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        pool = Pool(2, preload=2)
        pool.broken = KeyError
        pool.force_close_all()
        assert [event for event, _ in pool.events] == ['collect', 'collect']

    def test_acquired_meanwhile(self) -> None:
        """A resource that was being prepared while the pool was closed is closed when released."""

        class Slow(Pool):
            def prepare(self, resource: Any) -> Thing:
                self.force_close_all()
                return super().prepare(resource)

        pool = Slow(1)
        thing = pool.acquire()
        thing.release()
        assert thing.closed
        assert pool.idle == []


def test_hooks_of_the_base() -> None:
    with pytest.raises(NotImplementedError, match='Resource does not define setup'):
        Resource(1)
    with pytest.raises(NotImplementedError, match='does not define new'):
        Resource.new(Pool(1))


def test_repr() -> None:
    pool = Pool(2)
    held = pool.acquire()
    assert repr(pool) == '<Pool: 1 of 2 in use>'
    assert repr(Pool()) == '<Pool: no limit>'
    assert held


class TestFork:
    def test_starts_afresh(self) -> None:
        pool = Pool(2, close_after_fork=True)
        used, idle = pool.acquire(), pool.acquire()
        idle.release()
        pool._resource.mutex.acquire()  # another thread of the parent was about to acquire
        module._in_child(pool)
        assert pool.history(used)[-1] == pool.history(idle)[-1] == 'collect'
        assert pool.acquire() not in (used, idle)
        used.release()
        assert len(pool._dirty) == 1

    def test_keeps_its_resources(self) -> None:
        pool = Pool(2)
        used, idle = pool.acquire(), pool.acquire()
        idle.release()
        pool._resource.mutex.acquire()
        module._in_child(pool)
        assert pool.acquire() is idle
        used.release()
        assert pool.acquire() is used

    def test_default_of_the_class(self) -> None:
        class Sockets(Pool):
            close_after_fork = True

        assert Sockets().close_after_fork
        assert not Sockets(close_after_fork=False).close_after_fork
        assert not Pool().close_after_fork

    @pytest.mark.skipif(sys.platform == 'win32', reason='there is no fork here')
    def test_real_fork(self) -> None:
        """In an interpreter without threads, which is what may be forked."""
        script = textwrap.dedent("""
            import os
            from kombu.resource import Resource

            class Pool(Resource):
                close_after_fork = True
                class Thing:
                    pass
                def setup(self):
                    pass
                def new(self):
                    return self.Thing()

            pool = Pool(1)
            thing = pool.acquire()
            pid = os.fork()
            if not pid:
                os._exit(41 if pool.acquire() is not thing else 42)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 41
            assert pool._dirty == {thing}
        """)
        subprocess.run([sys.executable, '-c', script], check=True, timeout=30)
