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
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

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
        self.closed = False

    def counts(self, tag: str) -> int:
        return sum(delivery.consumer == tag for delivery in self.held.values())


class Ledger(RuleBasedStateMachine):
    """Deliveries, and the model: where every number is."""

    holders = Bundle('holders')

    @initialize()
    def start(self) -> None:
        self.broker = MemoryBroker()
        self.publisher = self.broker.connection().channel()
        self.publisher.queue_declare(DEAD)
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': DEAD}
        for queue in QUEUES:
            self.publisher.queue_declare(queue, arguments=arguments)
        self.number = 0
        self.tag = 0
        self.home: dict[int, str] = {}
        self.ready: dict[str, set[int]] = {queue: set() for queue in QUEUES}
        self.settled: set[int] = set()
        self.dead: list[int] = []
        #: How often each number went back.
        self.back: Counter[int] = Counter()
        self.open: list[Holder] = []
        self.connections: list[Any] = []

    def teardown(self) -> None:
        if hasattr(self, 'broker'):
            self.broker.close()

    # Connections and channels.

    @rule(target=holders, new=st.booleans())
    def open_channel(self, new: bool) -> Holder:
        if new or not self.connections:
            self.connections.append(self.broker.connection())
        holder = Holder(self.connections[-1])
        self.open.append(holder)
        return holder

    @rule(holder=holders)
    def close_channel(self, holder: Holder) -> None:
        holder.channel.close()
        self.gone(holder)

    @rule(holder=holders)
    def cut(self, holder: Holder) -> None:
        if holder.connection in self.connections:
            self.connections.remove(holder.connection)
            self.broker.cut(holder.connection)
            for other in [h for h in self.open if h.connection is holder.connection]:
                self.gone(other)

    def gone(self, holder: Holder) -> None:
        if not holder.closed:
            holder.closed = True
            self.open.remove(holder)
            self.put_back(holder, list(holder.held.values()))

    def put_back(self, holder: Holder, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            del holder.held[delivery.number]
            self.ready[delivery.queue].add(delivery.number)
            self.back[delivery.number] += 1

    # Messages.

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 5))
    def publish(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.number += 1
            message = self.publisher.prepare_message(str(self.number))
            self.publisher.basic_publish(message, '', queue)
            self.home[self.number] = queue
            self.ready[queue].add(self.number)

    @rule(
        holder=holders,
        queue=st.sampled_from(QUEUES),
        limit=st.integers(0, 3),
        no_ack=st.sampled_from([False, False, False, True]),
    )
    def consume(self, holder: Holder, queue: str, limit: int, no_ack: bool) -> None:
        if holder.closed:
            return
        self.tag += 1
        tag = f'tag{self.tag}'
        # A limit set later holds also for consumers that were started without one.
        if limit and any(not known for known, *_ in holder.consumers.values()):
            limit = 0
        holder.channel.basic_qos(0, limit, False)
        holder.channel.basic_consume(
            queue, no_ack, lambda message: self.deliver(holder, tag, queue, message), tag
        )
        holder.channel.basic_qos(0, 0, False)
        holder.consumers[tag] = limit, queue, no_ack

    @rule(holder=holders, data=st.data())
    def cancel(self, holder: Holder, data: Any) -> None:
        if holder.consumers and not holder.closed:
            tag = data.draw(st.sampled_from(sorted(holder.consumers)))
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
            assert not limit or no_ack or holder.counts(tag) < limit, 'more than its limit'
            if no_ack:
                self.settled.add(number)
                return
        holder.held[number] = delivery

    @rule(count=st.integers(1, 10))
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
                    has_room = not limit or no_ack or holder.counts(tag) < limit
                    assert not (has_room and self.ready[queue]), f'{tag} was left waiting'

    @rule(holder=holders, queue=st.sampled_from(QUEUES))
    def get(self, holder: Holder, queue: str) -> None:
        if not holder.closed:
            message = holder.channel.basic_get(queue)
            if message is None:
                assert not self.ready[queue]
            else:
                self.deliver(holder, None, queue, message)

    # Settling.

    @rule(holder=holders, how=st.sampled_from(['ack', 'reject', 'requeue']), data=st.data())
    def settle(self, holder: Holder, how: str, data: Any) -> None:
        if not holder.held:
            return
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

    @rule(holder=holders, data=st.data())
    def ack_several(self, holder: Holder, data: Any) -> None:
        if not holder.held:
            return
        tags = sorted(delivery.message.delivery_tag for delivery in holder.held.values())
        tag = data.draw(st.sampled_from([0, *tags]))
        holder.channel.basic_ack(tag, multiple=True)
        for number, delivery in list(holder.held.items()):
            if not tag or delivery.message.delivery_tag <= tag:
                del holder.held[number]
                self.settled.add(number)

    @rule(holder=holders)
    def recover(self, holder: Holder) -> None:
        if not holder.closed:
            holder.channel.basic_recover(requeue=True)
            self.put_back(holder, list(holder.held.values()))

    # What always holds.

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        if not hasattr(self, 'broker'):
            return
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
        if not hasattr(self, 'broker'):
            return
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
TestLedger.settings = settings(max_examples=60, stateful_step_count=40)
