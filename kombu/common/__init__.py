"""What applications do again and again: declare once, wait for messages, answer, count credit."""

from __future__ import annotations

from kombu.common._broadcast import Broadcast
from kombu.common._declare import declaration_cached, maybe_declare
from kombu.common._messages import (
    collect_replies,
    drain_consumer,
    eventloop,
    itermessages,
    send_reply,
)
from kombu.common._oid import generate_oid, get_node_id, oid_from
from kombu.common._qos import PREFETCH_COUNT_MAX, QoS
from kombu.common._resilience import ignore_errors, insured, revive_connection
from kombu.utils.uuid import uuid

__all__ = (
    'PREFETCH_COUNT_MAX',
    'Broadcast',
    'QoS',
    'collect_replies',
    'declaration_cached',
    'drain_consumer',
    'eventloop',
    'generate_oid',
    'get_node_id',
    'ignore_errors',
    'insured',
    'itermessages',
    'maybe_declare',
    'oid_from',
    'revive_connection',
    'send_reply',
    'uuid',
)
