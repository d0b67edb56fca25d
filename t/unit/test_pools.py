"""Pools of connections, channels and producers, and the groups of them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import pools
from kombu.connection import ChannelPool, Connection, ConnectionPool, PooledConnection
from kombu.exceptions import (
    ChannelLimitExceeded,
    ConnectionLimitExceeded,
    LimitExceeded,
    NotBoundError,
)
from kombu.messaging import Producer
from kombu.pools import PoolGroup, ProducerPool
from kombu.utils.functional import lazy
from t.unit.fakes import ChannelFailure, FakeBroker, LinkFailure


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker(
        recoverable_connection_errors=(LinkFailure,), recoverable_channel_errors=(ChannelFailure,)
    )


@pytest.fixture
def connection(broker: FakeBroker) -> Connection:
    return Connection('a', transport=broker.Transport)


@pytest.fixture(autouse=True)
def _own_groups() -> Iterator[None]:
    """Leave the global pools and their limit as they were."""
    limit = pools.get_limit()
    pools.reset()
    yield
    pools.reset()
    pools.set_limit(limit)


class TestConnectionPool:
    def test_made_when_acquired(self, broker: FakeBroker, connection: Connection) -> None:
        pool = connection.Pool(2)
        assert [type(idle) for idle in pool._resource.queue] == [lazy, lazy]
        acquired = pool.acquire()
        assert isinstance(acquired, PooledConnection)
        assert acquired.info() == connection.info()
        assert acquired in pool._dirty
        assert not broker.calls

    def test_preload(self, broker: FakeBroker, connection: Connection) -> None:
        pool = connection.Pool(3, preload=2)
        assert broker.count('connect') == 2
        assert pool.acquire().connected
        assert pool.acquire().connected
        assert not pool.acquire().connected

    def test_limit(self, connection: Connection) -> None:
        pool = connection.Pool(2)
        first, _ = pool.acquire(), pool.acquire()
        with pytest.raises(ConnectionLimitExceeded):
            pool.acquire()
        with pytest.raises(LimitExceeded):
            pool.acquire(block=True, timeout=0.01)
        first.release()
        assert pool.acquire() is first

    def test_released_one_stays_connected(self, connection: Connection) -> None:
        pool = connection.Pool(2)
        with pool.acquire() as acquired:
            acquired.connect()
        assert acquired.connected
        assert not pool._dirty
        assert pool.acquire() is acquired

    def test_without_limit_it_is_closed(self, broker: FakeBroker, connection: Connection) -> None:
        with connection.Pool().acquire() as acquired:
            acquired.connect()
        assert not broker.open_connections
        assert acquired._closed

    @pytest.mark.parametrize('error', [LinkFailure, ChannelFailure, KeyError, KeyboardInterrupt])
    def test_one_whose_block_raised_is_replaced(
        self, broker: FakeBroker, connection: Connection, error: type[BaseException]
    ) -> None:
        pool = connection.Pool(1)
        acquired = pool.acquire()
        acquired.connect()
        with pytest.raises(error), acquired:
            raise error
        assert not broker.open_connections
        assert pool.acquire() is not acquired

    def test_acquire_channel(self, connection: Connection) -> None:
        pool = connection.Pool(1)
        with pool.acquire_channel(block=True) as (acquired, channel):
            assert channel is acquired.default_channel
            assert acquired in pool._dirty
        assert not pool._dirty

    def test_force_close_all(self, broker: FakeBroker, connection: Connection) -> None:
        pool = connection.Pool(3, preload=2)
        pool.acquire()
        pool.force_close_all()
        assert not broker.open_connections
        with pytest.raises(RuntimeError, match='Acquire on closed pool'):
            pool.acquire()

    def test_resize(self, connection: Connection) -> None:
        pool = connection.Pool(1)
        pool.resize(2)
        pool.acquire()
        pool.acquire()
        with pytest.raises(RuntimeError):
            pool.resize(1)

    def test_connections_belong_to_the_pool_but_their_copies_do_not(
        self, connection: Connection
    ) -> None:
        acquired = Connection('memory://h').Pool(1).acquire()
        for other in (acquired.clone(), pickle.loads(pickle.dumps(acquired))):
            assert type(other) is Connection
            assert other.info() == acquired.info()

    def test_repr_hides_the_password(self) -> None:
        assert 'secret' not in repr(Connection('memory://u:secret@h').Pool(1).acquire())


class TestChannelPool:
    def test_channels(self, broker: FakeBroker, connection: Connection) -> None:
        pool = connection.ChannelPool(2)
        assert isinstance(pool, ChannelPool)
        assert not broker.calls
        first, second = pool.acquire(), pool.acquire()
        assert first is not second
        with pytest.raises(ChannelLimitExceeded):
            pool.acquire()
        pool.release(first)
        assert pool.acquire() is first
        assert broker.count('connect') == 1

    def test_closed_one_is_replaced(self, connection: Connection) -> None:
        pool = connection.ChannelPool(1)
        channel = pool.acquire()
        channel.close()
        channel.release()
        assert pool.acquire() is not channel

    def test_preload(self, broker: FakeBroker, connection: Connection) -> None:
        connection.ChannelPool(3, preload=2)
        assert broker.count('create_channel') == 2

    def test_force_close_all(self, broker: FakeBroker, connection: Connection) -> None:
        pool = connection.ChannelPool(3)
        pool.acquire()
        pool.force_close_all()
        assert broker.count('close_channel') == 1


class TestProducerPool:
    def pool(self, connection: Connection, limit: int = 2, **kwargs: Any) -> ProducerPool:
        return ProducerPool(ConnectionPool(connection, limit), **kwargs)

    def test_producer_has_a_connection_while_it_is_in_use(self, connection: Connection) -> None:
        pool = self.pool(connection)
        with pool.acquire(block=True) as producer:
            assert isinstance(producer, Producer)
            acquired = producer.__connection__
            assert acquired in pool.connections._dirty
        assert not pool.connections._dirty
        assert producer._channel is None
        with pool.acquire() as again:
            assert again is producer
            assert again.__connection__ is acquired

    def test_producer_that_went_back_says_so(self, connection: Connection) -> None:
        producer = self.pool(connection).acquire()
        producer.release()
        producer.release()
        with pytest.raises(NotBoundError, match='went back to its pool'):
            producer.publish('x')

    def test_limit_is_that_of_the_connections(self, connection: Connection) -> None:
        pool = self.pool(connection, 3)
        assert pool.limit == 3
        pool.limit = 5
        assert pool.limit == 5
        assert ProducerPool(ConnectionPool(connection, 3), limit=1).limit == 1

    def test_class(self, connection: Connection) -> None:
        class Mine(Producer):
            pass

        assert isinstance(self.pool(connection, Producer=Mine).acquire(), Mine)

    def test_waiting_is_for_the_connection_too(self, connection: Connection) -> None:
        """Otherwise it would last for ever, whatever the timeout."""
        pool = self.pool(connection, 1)
        taken = pool.connections.acquire()
        with pytest.raises(ConnectionLimitExceeded):
            pool.acquire()
        with pytest.raises(ConnectionLimitExceeded):
            pool.acquire(block=True, timeout=0.01)
        taken.release()
        pool.acquire()

    def test_failure_gives_back_the_connection(
        self, broker: FakeBroker, connection: Connection
    ) -> None:
        class Broken(Producer):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise KeyError

        pool = self.pool(connection, 1, Producer=Broken)
        for _ in range(2):
            with pytest.raises(KeyError):
                pool.acquire()
        assert not pool.connections._dirty

    def test_failure_to_revive_gives_back_the_connection(self, connection: Connection) -> None:
        pool = self.pool(connection, 1)
        producer = pool.acquire()
        producer.release()

        def fail(channel: Any) -> None:
            raise KeyError

        producer.revive = fail
        with pytest.raises(KeyError):
            pool.acquire()
        assert not pool.connections._dirty

    def test_stale_connection_is_left_alone(self, connection: Connection) -> None:
        """A producer that was given back remembers a connection that others may be using."""
        pool = self.pool(connection, 1)
        producer = pool.acquire()
        producer.release()
        taken = pool.connections.acquire()
        pool.release(producer)
        pool.close_resource(producer)
        assert taken in pool.connections._dirty

    def test_preload(self, connection: Connection) -> None:
        pool = self.pool(connection, 2, preload=1)
        assert len(pool.connections._dirty) == 1
        pool.acquire()
        assert len(pool.connections._dirty) == 1

    def test_publishes(self) -> None:
        with Connection('memory:////test_pools') as connection:
            pool = self.pool(connection)
            queue = connection.SimpleQueue('q')
            for number in range(3):
                with pool.acquire() as producer:
                    producer.publish({'n': number}, routing_key='q')
            assert [queue.get(timeout=1).payload['n'] for _ in range(3)] == [0, 1, 2]
            queue.close()
            pool.force_close_all()
            pool.connections.force_close_all()


class TestGroups:
    def test_one_pool_for_each_place(self, connection: Connection) -> None:
        pool = pools.connections[connection]
        assert isinstance(pool, ConnectionPool)
        assert pools.connections[connection.clone()] is pool
        assert pools.connections[connection.clone(virtual_host='v')] is not pool
        assert pool.connection is connection
        assert pool.limit == pools.get_limit()

    def test_producers(self, connection: Connection) -> None:
        pool = pools.producers[connection]
        assert isinstance(pool, ProducerPool)
        assert pool.connections is pools.connections[connection]
        assert pool.connections.connection.transport.driver_type == 'fake'

    def test_keys(self, connection: Connection) -> None:
        """nameko looks for its virtual host at index 4."""
        pool = pools.connections[connection.clone(virtual_host='mine')]
        assert [found for key, found in pools.connections.items() if key[4] == 'mine'] == [pool]

    def test_set_limit(self, connection: Connection) -> None:
        pool = pools.producers[connection]
        assert pools.set_limit(3) == pools.get_limit() == 3
        assert pool.limit == pool.connections.limit == 3
        assert pools.set_limit(None) == 0
        assert pools.set_limit(4, reset_after=True) == 4

    def test_set_limit_fails_as_a_whole(self, connection: Connection) -> None:
        other = pools.connections[connection.clone(virtual_host='other')]
        busy = pools.connections[connection]
        busy.acquire()
        busy.acquire()
        before = pools.get_limit()
        with pytest.raises(RuntimeError):
            pools.set_limit(1)
        assert pools.get_limit() == other.limit == busy.limit == before
        assert pools.set_limit(1, force=True) == 1

    @pytest.mark.parametrize(('limit', 'error'), [('3', TypeError), (-1, ValueError)])
    def test_set_limit_that_is_none(self, limit: Any, error: type[Exception]) -> None:
        """Also where there is no pool yet that would refuse it."""
        before = pools.get_limit()
        with pytest.raises(error):
            pools.set_limit(limit)
        assert pools.get_limit() == before

    def test_set_limit_of_no_number(self) -> None:
        with pytest.raises(TypeError, match='must be an int, not bool'):
            pools.set_limit(True)

    def test_reset(self, broker: FakeBroker, connection: Connection) -> None:
        pool = pools.connections[connection]
        pool.acquire().connect()
        pools.reset()
        assert not broker.open_connections
        assert not pools.connections
        with pytest.raises(RuntimeError, match='Acquire on closed pool'):
            pool.acquire()
        assert pools.connections[connection] is not pool

    def test_group_of_ones_own(self, connection: Connection) -> None:
        group = pools.register_group(pools.Connections(limit=7))
        try:
            assert group[connection].limit == 7
            pools.set_limit(8)
            assert group[connection].limit == 8
        finally:
            pools._groups.remove(group)

    def test_group_has_to_say_what_it_makes(self) -> None:
        with pytest.raises(NotImplementedError, match=r'create\(\)'):
            PoolGroup()['key']


@pytest.mark.filterwarnings('ignore:.*multi-threaded:DeprecationWarning')  # from Python 3.12 on
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
class TestFork:
    def in_child(self, function: Any) -> None:
        """Run `function` in a forked child, and fail if it fails."""
        pid = os.fork()
        if pid == 0:  # pragma: no cover - the child
            code = 1
            try:
                function()
                code = 0
            except BaseException as exc:
                os.write(2, repr(exc).encode() + b'\n')
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_child_begins_with_nothing_of_its_parent(
        self, broker: FakeBroker, connection: Connection
    ) -> None:
        pool = pools.producers[connection]
        connections = pool.connections
        busy = connections.acquire()
        busy.default_channel  # noqa: B018
        with connections.acquire() as idle:
            idle.default_channel  # noqa: B018
        channels = connection.ChannelPool(2)
        channels.acquire()
        before = broker.names()

        def child() -> None:
            assert broker.names() == before, broker.names()
            assert not pools.connections
            assert pools.producers[connection] is not pool
            mine = connections.acquire()
            assert mine not in (busy, idle)
            assert mine.connect().number not in {1, 2, 3}
            busy.release()
            assert channels.acquire().connection.number not in {1, 2, 3}
            assert 'close_connection' not in broker.names()
            assert 'close_channel' not in broker.names()

        self.in_child(child)
        assert busy.connected
