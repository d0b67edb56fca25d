"""Frames: bytes to methods with their content, and back (AMQP 0-9-1, 2.3 and 4.2).

Nothing here reads or writes.  `FrameParser` is fed whatever the socket gave and returns the methods
that are complete by then; the functions return the bytes to send.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from amqp import spec
from amqp.exceptions import FrameSyntaxError, UnexpectedFrame

from ._driver import AMQPMessage
from ._tables import decode_properties, encode_properties, shortstr

__all__ = (
    'HEARTBEAT',
    'Content',
    'FrameParser',
    'Method',
    'content_frames',
    'method_frame',
    'publish_arguments',
)

METHOD, HEADER, BODY, BEAT = 1, 2, 3, 8
FRAME_END = 0xCE
#: Octets of a frame that are not its payload.
OVERHEAD = 8
#: What a server says, before closing, to a client whose protocol it does not speak (AMQP 0-9-1,
#: 2.2.4).
GREETING = b'AMQP'

_frame_header = Struct('>BHI')
_signature = Struct('>HH')
_content_header = Struct('>HHQ')
_body_size = Struct('>4xQ')
#: Class, weight and body size before the property flags.
_PROPERTIES_AT = 12

#: Methods that a message follows.
_WITH_CONTENT = frozenset({spec.Basic.Deliver, spec.Basic.Return, spec.Basic.GetOk})

#: A heartbeat, whole.
HEARTBEAT = _frame_header.pack(BEAT, 0, 0) + bytes([FRAME_END])


class Content(AMQPMessage):  # type: ignore[misc]  # py-amqp is untyped
    """A message as it travels, without the bookkeeping of py-amqp's own frame reader."""

    channel: Any
    delivery_info: Any

    def __init__(
        self,
        body: Any = '',
        children: Any = None,
        channel: Any = None,
        **properties: Any,
    ) -> None:
        self.body = body
        self.channel = channel
        self.properties = properties
        self.delivery_info = None

    @classmethod
    def received(cls, header: bytes, body: bytes) -> Content:
        """Make the message of a header frame and the body that followed it.

        Raises:
            FrameSyntaxError: the properties are malformed.
        """
        self = cls.__new__(cls)
        self.body = body
        self.channel = self.delivery_info = None
        self.properties = decode_properties(header, _PROPERTIES_AT)
        return self


class Method(NamedTuple):
    """A method that arrived: the payload of its frame, and header and body of its message."""

    channel: int
    signature: tuple[int, int]
    payload: bytes
    header: bytes | None = None
    body: bytes = b''


class _Partial:
    """A method that waits for the rest of its message."""

    __slots__ = ('chunks', 'header', 'missing', 'payload', 'signature')

    def __init__(self, signature: tuple[int, int], payload: bytes) -> None:
        self.signature = signature
        self.payload = payload
        self.header: bytes | None = None
        self.chunks: list[bytes] = []
        self.missing = 0


