"""Record the envelopes that kombu 5.x stores: run under an interpreter that has it.

::

    python t/golden/record_envelopes.py > t/golden/envelopes.json

The program runs under kombu 6 too; `test_envelopes.py` compares what both print.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kombu import Connection, Exchange, Producer, Queue
from kombu.transport import virtual

#: Name and arguments of `publish`, of what is stored.
MESSAGES: dict[str, tuple[Any, dict[str, Any]]] = {
    'json': ({'a': [1, None, 'ü']}, {}),
    'text': ('grün', {}),
    'bytes': (b'\x00\xff', {}),
    'pickle': ({'a': 1}, {'serializer': 'pickle'}),
    'empty': ('', {}),
    'headers': ({}, {'headers': {'h': 1, 'n': None, 'list': [1, 2]}}),
    'compressed': ('x' * 100, {'compression': 'bzip2'}),
    'priority': (1, {'priority': 7}),
    'expiration': (1, {'expiration': 1.5}),
    'transient': (1, {'delivery_mode': 'transient'}),
    'properties': (
        1,
        {
            'correlation_id': 'c',
            'reply_to': 'r',
            'message_id': 'm',
            'type': 't',
            'app_id': 'a',
            'timestamp': 1700000000,
            'custom': 'x',
        },
    ),
}


class Channel(virtual.Channel):
    """Keeps what is put."""

    stored: list[Any] = []

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        self.stored.append(json.loads(json.dumps(message)))

    def _purge(self, queue: str) -> int:
        return 0

    def _size(self, queue: str) -> int:
        return 0


class Transport(virtual.Transport):
    Channel = Channel
    driver_type = driver_name = 'recording'
    implements = virtual.Transport.implements.extend(message_ttl=True)


def record() -> dict[str, Any]:
    """Return the envelope of each message, its unique parts masked."""
    recorded = {}
    with Connection(transport=Transport) as connection:
        channel = connection.channel()
        queue = Queue('golden.q', Exchange('golden', 'topic'), 'a.*')
        producer = Producer(channel)
        for name, (body, options) in MESSAGES.items():
            channel.stored.clear()
            producer.publish(body, exchange='golden', routing_key='a.b', declare=[queue], **options)
            (envelope,) = channel.stored
            envelope['properties']['delivery_tag'] = '<unique>'
            recorded[name] = envelope
    return recorded


if __name__ == '__main__':
    json.dump(record(), sys.stdout, indent=1, sort_keys=True, ensure_ascii=True)
    print()
