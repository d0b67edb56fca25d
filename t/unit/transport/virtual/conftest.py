"""A store of the test's own, under the virtual broker.

It claims in `_get` and forgets in `_settle`, as stores that survive a crash do, and can be told to
fail.
"""

from __future__ import annotations

from queue import Empty

import pytest

from kombu import Connection
from kombu.transport import virtual


class StoreDown(OSError):
    """The store is out of reach."""


class Store:
    """Queues as lists; what was claimed and not settled; what to fail at."""

    def __init__(self):
        self.queues = {}
        self.claimed = []
        self.settled = []
        self.failing = set()

    def check(self, method):
        if method in self.failing:
            raise StoreDown(method)


class StoreChannel(virtual.Channel):
    store: Store

    def _get(self, queue):
        self.store.check('_get')
        try:
            message = self.store.queues[queue].pop(0)
        except (KeyError, IndexError):
            raise Empty from None
        self.store.claimed.append(message)
        return message

    def _put(self, queue, message, **kwargs):
        self.store.check('_put')
        self.store.queues.setdefault(queue, []).append(message)

    def _requeue(self, queue, message):
        self.store.check('_requeue')
        self.store.queues.setdefault(queue, []).insert(0, message)

    def _settle(self, queue, message):
        self.store.check('_settle')
        self.store.claimed.remove(message)
        self.store.settled.append((queue, message))

    def _size(self, queue):
        return len(self.store.queues.get(queue, ()))

    def _purge(self, queue):
        size = self._size(queue)
        self.store.queues.pop(queue, None)
        return size


class StoreTransport(virtual.Transport):
    Channel = StoreChannel
    driver_type = 'store'
    driver_name = 'store'
    polling_interval = 0.01
    connection_errors = (*virtual.Transport.connection_errors, StoreDown)
    implements = virtual.Transport.implements.extend(message_ttl=True, queue_ttl=True)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def transport_class(store):
    channel = type('Channel', (StoreChannel,), {'store': store, 'do_restore': False})
    return type('Transport', (StoreTransport,), {'Channel': channel})


@pytest.fixture
def store_connection(transport_class):
    with Connection(transport=transport_class) as connection:
        connection.connect()
        yield connection


@pytest.fixture
def channel(store_connection):
    return store_connection.channel()


@pytest.fixture
def publish(channel):
    """Publish bodies to a queue that is declared for it."""

    def publish(queue, *bodies, exchange='', **properties):
        if not exchange:
            channel.queue_declare(queue)
        for body in bodies:
            message = channel.prepare_message(body, properties=properties)
            channel.basic_publish(message, exchange, queue)

    return publish


@pytest.fixture
def bodies(channel):
    """List the bodies in a queue of the store."""

    def bodies(queue):
        found = [
            virtual.Message(m, channel=channel).body for m in channel.store.queues.get(queue, ())
        ]
        return [body.decode() if isinstance(body, bytes) else body for body in found]

    return bodies
