"""Three small transports as outsiders have written them, against the hooks of kombu 4 and 5.

Between them they use every hook that transports in the wild were seen to override.  They must run
unchanged.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from queue import Empty

from kombu.transport import base, virtual


class ListStore:
    """What the miniatures store in: texts by queue, and rows by exchange."""

    def __init__(self):
        self.queues = defaultdict(deque)
        self.tables = defaultdict(set)
        self.calls = []


# -- 1: the least there is: three methods, `_get` without a timeout ------------------------------


class LeastChannel(virtual.Channel):
    store = ListStore()

    def _put(self, queue, message, **kwargs):
        self.store.queues[queue].append(json.dumps(message))

    def _get(self, queue):
        try:
            return json.loads(self.store.queues[queue].popleft())
        except IndexError:
            raise Empty from None

    def _purge(self, queue):
        size = len(self.store.queues[queue])
        self.store.queues[queue].clear()
        return size


class LeastTransport(virtual.Transport):
    Channel = LeastChannel
    driver_type = 'least'
    driver_name = 'least'
    polling_interval = 0.01
    default_port = 4711


# -- 2: a shared store: tables, fanout, sizes, options, priorities, a ledger of its own ----------


class SharedQoS(virtual.QoS):
    """Keeps what is unacknowledged in the store too, under the delivery tag of the envelope."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.unacked = {}

    def append(self, message, delivery_tag):
        self.unacked[delivery_tag] = message
        super().append(message, delivery_tag)

    def ack(self, delivery_tag):
        self.unacked.pop(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag, requeue=False):
        self.unacked.pop(delivery_tag)
        super().reject(delivery_tag, requeue=requeue)

    def can_consume(self):
        return super().can_consume()


class SharedChannel(virtual.Channel):
    QoS = SharedQoS
    store = ListStore()
    supports_fanout = True
    prefix = ''
    from_transport_options = (*virtual.Channel.from_transport_options, 'prefix')

    def _key(self, queue):
        return f'{self.prefix}{queue}'

    def _put(self, queue, message, **kwargs):
        line = self.store.queues[self._key(queue)]
        if self._get_message_priority(message):
            line.appendleft(json.dumps(message))
        else:
            line.append(json.dumps(message))

    def _get(self, queue, timeout=None):
        try:
            return json.loads(self.store.queues[self._key(queue)].popleft())
        except IndexError:
            raise Empty from None

    def _size(self, queue):
        return len(self.store.queues[self._key(queue)])

    def _purge(self, queue):
        size = self._size(queue)
        self.store.queues[self._key(queue)].clear()
        return size

    def _new_queue(self, queue, **kwargs):
        self.store.queues[self._key(queue)]

    def _has_queue(self, queue, **kwargs):
        return self._key(queue) in self.store.queues

    def _delete(self, queue, *args, **kwargs):
        self.store.queues.pop(self._key(queue), None)
        for rows in self.store.tables.values():
            rows.difference_update({row for row in rows if row[2] == queue})

    def _queue_bind(self, exchange, routing_key, pattern, queue):
        self.store.tables[exchange].add((routing_key or '', pattern or '', queue or ''))

    def get_table(self, exchange):
        return list(self.store.tables[exchange])

    def _put_fanout(self, exchange, message, routing_key, **kwargs):
        for row in self.get_table(exchange):
            self._put(row[2], message)

    def _restore(self, message):
        self.store.calls.append('_restore')
        super()._restore(message)


class SharedTransport(virtual.Transport):
    Channel = SharedChannel
    driver_type = 'shared'
    driver_name = 'shared'
    polling_interval = 0.01
    connection_errors = (*virtual.Transport.connection_errors, OSError)
    channel_errors = (*virtual.Transport.channel_errors, KeyError)

    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(['direct', 'topic', 'fanout']), heartbeats=False
    )

    def driver_version(self):
        return '1.2'

    def verify_connection(self, connection):
        return True


# -- 3: a driver that goes its own way: own message, own consuming, own draining -----------------


class OwnMessage(virtual.Message):
    def __init__(self, payload, channel=None, **kwargs):
        self.receipt = payload['properties'].get('receipt')
        super().__init__(payload, channel=channel, **kwargs)


class OwnChannel(virtual.Channel):
    Message = OwnMessage
    store = ListStore()
    do_restore = False

    def basic_consume(self, queue, no_ack, *args, **kwargs):
        self.store.calls.append(('basic_consume', queue))
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_cancel(self, consumer_tag):
        self.store.calls.append(('basic_cancel', self._tag_to_queue[consumer_tag]))
        return super().basic_cancel(consumer_tag)

    def _put(self, queue, message, **kwargs):
        self.store.queues[queue].append(message)

    def _get(self, queue, timeout=None):
        raise NotImplementedError('takes in bulk')

    def _get_bulk(self, queue, limit):
        line = self.store.queues[queue]
        return [line.popleft() for _ in range(min(limit, len(line)))]

    def _get_and_deliver(self, queue, callback):
        limit = self.qos.can_consume_max_estimate()
        messages = self._get_bulk(queue, 10 if limit is None else min(limit, 10))
        if not messages:
            raise Empty
        for number, message in enumerate(messages):
            message['properties']['receipt'] = f'r{number}'
            self.connection._deliver(message, queue)

    def _poll(self, cycle, callback, timeout=None):
        return cycle.get(callback)

    def _restore_at_beginning(self, message):
        self.store.queues[message.queue].appendleft(message.serializable())

    def _size(self, queue):
        return len(self.store.queues[queue])

    def _purge(self, queue):
        self.store.queues.pop(queue, None)
        return 0

    def drain_events(self, timeout=None, callback=None):
        if self._consumers and self.qos.can_consume():
            return self._poll(self.cycle, callback or self.connection._deliver, timeout=timeout)
        raise Empty

    def close(self):
        self.store.calls.append('close')
        super().close()


class OwnTransport(virtual.Transport):
    Channel = OwnChannel
    driver_type = 'own'
    driver_name = 'own'
    polling_interval = 0.01

    def __init__(self, client, **kwargs):
        super().__init__(client, **kwargs)
        self.opened = 0

    def establish_connection(self):
        self.opened += 1
        return super().establish_connection()


# -- 4: native: the contract of `kombu.transport.base` alone -------------------------------------


class BareTransport(base.Transport):
    driver_type = 'bare'
    driver_name = 'bare'

    def establish_connection(self):
        return object()

    def close_connection(self, connection):
        pass
