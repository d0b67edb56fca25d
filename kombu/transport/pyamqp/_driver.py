"""The parts of py-amqp that are built on; it has no types, so they are `Any` here."""

from __future__ import annotations

from typing import Any

import amqp
from amqp import basic_message, serialization, transport
from amqp.exceptions import error_for_code as _error_for_code
from vine import ensure_promise as _ensure_promise
from vine import promise as _promise

AbstractTransport: Any = transport._AbstractTransport
AMQPChannel: Any = amqp.Channel
AMQPConnection: Any = amqp.Connection
AMQPMessage: Any = basic_message.Message
SSLTransport: Any = transport.SSLTransport
TCPTransport: Any = transport.TCPTransport

dumps: Any = serialization.dumps
ensure_promise: Any = _ensure_promise
error_for_code: Any = _error_for_code
loads: Any = serialization.loads
promise: Any = _promise
