"""Queues for messages that everybody receives."""

from __future__ import annotations

from typing import Any

from kombu.entity import Exchange, Queue
from kombu.utils.uuid import uuid

__all__ = ('Broadcast',)


class Broadcast(Queue):
    """A queue of its own for each consumer, bound to a fanout exchange that all of them share.

    Args:
        name: name of the exchange, and alias of the queue.
        queue: name of the queue; None makes one up.
        unique: make the name of the queue unique although it is given.
        auto_delete: delete it after its consumer has gone.
        exchange: another exchange to use, or its name.
        alias: the alias, if not `name`.
        kwargs: further arguments of `Queue`.
    """

    __module__ = 'kombu.common'  # where pickles look for it, also those read by kombu 5.x

    queue: str | None

    attrs = (*Queue.attrs, ('queue', None))

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Exchange | str | None = None,
        alias: str | None = None,
        **kwargs: Any,
    ) -> None:
        if queue is None or unique:
            queue = f'{queue or "bcast"}.{uuid()}'
        super().__init__(
            alias=alias or name,
            queue=queue,
            name=queue,
            auto_delete=auto_delete,
            exchange=Exchange(name, type='fanout') if exchange is None else exchange,
            **kwargs,
        )
