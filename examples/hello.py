"""Publish a few messages and consume them, on the embedded broker or on the one named by a URL.

::

    python examples/hello.py
    python examples/hello.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import sys
from typing import Any

from kombu import Connection, Exchange, Queue

media = Exchange('hello.media', type='topic')
videos = Queue('hello.videos', media, routing_key='video.#')

pending = {'holiday.mp4', 'birthday.mp4'}


def handle(body: dict[str, Any], message: Any) -> None:
    """Receive one message and acknowledge it."""
    print(f'received {body} by routing key {message.delivery_info["routing_key"]!r}')
    message.ack()
    pending.discard(body['name'])


def main(url: str) -> None:
    """Publish one message for each name in `pending`, then consume until all have arrived."""
    with Connection(url) as connection:
        print(f'connected to {connection.as_uri()}')
        producer = connection.Producer(serializer='json')
        for name in sorted(pending):
            producer.publish(
                {'name': name, 'size': 1301013},
                exchange=media,
                routing_key='video.uploaded',
                declare=[videos],
                retry=True,
            )
            print(f'published {name!r}')
        with connection.Consumer(videos, callbacks=[handle]):
            while pending:
                connection.drain_events(timeout=5)
    print('done')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'memory://')
