"""The storage contract: what a driver implements.

A store becomes a broker by subclassing `Channel` and implementing three methods: `_get`, `_put`
and `_purge`.  The others refine it, and each has a default that needs nothing of the store:

==============  ===========================================  =============================
seam            obligation                                   default
==============  ===========================================  =============================
`_get`          take the oldest message or raise `Empty`     required
`_put`          append; return when the store has it         required
`_purge`        remove what is ready, return how many        required
`_size`         how many are ready                           0: not known
`_bytes`        size of the bodies that are ready            None: not known
`_new_queue`    make the queue; idempotent                   nothing
`_has_queue`    whether it exists                            True: not known
`_delete`       remove the queue with all in it; idempotent  `_purge`
`_requeue`      put back at the head what `_get` took        `_put`
`_settle`       forget for good what `_get` took             nothing: `_get` removed it
`_put_delayed`  publish after some seconds                   refused
`_put_fanout`   deliver through a fanout exchange            `_put` into each bound queue
`_queue_bind`   store a binding that others must see         nothing
`get_table`     the bindings of an exchange, as rows         what this connection declared
`_poll`         deliver one message of the queues consumed   ask them in turn
==============  ===========================================  =============================

A `_get` that accepts `timeout` may wait for so many seconds.

Payloads are envelopes (`kombu.transport.virtual._envelope`), dictionaries that must come back
from the store equal. A driver that removes a message in `_get` keeps it safe only as long as its
own process lives; one that claims a message in `_get` and removes it in `_settle` survives kill
-9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from kombu.transport.base import StdChannel
from kombu.transport.virtual._envelope import Envelope
from kombu.transport.virtual._topology import BrokerState

__all__ = ('AbstractChannel',)


class AbstractChannel(StdChannel):
    """The methods by which the virtual broker reaches its store."""

    #: The transport, None when closed.
    connection: Any = None

    @property
    def state(self) -> BrokerState:
        """What has been declared."""
        if self.connection is None:
            raise RecoverableConnectionError('channel is closed')
        state: BrokerState = self.connection.state
        return state

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """Take the next message of `queue`.

        Raises:
            queue.Empty: there is none.
        """
        raise self._required('_get')

    def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None:
        """Append `message` to `queue`."""
        raise self._required('_put')

    def _purge(self, queue: str) -> int:
        """Remove all messages that are ready in `queue` and return their number."""
        raise self._required('_purge')

    def _size(self, queue: str) -> int:
        """Return how many messages are ready in `queue`."""
        return 0

    def _bytes(self, queue: str) -> int | None:
        """Return the size of the bodies that are ready in `queue`; None: the store cannot tell."""
        return None

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        """Make `queue`; called at every declaration."""

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        """Tell whether `queue` exists."""
        return True

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Delete `queue` with its messages."""
        self._purge(queue)

    def _requeue(self, queue: str, message: Envelope) -> None:
        """Put back at the head of `queue` a message that `_get` took and that is not settled."""
        self._put(queue, message)

    def _settle(self, queue: str, message: Any) -> None:
        """Forget a message that `_get` took: it was acknowledged, dropped, or is safe elsewhere."""

    def _put_delayed(
        self, exchange: str, message: Envelope, routing_key: str, delay: float
    ) -> None:
        """Route `message` through `exchange` after `delay` seconds."""
        raise self._required('_put_delayed')

    def _put_fanout(
        self, exchange: str, message: Envelope, routing_key: str | None = None, **kwargs: Any
    ) -> None:
        """Deliver `message` to everything bound to the fanout `exchange`."""
        raise self._required('_put_fanout')

    def _queue_bind(self, *args: Any) -> None:
        """Store a binding where other processes see it; called where fanout is supported.

        Args:
            args: exchange, routing key, pattern (topic only, else None), queue.
        """

    def get_table(self, exchange: str) -> Iterable[Any]:
        """Return the rows bound to `exchange`: routing key, pattern, queue."""
        raise self._required('get_table')

    def _get_and_deliver(self, queue: str, callback: Callable[[Any, str], Any]) -> None:
        """Take a message of `queue` and give it to `callback(message, queue)`."""
        raise self._required('_get_and_deliver')

    def _poll(
        self, cycle: Any, callback: Callable[[Any, str], Any], timeout: float | None = None
    ) -> Any:
        """Deliver one message of the queues in `cycle`, or raise `Empty`."""
        return cycle.get(callback)

    def _required(self, method: str) -> NotImplementedError:
        return NotImplementedError(
            f'{type(self).__module__}.{type(self).__name__} must implement {method}()'
        )
