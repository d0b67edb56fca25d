"""A message delivered by a virtual transport."""

from __future__ import annotations

from typing import Any

from kombu.message import Message as BaseMessage
from kombu.transport.virtual._envelope import separate

__all__ = ('Message',)


class Message(BaseMessage):
    """A delivered message, made from the envelope that lay in the store.

    Args:
        payload: the envelope; it is not changed, and goes back as it is when the message is
            requeued.
        channel: the channel it was delivered on.

    Raises:
        ValueError, TypeError, KeyError: the envelope cannot be read.
    """

    __slots__ = ('consumer', 'queue', 'raw')

    #: The envelope as the store gave it.
    raw: Any
    #: The queue it was taken from.
    queue: str | None
    #: Who it was delivered to; None for `basic_get`.
    consumer: Any

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        self.raw = payload
        self.queue = None
        self.consumer = None
        properties = payload['properties']
        body = payload.get('body')
        if body and channel is not None:
            body = channel.decode_body(body, properties.get('body_encoding'))
        super().__init__(
            body=body,
            channel=channel,
            delivery_tag=properties.get('delivery_tag'),
            content_type=payload.get('content-type'),
            content_encoding=payload.get('content-encoding'),
            headers=separate(payload.get('headers')),
            properties=dict(properties),
            delivery_info=dict(properties.get('delivery_info') or ()),
            postencode='utf-8',
            **kwargs,
        )

    def serializable(self) -> dict[str, Any]:
        """Return the envelope to store when the message goes back to its queue."""
        return dict(self.raw)
