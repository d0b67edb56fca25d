"""Test code that publishes and consumes, without a broker and without waiting.

`Reminders` is the program; the `test_` functions are what its tests look like, under pytest or
called as below.  An optional URL runs the program on a real broker instead of its tests::

    python examples/testing_with_memory.py
    python examples/testing_with_memory.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import sys
from typing import Any

from kombu import Connection, Queue
from kombu.testing import MemoryBroker

#: A reminder that nobody took for an hour is of no use any more.
QUEUE = Queue('example.reminders', message_ttl=3600)


class Reminders:
    """Sends reminders, and shows those that are due.

    Args:
        connection: the connection to use.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.shown: list[str] = []

    def send(self, text: str) -> None:
        """Publish a reminder."""
        self.connection.Producer().publish(
            {'text': text}, routing_key=QUEUE.name, declare=[QUEUE], retry=True
        )

    def show(self, timeout: float = 1) -> None:
        """Show one reminder."""
        with self.connection.Consumer(QUEUE, callbacks=[self.on_reminder], accept=['json']):
            self.connection.drain_events(timeout=timeout)

    def on_reminder(self, body: dict[str, Any], message: Any) -> None:
        """Show it, then have it forgotten."""
        self.shown.append(body['text'])
        message.ack()


def test_shows_what_was_sent() -> None:
    """The usual case."""
    with MemoryBroker() as broker:
        reminders = Reminders(broker.connection())
        reminders.send('stand up')
        reminders.show()
        assert reminders.shown == ['stand up']
        assert broker.messages(QUEUE.name) == []
        assert broker.unacked(QUEUE.name) == 0


def test_old_reminders_are_dropped() -> None:
    """An hour passes without waiting for it."""
    with MemoryBroker() as broker:
        Reminders(broker.connection()).send('stand up')
        broker.advance(3601)
        assert broker.messages(QUEUE.name) == []


def test_survives_a_broken_connection() -> None:
    """The link is cut between two reminders."""
    with MemoryBroker() as broker:
        connection = broker.connection()
        reminders = Reminders(connection)
        reminders.send('stand up')
        broker.cut(connection)
        reminders.send('sit down')
        assert [message.payload['text'] for message in broker.messages(QUEUE.name)] == [
            'stand up',
            'sit down',
        ]


def test_a_reminder_of_a_dead_program_is_not_lost() -> None:
    """It is given to the next one."""
    with MemoryBroker() as broker:
        Reminders(broker.connection()).send('stand up')
        victim = broker.connection()
        QUEUE(victim.default_channel).get()
        broker.crash(victim)
        survivor = Reminders(broker.connection())
        survivor.show()
        assert survivor.shown == ['stand up']


def main(url: str | None) -> None:
    """Run the tests, or the program on a broker."""
    if url is not None:
        with Connection(url) as connection:
            reminders = Reminders(connection)
            reminders.send('stand up')
            reminders.show(timeout=5)
            print(reminders.shown)
        return
    for name, test in list(globals().items()):
        if name.startswith('test_'):
            test()
            print(name, 'passed')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else None)
