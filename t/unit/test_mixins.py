"""Programs that consume."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import kombu.mixins
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import OperationalError, TimeoutError
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from t.unit.fakes import ChannelFailure, FakeBroker, LinkFailure


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker(
        recoverable_connection_errors=(LinkFailure,), recoverable_channel_errors=(ChannelFailure,)
    )


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that somebody would have slept; time stands still."""
    slept: list[float] = []
    monkeypatch.setattr('kombu.utils.functional.sleep', slept.append)
    return slept


class Worker(ConsumerMixin):
    """Notes what happens, and stops by itself."""

    def __init__(self, broker: FakeBroker, stop_after: int = 3, **kwargs: Any) -> None:
        self.connection = Connection('a', transport=broker.Transport, **kwargs)
        self.stop_after = stop_after
        self.log: list[Any] = []

    def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> list[Any]:
        self.log.append('get_consumers')
        return [Consumer(Queue('q'), callbacks=[self.on_task], accept=['json'])]

    def on_task(self, body: Any, message: Any) -> None:
        self.log.append(body)
        message.ack()

    def on_connection_error(self, exc: BaseException, interval: float) -> None:
        super().on_connection_error(exc, interval)
        self.log.append((str(exc), interval))

    def on_connection_revived(self) -> None:
        self.log.append('revived')

    def on_consume_ready(
        self, connection: Any, channel: Any, consumers: list[Any], **kwargs: Any
    ) -> None:
        assert channel is connection.default_channel
        assert len(consumers) == 1
        self.log.append(('ready', kwargs) if kwargs else 'ready')

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        super().on_consume_end(connection, channel)
        self.log.append('end')

    def on_iteration(self) -> None:
        self.stop_after -= 1
        if self.stop_after < 1:
            self.should_stop = True

    @contextmanager
    def extra_context(self, connection: Any, channel: Any) -> Iterator[None]:
        self.log.append('enter')
        yield
        self.log.append('leave')


SET_UP = ['revived', 'get_consumers', 'enter', 'ready']
TEAR_DOWN = ['leave', 'end']


