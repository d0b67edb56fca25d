"""A wire with a scripted broker at its end: for tests of the AMQP transport without a network.

wire = ScriptedWire()
connection = connected(wire)            # the handshake is done
channel = connection.channel()          # and so is whatever `ANSWERS` knows
wire.says(1, spec.Basic.Deliver, ...)   # the broker sends something by itself
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import pack, unpack_from
from typing import Any

from amqp import spec
from amqp.serialization import dumps

from kombu.transport.pyamqp import Connection
from kombu.transport.pyamqp._frames import method_frame
from kombu.transport.pyamqp._tables import encode_properties

Signature = tuple[int, int]

#: What the broker answers to a method, with the arguments of the answer.
ANSWERS: dict[Signature, tuple[Signature, bytes]] = {
    spec.Connection.StartOk: (spec.Connection.Tune, dumps('BlB', (100, 4096, 60))),
    spec.Connection.Open: (spec.Connection.OpenOk, b'\0'),
    spec.Connection.Close: (spec.Connection.CloseOk, b''),
    spec.Channel.Open: (spec.Channel.OpenOk, b'\0\0\0\0'),
    spec.Channel.Close: (spec.Channel.CloseOk, b''),
    spec.Queue.Declare: (spec.Queue.DeclareOk, dumps('sll', ('q', 3, 2))),
    spec.Basic.Consume: (spec.Basic.ConsumeOk, dumps('s', ('tag',))),
    spec.Basic.Cancel: (spec.Basic.CancelOk, dumps('s', ('tag',))),
    spec.Basic.Qos: (spec.Basic.QosOk, b''),
    spec.Basic.Get: (spec.Basic.GetEmpty, b'\0'),
    spec.Basic.Recover: (spec.Basic.RecoverOk, b''),
    spec.Confirm.Select: (spec.Confirm.SelectOk, b''),
}

START = dumps(
    'ooFSS',
    (0, 9, {'product': 'RabbitMQ', 'version': '3.10.8', 'capabilities': {}}, 'PLAIN', 'en_US'),
)


def content(channel: int, properties: dict[str, Any], body: bytes) -> bytes:
    """Return the frames of header and body of a message."""
    raw = encode_properties(properties)
    frames = pack('>BHIHHQ', 2, channel, len(raw) + 12, 60, 0, len(body)) + raw + b'\xce'
    if body:
        frames += pack('>BHI', 3, channel, len(body)) + body + b'\xce'
    return frames


class ScriptedWire:
    """Takes the place of the socket."""

    def __init__(self) -> None:
        self.sock: Any = self
        self.connected = False
        self.midway = False
        self.closed = 0
        self.dropped = 0
        #: What is there to receive; an exception is raised.
        self.incoming: deque[Any] = deque()
        #: Methods that the client has sent, with channel and arguments.
        self.sent: list[tuple[int, Signature, bytes]] = []
        self.written = b''
        self.answers = dict(ANSWERS)
        #: Called instead of waiting; the default waits for nothing.
        self.on_wait: Callable[[float | None], None] = lambda timeout: None
        #: Raised by the next write.
        self.breaks: BaseException | None = None

    # -- for the tests

    def says(
        self,
        channel: int,
        signature: Signature,
        arguments: bytes = b'',
        properties: dict[str, Any] | None = None,
        body: bytes = b'',
    ) -> None:
        """Let the broker send a method."""
        data = method_frame(channel, signature, arguments)
        if properties is not None:
            data += content(channel, properties, body)
        self.incoming.append(data)

    def delivers(
        self,
        body: bytes = b'x',
        number: int = 1,
        tag: str = 'tag',
        channel: int = 1,
        **properties: Any,
    ) -> None:
        """Let the broker deliver a message."""
        arguments = dumps('sLbss', (tag, number, False, 'exchange', 'key'))
        self.says(channel, spec.Basic.Deliver, arguments, properties, body)

    def methods(self) -> list[Signature]:
        """List the methods that the client has sent, and forget them."""
        found = [signature for _, signature, _ in self.sent]
        self.sent.clear()
        return found

    # -- for the connection

    def connect(self) -> None:
        self.connected = True
        self.says(0, spec.Connection.Start, START)

    def receive(self) -> bytes | None:
        if self.sock is None:
            raise ConnectionResetError('closed')
        if not self.incoming:
            return None
        data = self.incoming.popleft()
        if isinstance(data, BaseException):
            raise data
        return data

    def wait_readable(self, timeout: float | None) -> bool:
        if not self.incoming:
            assert timeout is not None, 'this would wait for ever'
            self.on_wait(timeout)
        return bool(self.incoming)

    def send(self, pieces: Any, limit: float | None) -> None:
        if self.breaks is not None:
            breaks, self.breaks = self.breaks, None
            raise breaks
        data = b''.join(bytes(piece) for piece in pieces)
        self.written += data
        at = 0
        while at < len(data):
            kind, channel, size = unpack_from('>BHI', data, at)
            payload = data[at + 7 : at + 7 + size]
            at += size + 8
            if kind == 1:
                signature = unpack_from('>HH', payload)
                self.sent.append((channel, signature, payload[4:]))
                answer = self.answers.get(signature)
                if answer is not None:
                    self.says(channel, *answer)

    def close(self) -> None:
        self.closed += 1
        self.connected = False
        self.sock = None

    def drop(self) -> None:
        self.dropped += 1
        self.connected = False
        self.sock = None


def connected(wire: ScriptedWire, **arguments: Any) -> Connection:
    """Make a connection over the wire."""

    class Scripted(Connection):
        def Transport(self, *args: Any, **kwargs: Any) -> Any:
            return wire

    connection = Scripted('broker:5672', login_method='PLAIN', connect_timeout=5, **arguments)
    connection.connect()
    wire.sent.clear()
    return connection
