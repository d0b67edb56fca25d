"""The delivery ledger over the reference broker, against a few sets.

Whatever consumers with whatever limits do (take, settle, put back, close, get cut off), every
message that was published is in exactly one place: ready in its queue, held by one channel,
settled, or among the dead letters.  What goes back finds its old place.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kombu.testing.memory import MemoryBroker

QUEUES = ('one', 'two')
DEAD = 'dead'


class Delivery:
    """A message as a consumer has it."""

    def __init__(self, holder: Holder, consumer: str | None, queue: str, message: Any) -> None:
        self.holder = holder
        self.consumer = consumer
        self.queue = queue
        self.message = message
        self.number = int(message.body)

    def __repr__(self) -> str:
        return f'<{self.number} of {self.queue} held by {self.consumer}>'


class Holder:
    """A channel with its consumers."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.channel = connection.channel()
        #: Limit, queue and whether delivering settles, by tag.
        self.consumers: dict[str, tuple[int, str, bool]] = {}
        self.held: dict[int, Delivery] = {}

    def counts(self, tag: str) -> int:
        return sum(delivery.consumer == tag for delivery in self.held.values())


class Ledger(RuleBasedStateMachine):
    """Deliveries, and the model: where every number is."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = MemoryBroker()
        self.publisher = self.broker.connection().channel()
        self.publisher.queue_declare(DEAD)
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': DEAD}
        for queue in QUEUES:
            self.publisher.queue_declare(queue, arguments=arguments)
        self.number = 0
        self.tag = 0
        self.ready: dict[str, set[int]] = {queue: set() for queue in QUEUES}
        self.settled: set[int] = set()
        self.dead: list[int] = []
        #: How often each number went back.
        self.back: Counter[int] = Counter()
        self.open: list[Holder] = []
        self.connections: list[Any] = []
        for new_connection in (True, False, True):
            self.open_channel(new_connection)
        for queue in QUEUES:
            self.publish(queue, 4)

    def teardown(self) -> None:
        self.broker.close()

    def holder(self, data: Any, *, holding: bool = False) -> Holder:
        """Draw an open channel."""
        return data.draw(st.sampled_from([h for h in self.open if h.held or not holding]))

    def somebody_holds(self) -> bool:
        return any(holder.held for holder in self.open)

    def is_open(self) -> bool:
        return bool(self.open)

    # Connections and channels.

    @precondition(lambda self: len(self.open) < 4)
    @rule(new_connection=st.booleans())
    def open_channel(self, new_connection: bool) -> None:
        if new_connection or not self.connections:
            self.connections.append(self.broker.connection())
        self.open.append(Holder(self.connections[-1]))

    @precondition(is_open)
    @rule(data=st.data())
    def close_channel(self, data: Any) -> None:
        holder = self.holder(data)
        holder.channel.close()
        self.gone(holder)

    @precondition(lambda self: len(self.connections) > 1)
    @rule(data=st.data())
    def cut(self, data: Any) -> None:
        connection = data.draw(st.sampled_from(self.connections))
        self.connections.remove(connection)
        self.broker.cut(connection)
        for holder in [h for h in self.open if h.connection is connection]:
            self.gone(holder)

    def gone(self, holder: Holder) -> None:
        self.open.remove(holder)
        self.put_back(holder, list(holder.held.values()))

    def put_back(self, holder: Holder, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            del holder.held[delivery.number]
            self.ready[delivery.queue].add(delivery.number)
            self.back[delivery.number] += 1

    # Messages.

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 4))
    def publish(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.number += 1
            message = self.publisher.prepare_message(str(self.number))
            self.publisher.basic_publish(message, '', queue)
            self.ready[queue].add(self.number)

    @precondition(is_open)
    @rule(
        data=st.data(),
        queue=st.sampled_from(QUEUES),
        limit=st.integers(1, 3),
        no_ack=st.sampled_from([False, False, False, True]),
    )
    def consume(self, data: Any, queue: str, limit: int, no_ack: bool) -> None:
        holder = self.holder(data)
        self.tag += 1
        tag = f'tag{self.tag}'
        holder.channel.basic_qos(0, limit, False)
        holder.channel.basic_consume(
            queue, no_ack, lambda message: self.deliver(holder, tag, queue, message), tag
        )
        holder.consumers[tag] = limit, queue, no_ack

    @precondition(lambda self: any(holder.consumers for holder in self.open))
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        consumers = [(h, tag) for h in self.open for tag in sorted(h.consumers)]
        holder, tag = data.draw(st.sampled_from(consumers))
        holder.channel.basic_cancel(tag)
        del holder.consumers[tag]

    def deliver(self, holder: Holder, tag: str | None, queue: str, message: Any) -> None:
        delivery = Delivery(holder, tag, queue, message)
        number = delivery.number
        assert number == min(self.ready[queue]), 'not the oldest'
        assert bool(message.delivery_info.get('redelivered')) == bool(self.back[number])
        assert message.headers.get('x-delivery-count', 0) == self.back[number]
        self.ready[queue].remove(number)
        if tag is not None:
            limit, _, no_ack = holder.consumers[tag]
            assert no_ack or holder.counts(tag) < limit, 'more than its limit'
            if no_ack:
                self.settled.add(number)
                return
        holder.held[number] = delivery

    @precondition(lambda self: self.connections)
    @rule(count=st.sampled_from([1, 3, 20]))
    def drain(self, count: int) -> None:
        for connection in self.connections:
            for _ in range(count):
                try:
                    connection.drain_events(timeout=0)
                except TimeoutError:
                    self.check_nothing_was_left(connection)
                    break

    def check_nothing_was_left(self, connection: Any) -> None:
        for holder in self.open:
            if holder.connection is connection:
                for tag, (limit, queue, no_ack) in holder.consumers.items():
                    has_room = no_ack or holder.counts(tag) < limit
                    assert not (has_room and self.ready[queue]), f'{tag} was left waiting'

    @precondition(is_open)
    @rule(data=st.data(), queue=st.sampled_from(QUEUES), count=st.integers(1, 3))
    def get(self, data: Any, queue: str, count: int) -> None:
        holder = self.holder(data)
        for _ in range(count):
            message = holder.channel.basic_get(queue)
            if message is None:
                assert not self.ready[queue]
                return
            self.deliver(holder, None, queue, message)

    # Settling.

    @precondition(somebody_holds)
    @rule(data=st.data(), how=st.sampled_from(['ack', 'reject', 'requeue', 'requeue']))
    def settle(self, data: Any, how: str) -> None:
        holder = self.holder(data, holding=True)
        number = data.draw(st.sampled_from(sorted(holder.held)))
        delivery = holder.held[number]
        getattr(delivery.message, how)()
        if how == 'requeue':
            self.put_back(holder, [delivery])
            return
        del holder.held[number]
        if how == 'ack':
            self.settled.add(number)
        else:
            self.dead.append(number)

    @precondition(somebody_holds)
    @rule(data=st.data())
    def ack_several(self, data: Any) -> None:
        holder = self.holder(data, holding=True)
        tags = sorted(delivery.message.delivery_tag for delivery in holder.held.values())
        tag = data.draw(st.sampled_from([0, *tags]))
        holder.channel.basic_ack(tag, multiple=True)
        for number, delivery in list(holder.held.items()):
            if not tag or delivery.message.delivery_tag <= tag:
                del holder.held[number]
                self.settled.add(number)

    @precondition(somebody_holds)
    @rule(data=st.data())
    def recover(self, data: Any) -> None:
        holder = self.holder(data, holding=True)
        holder.channel.basic_recover(requeue=True)
        self.put_back(holder, list(holder.held.values()))

    # What always holds.

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        for queue in QUEUES:
            found = [int(message.body) for message in self.broker.messages(queue)]
            assert found == sorted(self.ready[queue])
        assert [int(message.body) for message in self.broker.messages(DEAD)] == self.dead
        places = [
            *self.ready.values(),
            *(set(holder.held) for holder in self.open),
            self.settled,
            set(self.dead),
        ]
        assert sum(map(len, places)) == self.number
        assert set().union(*places) == set(range(1, self.number + 1))

    @invariant()
    def the_ledgers_agree(self) -> None:
        for holder in self.open:
            held = {int(message.body) for message in holder.channel.qos._delivered.values()}
            assert held == set(holder.held)
            for tag in holder.consumers:
                assert holder.channel._consumers[tag].unacked == holder.counts(tag)
        for queue in QUEUES:
            assert self.broker.consumers(queue) == sum(
                of == queue for holder in self.open for _, of, _ in holder.consumers.values()
            )
            assert self.broker.unacked(queue) == sum(
                delivery.queue == queue for holder in self.open for delivery in holder.held.values()
            )


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40)
