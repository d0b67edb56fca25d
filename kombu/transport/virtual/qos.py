"""The delivery ledger of a channel: what was handed out and is not settled yet.

States of a delivery, and what ends each::

    taken ──append──▶ held ──ack────────────▶ settled in the store
                       │ ──reject───────────▶ dead-lettered, then settled
                       │ ──reject(requeue)──▶ back at the head of its queue, flagged redelivered
                       └──close, recover────▶ back at the head of its queue, in order

A delivery comes back onto the ledger when the store fails to do its part, so an error leaves it
held and the message goes back when the channel closes.  Drivers may subclass `QoS`; Celery
replaces `can_consume` on live objects, which is why the class has no slots and why it is asked
afresh for every message.
"""

from __future__ import annotations

import atexit
import sys
from contextlib import suppress
from typing import Any, TextIO
from weakref import WeakSet

from amqp.exceptions import PreconditionFailed

__all__ = ('QoS',)


class QoS:
    """Deliveries that are not settled, and how many there may be.

    Args:
        channel: the channel they were delivered on.
        prefetch_count: how many at most; 0 means no limit.
    """

    #: How many unsettled deliveries there may be; 0 means no limit.
    prefetch_count: int = 0
    #: Whether the limit is for the channel as a whole, or for each consumer on it.
    apply_global: bool = False
    #: Whether what is held goes back to its queue when the channel closes.
    restore_at_shutdown: bool = True

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        self.channel = channel
        self.prefetch_count = prefetch_count or 0
        #: Delivery tag to message, in the order of delivery.
        self._delivered: dict[Any, Any] = {}
        #: Deliveries that no limit counts: those of `basic_get`.
        self._uncounted: set[Any] = set()
        #: Tags settled but still listed; drivers that settle in batches use it.
        self._dirty: set[Any] = set()
        if getattr(channel, 'do_restore', False):
            _restore_at_exit.add(self)

    def can_consume(self) -> bool:
        """Tell whether the channel may be given another message."""
        consumers = None if self.apply_global else self.channel._consumers
        if not consumers:
            limit = self.prefetch_count
            return not limit or self._counted() < limit
        for consumer in consumers.values():  # noqa: SIM110 - asked for every message; a generator costs
            if consumer.has_room():
                return True
        return False

    def can_consume_max_estimate(self) -> int | None:
        """Return how many more messages may be delivered; None means any number."""
        consumers = None if self.apply_global else self.channel._consumers
        if not consumers:
            limit = self.prefetch_count
            return max(limit - self._counted(), 0) if limit else None
        room = 0
        for consumer in consumers.values():
            limit = consumer.prefetch_limit()
            if not limit:
                return None
            room += max(limit - consumer.unacked, 0)
        return room

    def _counted(self) -> int:
        return len(self._delivered) - len(self._dirty) - len(self._uncounted)

    def append(self, message: Any, delivery_tag: Any) -> None:
        """Enter a delivery."""
        self._delivered[delivery_tag] = message

    def get(self, delivery_tag: Any) -> Any:
        """Return the message delivered under that tag.

        Raises:
            KeyError: none is, or it is settled.
        """
        return self._delivered[delivery_tag]

    def ack(self, delivery_tag: Any) -> None:
        """Settle a delivery that was handled.

        Raises:
            amqp.PreconditionFailed: there is no such delivery.
        """
        with self._settling(delivery_tag) as message:
            self.channel._finished(message)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Settle a delivery that was refused: back to its queue, or to the dead letters.

        Raises:
            amqp.PreconditionFailed: there is no such delivery.
        """
        with self._settling(delivery_tag) as message:
            if requeue:
                self.channel._restore_at_beginning(message)
            else:
                self.channel._died(message, 'rejected')

    def restore_unacked(self) -> None:
        """Put back everything that is held, so that each queue has it in its old order."""
        self._flush()
        # The last one first: each goes to the head.
        for delivery_tag in list(reversed(self._delivered)):
            with suppress(PreconditionFailed), self._settling(delivery_tag) as message:
                self.channel._restore_at_beginning(message)

    def restore_unacked_once(self, stderr: TextIO | None = None) -> None:
        """Put back what is held when the process ends; a failure is reported, not raised."""
        self._flush()
        if not self.restore_at_shutdown or not self.channel.do_restore or not self._delivered:
            return
        stderr = sys.stderr if stderr is None else stderr
        held = len(self._delivered)
        print(f'Restoring {held} unacknowledged message(s)', file=stderr)
        try:
            self.restore_unacked()
        except Exception as exc:
            left = len(self._delivered)
            print(f'Unable to restore {left} message(s): {exc!r}', file=stderr)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Put back deliveries of other holders whose lease ran out; for drivers with leases."""

    def _flush(self) -> None:
        for delivery_tag in self._dirty:
            self._delivered.pop(delivery_tag, None)
        self._dirty.clear()

    def _settling(self, delivery_tag: Any) -> _Settling:
        return _Settling(self, delivery_tag)

    def __repr__(self) -> str:
        limit = self.prefetch_count or 'unlimited'
        return f'<{type(self).__name__}: {len(self._delivered)} held, prefetch {limit}>'


class _Settling:
    """Takes a delivery off the ledger while the store does its part, and back where that fails.

    So of two threads that settle one delivery, or settle it and close the channel, only one does.
    """

    __slots__ = ('_message', '_qos', '_tag')

    def __init__(self, qos: QoS, delivery_tag: Any) -> None:
        self._qos = qos
        self._tag = delivery_tag

    def __enter__(self) -> Any:
        try:
            self._message = self._qos._delivered.pop(self._tag)
        except KeyError:
            raise PreconditionFailed(
                f'PRECONDITION_FAILED - unknown delivery tag {self._tag}', (60, 80)
            ) from None
        return self._message

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            self._qos._delivered[self._tag] = self._message
        elif self._qos._uncounted:
            self._qos._uncounted.discard(self._tag)


_restore_at_exit: WeakSet[QoS] = WeakSet()


@atexit.register
def _restore_all() -> None:
    for qos in list(_restore_at_exit):
        qos.restore_unacked_once()
