"""Exchanges, queues, and the bindings between them."""

from __future__ import annotations

from kombu.entity._exchange import (
    DELIVERY_MODES,
    INTERNAL_EXCHANGE_PREFIX,
    PERSISTENT_DELIVERY_MODE,
    TRANSIENT_DELIVERY_MODE,
    Exchange,
    binding,
    maybe_delivery_mode,
)
from kombu.entity._queue import Queue, pretty_bindings

__all__ = (
    'DELIVERY_MODES',
    'INTERNAL_EXCHANGE_PREFIX',
    'PERSISTENT_DELIVERY_MODE',
    'TRANSIENT_DELIVERY_MODE',
    'Exchange',
    'Queue',
    'binding',
    'maybe_delivery_mode',
    'pretty_bindings',
)
