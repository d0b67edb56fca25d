"""Use a queue like `queue.Queue`, on the embedded broker or on the one named by a URL.

::

    python examples/simple_queue.py
    python examples/simple_queue.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import sys

from kombu import Connection


def main(url: str) -> None:
    """Put three jobs into a queue and get them out again."""
    with Connection(url) as connection, connection.SimpleQueue('simple.jobs') as jobs:
        for number in range(3):
            jobs.put({'job': number}, serializer='json', compression='zlib')
        for _ in range(3):
            message = jobs.get(block=True, timeout=5)
            print('got', message.payload)
            message.ack()
        try:
            jobs.get(timeout=0.1)
        except jobs.Empty:
            print('done')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else 'memory://')
