"""The virtual broker: AMQP 0-9-1 semantics on top of anything that can keep messages.

A driver subclasses `Channel` and `Transport`; what it implements is listed in
`kombu.transport.virtual.storage`.
"""

from __future__ import annotations

from kombu.transport.virtual.base import (
    AbstractChannel,
    Base64,
    BrokerState,
    Channel,
    Empty,
    Management,
    Message,
    NotEquivalentError,
    QoS,
    Transport,
    UndeliverableWarning,
    binding_key_t,
    queue_binding_t,
)

__all__ = (
    'AbstractChannel',
    'Base64',
    'BrokerState',
    'Channel',
    'Empty',
    'Management',
    'Message',
    'NotEquivalentError',
    'QoS',
    'Transport',
    'UndeliverableWarning',
    'binding_key_t',
    'queue_binding_t',
)
