"""A program that consumes, survives a broken connection, and stops by itself.

::

    python examples/worker_mixin.py
    python examples/worker_mixin.py amqp://guest:guest@localhost//
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerProducerMixin

tasks = Queue('worker.tasks', Exchange('worker.tasks'), routing_key='task')
results = Queue('worker.results', Exchange('worker.results'), routing_key='result')


class Worker(ConsumerProducerMixin):
    """Doubles numbers.

    Args:
        connection: describes the broker.
        count: how many tasks to do.
    """

    def __init__(self, connection: Connection, count: int) -> None:
        self.connection = connection
        self.left = count

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [
            Consumer(tasks, callbacks=[self.on_task], accept=['json'], prefetch_count=10),
            Consumer(results, callbacks=[self.on_result], accept=['json'], no_ack=True),
        ]

    def on_task(self, body: dict[str, Any], message: Any) -> None:
        """Do a task: publish its result, then acknowledge it."""
        self.producer.publish(
            {'result': body['number'] * 2},
            exchange=results.exchange,
            routing_key='result',
            declare=[results],
            retry=True,
            retry_policy={'max_retries': 3, 'interval_start': 0.1},
        )
        message.ack()

    def on_result(self, body: dict[str, Any], message: Any) -> None:
        """Print a result, and stop after the last one."""
        print('result', body['result'])
        self.left -= 1
        self.should_stop = not self.left


def main(url: str) -> None:
    """Publish five tasks and work until they are done."""
    with Connection(url, heartbeat=10) as connection:
        producer = connection.Producer(exchange=tasks.exchange, routing_key='task')
        for number in range(5):
            producer.publish({'number': number}, declare=[tasks], retry=True)
        Worker(connection, 5).run()


if __name__ == '__main__':
    logging.basicConfig(level=logging.WARNING)
    main(sys.argv[1] if len(sys.argv) > 1 else 'memory://')
