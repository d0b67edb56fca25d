"""What happens to a message that dies.

A dead message is published again, to its queue's dead-letter exchange, with its history in the
header `x-death`: a list of one entry for each (queue, reason), the newest first
(https://www.rabbitmq.com/docs/dlx#effects).

Pure: the time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ('REASONS', 'buried', 'is_cycle')

#: Why messages die.
REASONS = ('rejected', 'expired', 'maxlen', 'delivery_limit')


def buried(payload: Mapping[str, Any], *, queue: str, reason: str, time: int) -> dict[str, Any]:
    """Return the dead message as it is published again.

    Args:
        payload: the envelope as it lay in `queue`; not changed.
        queue: where it died.
        reason: one of `REASONS`.
        time: when, in seconds since the epoch: every store can write a number, where the client of
            an AMQP broker shows a datetime.
    """
    properties = dict(payload.get('properties') or {})
    headers = dict(payload.get('headers') or {})
    info = dict(properties.get('delivery_info') or {})
    death = {
        'count': 1,
        'reason': reason,
        'queue': queue,
        'time': time,
        'exchange': info.get('exchange', ''),
        'routing-keys': [info.get('routing_key', '')],
    }
    # A message that kept its expiration would die again in the queue it is sent to.
    expiration = properties.pop('expiration', None)
    if expiration is not None:
        death['original-expiration'] = expiration
    earlier = deaths(headers)
    same = [d for d in earlier if d.get('queue') == queue and d.get('reason') == reason]
    if same:
        count = same[0].get('count')
        death = {**death, **same[0], 'count': count + 1 if isinstance(count, int) else 2}
    headers['x-death'] = [death, *(d for d in earlier if d not in same)]
    headers.setdefault('x-first-death-exchange', death['exchange'])
    headers.setdefault('x-first-death-queue', queue)
    headers.setdefault('x-first-death-reason', reason)
    # Its stay in the new queue is a life of its own.
    headers.pop('x-delivery-count', None)
    for stale in ('redelivered', 'expires_at'):
        info.pop(stale, None)
    properties['delivery_info'] = info
    return {**payload, 'headers': headers, 'properties': properties}


def is_cycle(headers: Mapping[str, Any], queue: str) -> bool:
    """Tell whether a dead message has come back to `queue` by itself.

    Such a message would go round for ever, so it is dropped, unless somebody rejected it on the
    way: then a consumer has a hand in it.
    """
    since = []
    for death in deaths(headers):
        since.append(death.get('reason'))
        if death.get('queue') == queue:
            return 'rejected' not in since
    return False


def deaths(headers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of `x-death`.

    What a publisher made up and has not the form is left out.
    """
    listed = headers.get('x-death')
    return [d for d in listed if isinstance(d, dict)] if isinstance(listed, list) else []
