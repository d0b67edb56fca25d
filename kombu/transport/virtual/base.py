"""The virtual broker layer under the names that drivers import it by.

The parts live in the modules beside this one.
"""

from __future__ import annotations

from queue import Empty

from kombu.transport.virtual._envelope import Base64
from kombu.transport.virtual._topology import BrokerState, binding_key_t, queue_binding_t
from kombu.transport.virtual.channel import Channel
from kombu.transport.virtual.declaring import NotEquivalentError
from kombu.transport.virtual.message import Message
from kombu.transport.virtual.qos import QoS
from kombu.transport.virtual.storage import AbstractChannel
from kombu.transport.virtual.transport import Management, Transport

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

#: Type code of the numbers of channels in use, for subclasses that keep them in an `array`.
ARRAY_TYPE_H = 'H'


class UndeliverableWarning(UserWarning):
    """A message reached no queue."""