class FrameParser:
    """Cut a stream of bytes into methods.

    Frames of several channels may be mixed; those of one message are not mixed with others of the
    same channel.
    """

    __slots__ = ('_held', '_missing', '_partial', 'frames', 'limit')

    def __init__(self) -> None:
        #: The beginning of a frame, and how many octets of it are still to come at least.
        self._held: list[bytes] = []
        self._missing = 0
        self._partial: dict[int, _Partial] = {}
        #: Number of frames seen, heartbeats included.
        self.frames = 0
        #: Largest frame allowed, in octets; 0 means any.
        self.limit = 0

    def feed(self, data: bytes) -> list[Method]:
        """Take what was read, and return the methods that are complete now.

        Raises:
            UnexpectedFrame: this is not AMQP, or not in order.
        """
        if self._held:
            self._held.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data = b''.join(self._held)
        done: list[Method] = []
        at, end = 0, len(data)
        unpack = _frame_header.unpack_from
        partial = self._partial
        frames = 0
        while end - at >= OVERHEAD:
            kind, channel, size = unpack(data, at)
            start = at + 7
            stop = start + size
            if stop >= end:
                if (kind not in (METHOD, HEADER, BODY, BEAT)) or 0 < self.limit < size + OVERHEAD:
                    self._refuse(data, at, kind, size)
                self._missing = stop + 1 - end
                break
            if data[stop] != FRAME_END:
                self._refuse(data, at, kind, size)
            at = stop + 1
            frames += 1
            if kind == METHOD:
                signature = _signature.unpack_from(data, start)
                payload = data[start:stop]
                if channel in partial:
                    raise UnexpectedFrame(
                        f'a message on channel {channel} was interrupted by the method {signature}'
                    )
                if signature in _WITH_CONTENT:
                    partial[channel] = _Partial(signature, payload)
                else:
                    done.append(Method(channel, signature, payload))
            elif kind == BODY:
                method = self._body(channel, data[start:stop])
                if method is not None:
                    done.append(method)
            elif kind == HEADER:
                method = self._header(channel, data[start:stop])
                if method is not None:
                    done.append(method)
            elif kind != BEAT:
                self._refuse(data, at, kind, size)
        else:
            self._missing = at + OVERHEAD - end
        self._held = [data[at:]] if at < end else []
        self.frames += frames
        return done

    def _header(self, channel: int, header: bytes) -> Method | None:
        found = self._partial.get(channel)
        if found is None or found.header is not None:
            raise UnexpectedFrame(f'a content header on channel {channel} belongs to no method')
        found.missing = _body_size.unpack_from(header)[0]
        found.header = header
        if found.missing:
            return None
        del self._partial[channel]
        return Method(channel, found.signature, found.payload, header)

    def _body(self, channel: int, chunk: bytes) -> Method | None:
        found = self._partial.get(channel)
        if found is None or found.header is None:
            raise UnexpectedFrame(f'a content body on channel {channel} belongs to no method')
        found.missing -= len(chunk)
        if found.missing > 0:
            found.chunks.append(chunk)
            return None
        if found.missing:
            raise UnexpectedFrame(f'a message on channel {channel} is longer than announced')
        del self._partial[channel]
        if found.chunks:
            found.chunks.append(chunk)
            chunk = b''.join(found.chunks)
        return Method(channel, found.signature, found.payload, found.header, chunk)

    def _refuse(self, data: bytes, at: int, kind: int, size: int) -> None:
        """Raise the error for a frame that cannot be one."""
        if data[at : at + 4] == GREETING:
            version = '.'.join(map(str, data[at + 5 : at + 8]))
            raise UnexpectedFrame(f'the server does not speak AMQP 0-9-1 but {version}')
        raise UnexpectedFrame(
            f'this is no AMQP frame (type {kind}, {size} octets): {data[at : at + 8]!r}'
        )

    def forget(self, channel: int) -> None:
        """Drop what has arrived of a message on a channel that is gone."""
        self._partial.pop(channel, None)


def method_frame(channel: int, signature: tuple[int, int], arguments: bytes = b'') -> bytes:
    """Return the frame of a method."""
    return b'%b%b%b\xce' % (
        _frame_header.pack(METHOD, channel, len(arguments) + 4),
        _signature.pack(*signature),
        arguments,
    )


def publish_arguments(
    exchange: str | None, routing_key: str | None, *, mandatory: bool, immediate: bool
) -> bytes:
    """Return the arguments of basic.publish."""
    flags = (1 if mandatory else 0) | (2 if immediate else 0)
    return b'\0\0%b%b%c' % (
        shortstr(exchange, 'the name of the exchange'),
        shortstr(routing_key, 'the routing key'),
        flags,
    )


def content_frames(method: bytes, channel: int, content: Any, limit: int) -> list[bytes]:
    """Return the frames of a method with a message.

    Args:
        method: the frame of the method itself.
        channel: number of the channel.
        content: the message; a body of text is encoded as its `content_encoding` says, or else in
            UTF-8.
        limit: largest frame allowed, in octets; 0 means any.

    Returns:
        Pieces to write in this order without anything in between; one piece, where the message is
        small.
    """
    body = content.body
    properties = content.properties
    if isinstance(body, str):
        encoding = properties.get('content_encoding')
        if encoding is None:
            encoding = 'utf-8'
            properties = {**properties, 'content_encoding': encoding}
        body = body.encode(encoding)
    raw = encode_properties(properties)
    size = len(body)
    header_size = len(raw) + _PROPERTIES_AT
    head = b'%b%b%b%b\xce' % (
        method,
        _frame_header.pack(HEADER, channel, header_size),
        _content_header.pack(60, 0, size),
        raw,
    )
    if limit and header_size + OVERHEAD > limit:
        raise FrameSyntaxError(
            f'the headers take {header_size} bytes, a frame here holds {limit - OVERHEAD}'
        )
    if not size:
        return [head]
    room = limit - OVERHEAD if limit else size
    if size <= room:
        start = _frame_header.pack(BODY, channel, size)
        if size < 65536:
            return [b'%b%b%b\xce' % (head, start, body)]
        return [head + start, body, b'\xce']
    view = memoryview(body)
    pieces: list[Any] = [head]
    for at in range(0, size, room):
        chunk = view[at : at + room]
        pieces += (_frame_header.pack(BODY, channel, len(chunk)), chunk, b'\xce')
    return pieces
