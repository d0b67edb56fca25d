"""AMQP 0-9-1, natively, on py-amqp.

py-amqp knows the protocol: the handshake, the methods of connection and channel, their arguments.
How bytes are read and written, and what threads have to do with it, is done here, because there
py-amqp knows neither threads nor time limits.

**Writing.**  One lock for each connection; it is held while the frames of a method are written,
which are therefore never mixed with those of another (`Connection.transmit`).

**Reading.**  Of the threads that wait for something one reads, for all (`_reader`).  What arrives
is filed at once: an answer goes to the call that waits for it (`_call.Reply`), a confirm to the
publisher that does (`_confirms`), everything that calls for code of the application to the inbox of
the thread that uses the channel (`_inbox`).  `drain_events` runs the next event of the calling
thread's inbox; no other call runs the callback of a consumer.

**Time.**  The socket never blocks (`_wire`); every wait has a limit, and none is longer than it
takes to notice by its heartbeats that the broker has gone.

**Processes.**  A connection belongs to the process that made it.  In a child it is found closed,
and the parent's is left alone.
"""

from __future__ import annotations

from ._channel import Channel
from ._connection import Connection
from ._message import Message
from ._options import OPTIONS
from ._transport import DEFAULT_PORT, DEFAULT_SSL_PORT, SSLTransport, Transport

__all__ = (
    'DEFAULT_PORT',
    'DEFAULT_SSL_PORT',
    'OPTIONS',
    'Channel',
    'Connection',
    'Message',
    'SSLTransport',
    'Transport',
)
