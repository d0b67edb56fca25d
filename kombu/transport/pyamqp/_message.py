"""Messages as the application sees them."""

from __future__ import annotations

from typing import Any

from kombu.transport import base

__all__ = ('Message',)


class Message(base.Message):
    """A message received over AMQP.

    Args:
        msg: as it was delivered.
        channel: where it came from.
    """

    def __init__(self, msg: Any, channel: Any = None, **kwargs: Any) -> None:
        properties = msg.properties
        super().__init__(
            body=msg.body,
            channel=channel,
            delivery_tag=msg.delivery_tag,
            content_type=properties.get('content_type'),
            content_encoding=properties.get('content_encoding'),
            delivery_info=msg.delivery_info,
            properties=properties,
            headers=properties.get('application_headers') or {},
            **kwargs,
        )
