"""Figures of the current process that should stay flat."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import Any

from kombu.entity import Queue
from kombu.messaging import Consumer

__all__ = ('figures', 'measure_idle', 'measure_reconnects', 'use')

#: Connections made before the first measurement, so that caches are filled.
WARM_UP = 30


def figures() -> dict[str, int]:
    """Count file descriptors, threads, and kilobytes of resident memory; garbage is collected
    first."""
    gc.collect()
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    return {
        'fds': len(list(Path('/proc/self/fd').iterdir())),
        'threads': threading.active_count(),
        'kilobytes': pages * 4,
        'objects': len(gc.get_objects()),
    }


def use(connection: Any, name: str) -> None:
    """Connect, publish a message, consume it, and release."""
    with connection.clone() as clone, clone.channel() as channel:
        got: list[Any] = []
        queue: Any = Queue(name)(channel)
        consumer: Any = Consumer(channel, [queue], on_message=got.append, auto_declare=False)
        consumer.consume()
        channel.Producer().publish(1, exchange='', routing_key=name)
        end = time.monotonic() + 10
        while not got and time.monotonic() < end:
            try:
                clone.drain_events(timeout=1)
            except TimeoutError:
                continue
        got[0].ack()
        consumer.cancel()


def measure_reconnects(connection: Any, name: str, count: int) -> dict[str, dict[str, int]]:
    """Take `figures` before and after `count` connections."""
    for _ in range(WARM_UP):
        use(connection, name)
    before = figures()
    for _ in range(count):
        use(connection, name)
    return {'before': before, 'after': figures()}


def measure_idle(connection: Any, name: str, seconds: float) -> dict[str, float]:
    """Measure the CPU seconds of a consumer that waits `seconds` for a message that does not
    come."""
    channel = connection.channel()
    consumer: Any = Consumer(
        channel, [Queue(name)(channel)], on_message=lambda message: None, auto_declare=False
    )
    consumer.consume()
    wall, cpu = time.monotonic(), time.process_time()
    try:
        connection.drain_events(timeout=seconds)
    except TimeoutError:
        pass
    return {'cpu': time.process_time() - cpu, 'wall': time.monotonic() - wall}
