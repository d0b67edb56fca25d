"""Route by topic, and look after what could not be processed.

Orders go to a queue for each region.  What is refused there goes to a queue of dead letters, with
its history.  ::

    python examples/topic_and_dead_letters.py
    python examples/topic_and_dead_letters.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import sys
from typing import Any

from kombu import Connection, Exchange, Queue

orders = Exchange('example.orders', type='topic')
refused = Exchange('example.refused', type='fanout')

LIMITS = {'x-dead-letter-exchange': refused.name}
europe = Queue('example.orders.eu', orders, routing_key='order.eu.#', queue_arguments=LIMITS)
elsewhere = Queue('example.orders.us', orders, routing_key='order.us.#', queue_arguments=LIMITS)
dead = Queue('example.refused', refused)

handled: list[int] = []
buried: list[int] = []


def handle(body: dict[str, Any], message: Any) -> None:
    """Accept orders of something, refuse those of nothing."""
    handled.append(body['id'])
    if body['pieces'] > 0:
        print(f'order {body["id"]} by {message.delivery_info["routing_key"]!r}: accepted')
        message.ack()
    else:
        message.reject()


def bury(body: dict[str, Any], message: Any) -> None:
    """Look at a dead letter."""
    buried.append(body['id'])
    death = message.headers['x-death'][0]
    print(f'order {body["id"]} was {death["reason"]} in {death["queue"]}')
    message.ack()


def main(url: str) -> None:
    """Publish three orders, one of which is refused."""
    with Connection(url) as connection:
        producer = connection.Producer(exchange=orders, serializer='json')
        for number, (key, pieces) in enumerate(
            [('order.eu.de', 2), ('order.us.ny', 0), ('order.eu.fr.paris', 1)]
        ):
            producer.publish(
                {'id': number, 'pieces': pieces},
                routing_key=key,
                declare=[dead, europe, elsewhere],
                retry=True,
            )
        with (
            connection.Consumer([europe, elsewhere], callbacks=[handle], accept=['json']),
            connection.Consumer(dead, callbacks=[bury], accept=['json']),
        ):
            while len(handled) < 3 or len(buried) < 1:
                connection.drain_events(timeout=5)


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'memory://')
