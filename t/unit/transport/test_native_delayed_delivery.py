from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Exchange, Queue, binding
from kombu.transport.native_delayed_delivery import (
    CELERY_DELAYED_DELIVERY_EXCHANGE,
    MAX_LEVEL,
    MAX_NUMBER_OF_BITS_TO_USE,
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

if TYPE_CHECKING:
    from typing_extensions import Self

NO_DELAY = '0.' * 25


class FakeChannel:
    """Writes down what is declared and bound."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> None:
            self.calls.append((name, *args, *([kwargs] if kwargs else [])))

        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.closed = True

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


class FakeConnection:
    def __init__(self) -> None:
        self.made = FakeChannel()

    def channel(self) -> FakeChannel:
        return self.made


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


def test_names() -> None:
    assert MAX_NUMBER_OF_BITS_TO_USE == 28
    assert MAX_LEVEL == 27
    assert CELERY_DELAYED_DELIVERY_EXCHANGE == 'celery_delayed_delivery'
    assert level_name(27) == level_name(27, '') == 'celery_delayed_27'
    assert level_name(0, 'mine') == 'mine_celery_delayed_0'
    with pytest.raises(ValueError, match='-1'):
        level_name(-1)


class TestRoutingKey:
    @pytest.mark.parametrize(
        ('countdown', 'bits'), [(1, '0.0.1'), (2, '0.1.0'), (5, '1.0.1'), (7, '1.1.1')]
    )
    def test_bits(self, countdown: int, bits: str) -> None:
        assert calculate_routing_key(countdown, 'a.b') == f'{NO_DELAY}{bits}.a.b'

    def test_longest(self) -> None:
        assert calculate_routing_key(2**28 - 1, 'q') == '1.' * 28 + 'q'

    def test_sent_once_more(self) -> None:
        """A routing key with a delay gets a new one, not two."""
        key = calculate_routing_key(3, 'orders.new')
        for _ in range(3):
            key = calculate_routing_key(6, key)
        assert key == f'{NO_DELAY}1.1.0.orders.new'

    def test_numbers_that_are_no_delay(self) -> None:
        assert calculate_routing_key(1, '1.0.q') == f'{NO_DELAY}0.0.1.1.0.q'
        key = '2.' * 28 + 'q'
        assert calculate_routing_key(1, key).endswith(key)

    @pytest.mark.parametrize('countdown', [0, -1, 2**28])
    def test_out_of_range(self, countdown: int) -> None:
        with pytest.raises(ValueError, match=f'not {countdown}'):
            calculate_routing_key(countdown, 'q')

    @pytest.mark.parametrize('countdown', [1.5, None, '3'])
    def test_no_number(self, countdown: Any) -> None:
        with pytest.raises(TypeError, match='countdown must be an integer'):
            calculate_routing_key(countdown, 'q')

    @pytest.mark.parametrize('routing_key', ['', None])
    def test_no_routing_key(self, routing_key: Any) -> None:
        with pytest.raises(ValueError, match='routing_key'):
            calculate_routing_key(1, routing_key)


class TestDeclare:
    def test_levels(self, connection: FakeConnection) -> None:
        declare_native_delayed_delivery_exchanges_and_queues(connection, 'quorum')
        channel = connection.made
        assert channel.closed
        assert {call[0] for call in channel.named('exchange_declare')} == {
            CELERY_DELAYED_DELIVERY_EXCHANGE,
            *(level_name(level) for level in range(28)),
        }
        queues = {call[0]: call[1] for call in channel.named('queue_declare')}
        assert len(queues) == 28
        assert queues['celery_delayed_0'] == {
            'durable': True,
            'auto_delete': False,
            'arguments': {
                'x-queue-type': 'quorum',
                'x-overflow': 'reject-publish',
                'x-dead-letter-strategy': 'at-least-once',
                'x-dead-letter-exchange': CELERY_DELAYED_DELIVERY_EXCHANGE,
                'x-message-ttl': 1000,
            },
        }
        last = queues['celery_delayed_27']['arguments']
        assert last['x-dead-letter-exchange'] == 'celery_delayed_26'
        assert last['x-message-ttl'] == 2**27 * 1000
        assert ('celery_delayed_27', 'celery_delayed_27', '1.#') in channel.named('queue_bind')
        assert ('celery_delayed_26', 'celery_delayed_27', '0.#') in channel.named('exchange_bind')
        assert (
            CELERY_DELAYED_DELIVERY_EXCHANGE,
            'celery_delayed_0',
            '*.' * 27 + '0.#',
        ) in channel.named('exchange_bind')

    def test_classic_with_prefix(self, connection: FakeConnection) -> None:
        declare_native_delayed_delivery_exchanges_and_queues(connection, 'classic', 'mine')
        name, options = connection.made.named('queue_declare')[0]
        assert name == 'mine_celery_delayed_0'
        assert options['arguments'] == {
            'x-queue-type': 'classic',
            'x-overflow': 'reject-publish',
            'x-dead-letter-exchange': 'mine_celery_delayed_delivery',
            'x-message-ttl': 1000,
        }

    @pytest.mark.parametrize('queue_type', ['stream', '', None])
    def test_other_types(self, connection: FakeConnection, queue_type: Any) -> None:
        with pytest.raises(ValueError, match='classic and quorum'):
            declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type)
        assert not connection.made.calls


class TestBind:
    def bound(self, connection: FakeConnection, queue: Queue, **kwargs: Any) -> list[Any]:
        bind_queue_to_native_delayed_delivery_exchange(connection, queue, **kwargs)
        assert connection.made.closed
        return connection.made.calls

    @pytest.mark.parametrize(
        ('kind', 'key', 'pattern'),
        [
            ('topic', 'a.*', '#.a.*'),
            ('topic', '#', '#'),
            ('topic', '#.a', '#.a'),
            ('fanout', '', '#.'),
        ],
    )
    def test_binding(self, connection: FakeConnection, kind: str, key: str, pattern: str) -> None:
        queue = Queue('q', Exchange('e', kind), key)
        assert self.bound(connection, queue) == [
            ('exchange_bind', 'e', CELERY_DELAYED_DELIVERY_EXCHANGE, pattern),
            ('queue_bind', 'q', 'e', pattern),
        ]

    def test_prefix(self, connection: FakeConnection) -> None:
        calls = self.bound(connection, Queue('q', Exchange('e', 'topic'), 'k'), prefix='mine')
        assert calls[0][2] == 'mine_celery_delayed_delivery'

    def test_several(self, connection: FakeConnection) -> None:
        queue = Queue(
            'q',
            bindings=[binding(Exchange('e', 'topic'), 'a'), binding(Exchange('f', 'topic'), 'b')],
        )
        assert [call[1:] for call in self.bound(connection, queue) if call[0] == 'queue_bind'] == [
            ('q', 'e', '#.a'),
            ('q', 'f', '#.b'),
        ]

    @pytest.mark.parametrize('queue', [Queue('q', Exchange('e', 'direct'), 'k'), Queue('q')])
    def test_direct_exchanges(
        self, connection: FakeConnection, queue: Queue, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            assert self.bound(connection, queue) == []
        assert 'direct exchange' in caplog.text
