"""Consuming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kombu.abstract import maybe_channel
from kombu.entity import Queue
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('Consumer',)

Callback = Callable[[Any, Any], Any]

#: Numbers for consumer tags, which have to differ on one channel.
_numbers = count(1)


class Consumer:
    """Receives messages from queues.

    It consumes between `consume` and `cancel`, or in a `with` block; what arrives is handled while
    somebody waits in `Connection.drain_events`.

    Args:
        channel: a channel, or a connection, whose default channel is then used.
        queues: a queue or several; the consumer works with copies that are bound to its channel.
        no_ack: deliveries need no acknowledgement: faster, and lost with the consumer; None: as the
            queues say.
        auto_declare: declare the queues, their exchanges and bindings.
        callbacks: called with the decoded body and the message, one after the other.
        on_decode_error: called with the message and the error where a message cannot be decoded.
            Without it the error is raised, and the message stays unacknowledged.
        on_message: called with the message, undecoded, instead of the callbacks.
        accept: content types, or names of serializers, that may be decoded; None: all that are not
            disabled.
        prefetch_count: how many messages may wait for their acknowledgement at a time.
        tag_prefix: what the tags of its consumers begin with.

    Example:
        >>> with Consumer(connection, Queue('orders'), callbacks=[handle], accept=['json']):
        ...     connection.drain_events(timeout=1)
    """

    ContentDisallowed = ContentDisallowed

    channel: Any = None
    no_ack: bool | None = None
    auto_declare: bool = True
    callbacks: list[Callback] | None = None
    on_message: Callable[[Any], Any] | None = None
    on_decode_error: Callable[[Any, Exception], Any] | None = None
    accept: Any = None
    prefetch_count: int | None = None

    def __init__(
        self,
        channel: Any,
        queues: Queue | Iterable[Queue] | None = None,
        no_ack: bool | None = None,
        auto_declare: bool | None = None,
        callbacks: Iterable[Callback] | None = None,
        on_decode_error: Callable[[Any, Exception], Any] | None = None,
        on_message: Callable[[Any], Any] | None = None,
        accept: Iterable[str] | None = None,
        prefetch_count: int | None = None,
        tag_prefix: str | None = None,
    ) -> None:
        #: Tag and `no_ack` of what is consumed, by name of the queue.
        self._active: dict[str, tuple[str, bool | None]] = {}
        #: What `qos` was told last.
        self._credit: tuple[int, int, bool] | None = None
        self._queues = _by_name(queues)
        if no_ack is not None:
            self.no_ack = no_ack
        if auto_declare is not None:
            self.auto_declare = auto_declare
        if on_decode_error is not None:
            self.on_decode_error = on_decode_error
        if on_message is not None:
            self.on_message = on_message
        if prefetch_count is not None:
            self.prefetch_count = prefetch_count
        callbacks = self.callbacks if callbacks is None else callbacks
        if callable(callbacks):
            raise TypeError(f'callbacks is a list of functions: write [{callbacks!r}]')
        self.callbacks = list(callbacks or ())
        self.accept = prepare_accept_content(self.accept if accept is None else accept)
        self.tag_prefix = tag_prefix
        if channel is not None:
            self.revive(channel)

    @property
    def queues(self) -> list[Queue]:
        """The queues, bound to its channel."""
        return list(self._queues.values())

    @property
    def connection(self) -> Any:
        """The connection of its channel; None where the channel is closed."""
        return getattr(getattr(self.channel, 'connection', None), 'client', None)

    # -- receiving

    def _receive_callback(self, message: Any) -> Any:
        on_message = self.on_message
        try:
            convert = getattr(self.channel, 'message_to_python', None)
            if convert is not None:
                message = convert(message)
            accept = self.accept
            if accept is not None:
                message.accept = accept
            if on_message is None:
                body = message.decode()
            elif message.errors:
                message._reraise_error()
        except Exception as exc:
            on_decode_error = self.on_decode_error
            if on_decode_error is None:
                raise
            return on_decode_error(message, exc)
        if on_message is None:
            return self.receive(body, message)
        return on_message(message)

    def receive(self, body: Any, message: Any) -> None:
        """Handle a message: hand it to the callbacks.

        Args:
            body: the decoded body.
            message: the message.

        Raises:
            NotImplementedError: there are no callbacks.
        """
        if not self.callbacks:
            raise NotImplementedError(
                f'{self!r} has no callbacks: register one, or give it on_message'
            )
        for callback in self.callbacks:
            callback(body, message)

    def register_callback(self, callback: Callback) -> None:
        """Have another function called with body and message."""
        if self.callbacks is None:
            self.callbacks = []
        self.callbacks.append(callback)

    # -- consuming

    def consume(self, no_ack: bool | None = None) -> None:
        """Start consuming from the queues that are not consumed from yet.

        Where this returns, it has begun: the broker answered for the last queue.

        Args:
            no_ack: deliveries need no acknowledgement; None: as the consumer says, or else the
                queue.
        """
        no_ack = self.no_ack if no_ack is None else no_ack
        starting = [(queue, no_ack) for queue in self.queues if queue.name not in self._active]
        if starting:
            self._set_credit()
        self._start(starting)

    def _set_credit(self) -> None:
        """Ask for the credit last asked for: the channel may have had another consumer's since."""
        if self._credit is not None:
            self.qos(*self._credit)
        elif self.prefetch_count:
            self.qos(prefetch_count=self.prefetch_count)

    def _start(self, starting: list[tuple[Queue, bool | None]]) -> None:
        last = len(starting) - 1
        for index, (queue, no_ack) in enumerate(starting):
            self._basic_consume(queue, no_ack=no_ack, nowait=index < last)

    def _basic_consume(
        self,
        queue: Queue,
        consumer_tag: str | None = None,
        no_ack: bool | None = None,
        nowait: bool = True,
    ) -> str:
        """Start consuming from one queue, unless it is consumed from; return the consumer tag."""
        name = queue.name
        if name in self._active:
            return self._active[name][0]
        tag = consumer_tag or f'{self.tag_prefix or ""}{next(_numbers)}'
        self._active[name] = tag, no_ack
        try:
            queue.consume(tag, self._receive_callback, no_ack=no_ack, nowait=nowait)
        except BaseException:
            self._active.pop(name, None)
            raise
        return tag

    def cancel(self) -> None:
        """Stop consuming; messages that were delivered before may still be settled."""
        tags = [tag for tag, _ in self._active.values()]
        self._active.clear()
        for tag in tags:
            self.channel.basic_cancel(tag)

    close = cancel

    def cancel_by_queue(self, queue: Queue | str) -> None:
        """Stop consuming from one queue, and forget about it.

        Args:
            queue: the queue, or its name.
        """
        name = _name_of(queue)
        self._queues.pop(name, None)
        active = self._active.pop(name, None)
        if active is not None:
            self.channel.basic_cancel(active[0])

    def consuming_from(self, queue: Queue | str) -> bool:
        """Tell whether it is consuming from a queue, given by itself or by name."""
        return _name_of(queue) in self._active

    def __enter__(self) -> Self:
        try:
            self.consume()
        except BaseException:
            with suppress(Exception):
                self.cancel()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        connection = self.connection
        errors: tuple[type[BaseException], ...] = (Exception,)
        if connection is not None:
            errors = (*connection.connection_errors, *connection.channel_errors)
        if isinstance(exc_val, errors) and not (connection and connection.connected):
            # There is nothing to cancel on.  Otherwise there is: it was the error of another
            # connection, or of a file, and the consumer would go on behind the back of everybody.
            self._active.clear()
            return
        with suppress(*errors):
            self.cancel()

    # -- queues

    def add_queue(self, queue: Queue) -> Queue:
        """Add a queue, to be consumed from by the next `consume`.

        Returns:
            a copy that is bound to the channel, and declared if `auto_declare` is set.
        """
        queue = queue.bind(self.channel)
        if self.auto_declare:
            queue.declare()
        self._queues[queue.name] = queue
        return queue

    def declare(self) -> None:
        """Declare the queues, their exchanges and bindings."""
        for queue in self.queues:
            queue.declare()
        self._queues = {queue.name: queue for queue in self.queues}

    def purge(self) -> int:
        """Drop all messages that wait in the queues, and return how many there were."""
        return sum(queue.purge() for queue in self.queues)

    # -- the channel

    def revive(self, channel: Any) -> None:
        """Use another channel, or connection, after the old one was lost.

        The queues are declared there if `auto_declare` is set, and those that were consumed from
        are consumed from again, with the same credit.
        """
        active, self._active = self._active, {}
        before, self.channel = self.channel, maybe_channel(channel)
        queues: dict[str, Queue] = {}
        starting: list[tuple[Queue, bool | None]] = []
        for name, queue in self._queues.items():
            mine = queue
            if before is None:
                # So far it is the caller's, which stays as it is.
                mine = queue.bind(self.channel)
            else:
                mine.revive(self.channel)
            if self.auto_declare:
                mine.declare()
            queues[mine.name] = mine
            if name in active:
                starting.append((mine, active[name][1]))
        self._queues = queues
        if starting:
            self._set_credit()
        self._start(starting)

    def flow(self, active: bool) -> None:
        """Ask the broker to stop, or to resume, sending messages (AMQP 0-9-1, channel.flow)."""
        self.channel.flow(active)

    def qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> Any:
        """Limit how many messages may wait for their acknowledgement (AMQP 0-9-1, basic.qos).

        Args:
            prefetch_size: bytes; 0 for no limit, the only value that RabbitMQ knows.
            prefetch_count: messages; 0 for no limit.
            apply_global: for the whole channel, rather than for each of its consumers
                (RabbitMQ, "Consumer Prefetch").

        Raises:
            ValueError: one of them is no number of that kind; the channel was not asked.
        """
        _check_credit('prefetch_size', prefetch_size)
        _check_credit('prefetch_count', prefetch_count)
        self._credit = (prefetch_size, prefetch_count, apply_global)
        return self.channel.basic_qos(prefetch_size, prefetch_count, apply_global)

    def recover(self, requeue: bool = False) -> Any:
        """Have the broker deliver again what is not acknowledged (AMQP 0-9-1, basic.recover).

        Args:
            requeue: to whomever; otherwise to this consumer, which RabbitMQ does not support.
        """
        return self.channel.basic_recover(requeue=requeue)

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self.queues}>'


def _check_credit(name: str, value: Any) -> None:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f'{name} must be a number, 0 for no limit, not {value!r}')


def _name_of(queue: Queue | str) -> str:
    return queue if isinstance(queue, str) else queue.name


def _by_name(queues: Any) -> dict[str, Queue]:
    """Return queues by name; those that have none yet get distinct stand-ins."""
    if queues is None:
        return {}
    if isinstance(queues, (Queue, str)):
        queues = (queues,)
    if not isinstance(queues, Iterable):
        raise TypeError(f'queues is a kombu.Queue, or a list of them, not {queues!r}')
    found: dict[str, Queue] = {}
    for queue in queues:
        if isinstance(queue, str):
            raise TypeError(f'{queue!r} is no queue to consume from: use kombu.Queue({queue!r})')
        if queue is None:
            raise TypeError('None is no queue to consume from')
        found[queue.name or f' {len(found)}'] = queue
    return found