class TestRun:
    def test_order(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        worker.run()
        assert worker.log == SET_UP + TEAR_DOWN
        assert broker.names() == [
            'connect',
            'create_channel',
            'queue_declare',
            'basic_consume',
            *['drain_events', 'heartbeat_check'] * 3,
            'basic_cancel',
            'close_channel',
            'close_connection',
        ]

    def test_arguments_reach_on_consume_ready(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        worker.run(wakeup=True)
        assert ('ready', {'wakeup': True}) in worker.log

    def test_stopped_before(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        worker.should_stop = True
        worker.run()
        assert not broker.calls

    @pytest.mark.parametrize('error', [LinkFailure('lost'), ChannelFailure('lost')])
    def test_begins_again(
        self, broker: FakeBroker, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        broker.fail('drain_events', error)
        worker = Worker(broker)
        monkey = worker.restart_limit
        monkey.fill_rate = 1e9
        with caplog.at_level(logging.WARNING):
            worker.run()
        # What did not end by itself has no end to tell of.
        assert worker.log == [*SET_UP, *SET_UP, *TEAR_DOWN]
        assert 'lost' in caplog.text
        assert len(broker.open_connections) == 0

    def test_for_ever(self, broker: FakeBroker) -> None:
        """Whichever step it is that breaks."""
        worker = Worker(broker, stop_after=5)
        worker.restart_limit.fill_rate = 1e9
        for name in ('create_channel', 'queue_declare', 'basic_consume', 'drain_events'):
            broker.fail(name, times=3)
        worker.run()
        assert worker.log[-2:] == TEAR_DOWN
        assert worker.log.count('revived') == 3 * 4 + 1

    def test_losing_the_link_right_after_connecting(
        self, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Is no reason to give up, other than not to connect at all."""

        class Unlucky(Worker):
            def on_connection_revived(self) -> None:
                super().on_connection_revived()
                if self.log.count('revived') == 1:
                    broker.cut()
                    broker.fail('connect', times=4)

        worker = Unlucky(broker, transport_options={'max_retries': 2})
        worker.restart_limit.fill_rate = 1e9
        worker.run()
        assert worker.log[-2:] == TEAR_DOWN

    def test_other_errors_end_it(self, broker: FakeBroker) -> None:
        broker.fail('drain_events', KeyError('bug'))
        with pytest.raises(KeyError):
            Worker(broker).run()
        assert not broker.open_connections

    def test_restarts_are_limited(
        self, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        worker = Worker(broker)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            worker.restart_limit._tokens = 1

        monkeypatch.setattr(kombu.mixins, 'sleep', sleep)
        broker.fail('drain_events', times=2)
        worker.run()
        assert len(waits) == 2
        assert all(0 < seconds <= 1 for seconds in waits)

    def test_connecting_is_tried_again(
        self, broker: FakeBroker, sleeps: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        broker.fail('connect', times=2)
        worker = Worker(broker)
        with caplog.at_level(logging.WARNING):
            worker.run()
        assert worker.log[:2] == [('connect refused', 2.0), ('connect refused', 4.0)]
        assert sum(sleeps) == 6.0
        assert 'trying again in 2.0 seconds' in caplog.text

    def test_connect_max_retries(self, broker: FakeBroker) -> None:
        broker.fail('connect', times=None)
        worker = Worker(broker)
        worker.connect_max_retries = 2
        with pytest.raises(OperationalError, match='connect refused'):
            worker.run()
        assert broker.count('connect') == 3

    def test_stop_while_there_is_no_broker(
        self, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`connect_max_retries` is for ever by default, but stopping is not."""
        worker = Worker(broker)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            worker.should_stop = len(slept) > 5

        monkeypatch.setattr('kombu.utils.functional.sleep', sleep)
        broker.fail('connect', times=None)
        worker.run()
        assert len(slept) == 6
        assert not worker.log[:-2].count('revived')

    def test_stop_by_closing_the_connection(self, broker: FakeBroker) -> None:
        """Another thread sets `should_stop`, and closes the connection to end the waiting."""
        worker = Worker(broker, stop_after=99)

        def closed_meanwhile() -> None:
            worker.should_stop = True
            raise OSError('closed')

        broker.deliver(closed_meanwhile)
        worker.run()
        assert worker.log == SET_UP + TEAR_DOWN

    def test_stop_from_a_callback(self, broker: FakeBroker) -> None:
        worker = Worker(broker, stop_after=99)
        broker.deliver(lambda: setattr(worker, 'should_stop', True))
        worker.run()
        assert broker.count('drain_events') == 1

    def test_connection_as_a_property_that_makes_one_each_time(self, broker: FakeBroker) -> None:
        """As nameko has it."""

        class Nameko(Worker):
            @property
            def connection(self) -> Any:
                return Connection('a', transport=broker.Transport)

            @connection.setter
            def connection(self, value: Any) -> None:
                pass

        worker = Nameko(broker)
        worker.run()
        assert worker.log == SET_UP + TEAR_DOWN


class TestConsume:
    def test_yields_after_each_event(self, broker: FakeBroker) -> None:
        worker = Worker(broker, stop_after=99)
        for _ in range(3):
            broker.deliver(lambda: None)
        assert len(list(worker.consume(limit=2))) == 2
        assert broker.count('drain_events') == 2

    def test_limit_counts_waits(self, broker: FakeBroker) -> None:
        assert list(Worker(broker, stop_after=99).consume(limit=2)) == []
        assert broker.count('drain_events') == 2

    def test_timeout(self, broker: FakeBroker) -> None:
        worker = Worker(broker, stop_after=99)
        with pytest.raises(TimeoutError, match=r'no event within 2\.5 seconds'):
            list(worker.consume(timeout=2.5))
        waits = [call.arguments['timeout'] for call in broker.named('drain_events')]
        assert waits == [1, 1, 0.5]
        assert not broker.open_connections

    def test_timeout_begins_again_with_each_event(self, broker: FakeBroker) -> None:
        worker = Worker(broker, stop_after=99)

        def quiet() -> None:
            raise TimeoutError

        for event in (quiet, lambda: None, quiet, lambda: None):
            broker.deliver(event)
        events = worker.consume(timeout=2)
        assert [next(events), next(events)] == [None, None]
        with pytest.raises(TimeoutError):
            next(events)

    def test_safety_interval(self, broker: FakeBroker) -> None:
        Worker(broker, stop_after=2).run(safety_interval=0.2)
        assert [call.arguments for call in broker.named('drain_events')] == [{'timeout': 0.2}] * 2

    def test_heartbeats_without_a_quiet_moment(self, broker: FakeBroker) -> None:
        """Who only takes messages sends nothing, and the broker would hang up."""
        worker = Worker(broker, stop_after=99)
        for _ in range(3):
            broker.deliver(lambda: None)
        list(worker.consume(limit=3, safety_interval=0))
        assert broker.count('heartbeat_check') == 3

    def test_lost_heartbeat(self, broker: FakeBroker) -> None:
        broker.fail('heartbeat_check')
        with pytest.raises(LinkFailure):
            list(Worker(broker).consume())

    def test_left_early(self, broker: FakeBroker) -> None:
        broker.deliver(lambda: None)
        events = Worker(broker).consume()
        next(events)
        events.close()
        assert not broker.open_connections


class TestPieces:
    def test_get_consumers_has_to_be_defined(self) -> None:
        with pytest.raises(NotImplementedError, match='get_consumers'):
            ConsumerMixin().get_consumers(None, None)

    def test_errors(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        assert worker.connection_errors == (LinkFailure,)
        assert worker.channel_errors == (ChannelFailure,)

    def test_restart_limit(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        assert worker.restart_limit is worker.restart_limit
        assert (worker.restart_limit.fill_rate, worker.restart_limit.capacity) == (1, 1)

    def test_maybe_conn_error(self, broker: FakeBroker) -> None:
        def fail(error: type[Exception]) -> None:
            raise error

        worker = Worker(broker)
        assert worker.maybe_conn_error(lambda: 3) == 3
        assert worker.maybe_conn_error(lambda: fail(LinkFailure)) is None
        with pytest.raises(KeyError):
            worker.maybe_conn_error(lambda: fail(KeyError))

    def test_create_connection(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        assert worker.create_connection() is not worker.connection

    def test_on_decode_error(self, broker: FakeBroker, caplog: pytest.LogCaptureFixture) -> None:
        class Message:
            content_type, content_encoding, body = 'text/x', 'utf-8', b'\xff'
            rejected = False

            def reject(self) -> None:
                self.rejected = True

        message = Message()
        Worker(broker).on_decode_error(message, ValueError('bad'))
        assert message.rejected
        assert 'text/x' in caplog.text
        assert 'bad' in caplog.text

    def test_contexts(self, broker: FakeBroker) -> None:
        worker = Worker(broker)
        with worker.establish_connection() as connection:
            assert connection.connected
        with worker.Consumer() as (connection, channel, consumers):
            assert consumers[0].channel is channel is connection.default_channel
        with worker.consumer_context(a=2) as (connection, _, _):
            assert connection.connected
        assert ('ready', {'a': 2}) in worker.log
        assert not broker.open_connections


class Answering(ConsumerProducerMixin, Worker):
    pass


class TestProducer:
    def test_has_a_connection_of_its_own(self, broker: FakeBroker) -> None:
        worker = Answering(broker)
        link = worker.producer_connection
        assert link is worker.producer_connection is not worker.connection
        assert worker.producer.__connection__ is link
        assert broker.count('connect') == 1

    def test_is_closed_in_the_end(self, broker: FakeBroker) -> None:
        worker = Answering(broker)
        broker.deliver(lambda: worker.producer.publish({'a': 1}))
        worker.run()
        assert broker.count('basic_publish') == 1
        assert broker.count('connect') == 2
        assert not broker.open_connections
        assert worker.log == SET_UP + TEAR_DOWN

    def test_threads_share_it(self, broker: FakeBroker) -> None:
        worker = Answering(broker)
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.append(worker.producer_connection))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(set(found)) == 1


def test_over_the_memory_transport() -> None:
    class Echo(ConsumerProducerMixin):
        def __init__(self, connection: Connection) -> None:
            self.connection = connection

        def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> list[Any]:
            return [Consumer(Queue('requests'), callbacks=[self.on_request], accept=['json'])]

        def on_request(self, body: Any, message: Any) -> None:
            self.producer.publish({'echo': body}, routing_key='answers', retry=True)
            message.ack()
            self.should_stop = True

    with Connection('memory:////test_mixins') as connection:
        answers = connection.SimpleQueue('answers')
        requests = connection.SimpleQueue('requests')
        requests.put({'hello': 'world'})
        Echo(connection).run()
        assert answers.get(timeout=1).payload == {'echo': {'hello': 'world'}}
        answers.close()
        requests.close()
