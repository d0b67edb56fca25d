"""Call a function in another thread, process or machine, and get its result back.

The client names a queue of its own in `reply_to` and the call in `correlation_id`; the server
answers there.  ::

    python examples/rpc.py
    python examples/rpc.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import Any

from kombu import Connection, Queue, uuid
from kombu.common import send_reply
from kombu.mixins import ConsumerMixin

requests = Queue('rpc.requests', message_ttl=60)


class Server(ConsumerMixin):
    """Computes squares until it is told to stop."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ready = Event()

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer(requests, callbacks=[self.on_request], accept=['json'], prefetch_count=1)]

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        self.ready.set()

    def on_request(self, body: dict[str, Any], message: Any) -> None:
        send_reply('', message, {'result': body['number'] ** 2})
        # Not before the answer is out: whoever dies on the way, somebody answers.
        message.ack()


class Client:
    """Calls the server, and waits for its answers.

    Args:
        connection: the connection to use.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers: dict[str, Any] = {}
        self.queue = Queue(f'rpc.answers.{uuid()}', exclusive=True)
        self.consumer = connection.Consumer(
            self.queue, callbacks=[self.on_answer], accept=['json'], no_ack=True
        )
        self.consumer.consume()

    def on_answer(self, body: dict[str, Any], message: Any) -> None:
        """Keep an answer until its call comes for it."""
        self.answers[message.properties['correlation_id']] = body['result']

    def square(self, number: int, timeout: float = 5) -> int:
        """Return the square of a number.

        Args:
            number: the number.
            timeout: seconds to wait for the answer, and for each event on the way.

        Raises:
            TimeoutError: no answer came.
        """
        call = uuid()
        self.connection.Producer().publish(
            {'number': number},
            routing_key=requests.name,
            declare=[requests],
            reply_to=self.queue.name,
            correlation_id=call,
            expiration=timeout,
            retry=True,
        )
        while call not in self.answers:
            self.connection.drain_events(timeout=timeout)
        result: int = self.answers.pop(call)
        return result


def main(url: str) -> None:
    """Start a server in a thread, and call it."""
    server = Server(Connection(url))
    thread = Thread(target=server.run)
    thread.start()
    try:
        server.ready.wait(5)
        with Connection(url) as connection:
            client = Client(connection)
            for number in (2, 3, 4):
                print(f'the square of {number} is {client.square(number)}')
    finally:
        server.should_stop = True
        thread.join()


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'memory://')
