"""The event loop that asynchronous transports and workers share."""

from __future__ import annotations

from kombu.asynchronous.hub import Hub, get_event_loop, set_event_loop
from kombu.utils.eventio import ERR, READ, WRITE

__all__ = ('ERR', 'READ', 'WRITE', 'Hub', 'get_event_loop', 'set_event_loop')
