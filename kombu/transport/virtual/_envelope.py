"""The envelope: a message as a virtual transport stores it.

A dictionary that every store can write as JSON and that kombu 5.x reads and writes too::

    {'body': 'eyJhIjogMX0=',                    # encoded as properties.body_encoding says
     'content-type': 'application/json',
     'content-encoding': 'utf-8',
     'headers': {...},
     'properties': {'body_encoding': 'base64',
                    'delivery_mode': 2,
                    'delivery_tag': '<unique>',
                    'priority': 0,               # where given
                    'expiration': '10000',       # where given; milliseconds
                    'delivery_info': {'exchange': 'e', 'routing_key': 'k',
                                      'redelivered': True,          # if so
                                      'expires_at': 1700000000.0},  # if it expires
                    ...}}

`expires_at` (seconds since the epoch) is new in 6.0; it travels in `delivery_info`, which older
readers keep as it is. The functions here return changed copies: an envelope may lie in several
queues at once.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol

from kombu.utils.encoding import str_to_bytes

__all__ = (
    'Base64',
    'BodyCodec',
    'Envelope',
    'expires_at',
    'redelivered',
    'separate',
    'with_expiry',
)

Envelope = dict[str, Any]


class BodyCodec(Protocol):
    """How bodies are made safe for a store."""

    def encode(self, s: Any) -> Any: ...

    def decode(self, s: Any) -> Any: ...


class Base64:
    """Bodies as base64 text."""

    def encode(self, s: bytes | str) -> str:
        """Return `s` (text as UTF-8) in base64."""
        return binascii.b2a_base64(str_to_bytes(s), newline=False).decode('ascii')

    def decode(self, s: bytes | str) -> bytes:
        """Return the bytes that `s` stands for.

        Raises:
            ValueError: it is not base64.
        """
        return base64.b64decode(str_to_bytes(s), validate=True)


def separate(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of `headers` that shares nothing that can be changed."""
    copied = dict(headers) if headers else {}
    for value in copied.values():
        if type(value) in _CONTAINERS:
            return deepcopy(copied)
    return copied


_CONTAINERS = frozenset({dict, list, set, bytearray})


def delivery_info(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the delivery info of an envelope, empty where a foreign writer left it out."""
    properties = envelope.get('properties')
    return (properties and properties.get('delivery_info')) or {}


def expires_at(envelope: Mapping[str, Any]) -> float | None:
    """Return when the message expires in the queue it lies in, in seconds since the epoch."""
    when: float | None = delivery_info(envelope).get('expires_at')
    return when


def with_expiry(envelope: Envelope, when: float) -> Envelope:
    """Return a copy that expires at `when`."""
    return _with_delivery_info(envelope, expires_at=when)


def redelivered(envelope: Envelope) -> Envelope:
    """Return a copy as it goes back to its queue.

    Flagged, and with one more failed delivery counted.
    """
    headers = dict(envelope.get('headers') or {})
    count = headers.get('x-delivery-count', 0)
    headers['x-delivery-count'] = count + 1 if isinstance(count, int) else 1
    changed = _with_delivery_info(envelope, redelivered=True)
    changed['headers'] = headers
    return changed


def _with_delivery_info(envelope: Envelope, **info: Any) -> Envelope:
    properties = envelope.get('properties') or {}
    return {
        **envelope,
        'properties': {**properties, 'delivery_info': {**delivery_info(envelope), **info}},
    }
