"""Base classes for programs that consume: they connect, wait for messages, and begin again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from itertools import count
from time import monotonic, sleep
from typing import Any

from kombu.common import ignore_errors
from kombu.exceptions import OperationalError, TimeoutError
from kombu.log import get_logger
from kombu.messaging import Consumer, Producer
from kombu.utils.encoding import safe_repr
from kombu.utils.limits import TokenBucket
from kombu.utils.objects import cached_property

__all__ = ('ConsumerMixin', 'ConsumerProducerMixin')

logger = get_logger(__name__)


class ConsumerMixin:
    """A program that consumes messages until it is told to stop.

    A subclass has an attribute or property `connection`, a `kombu.Connection`, of which a copy is
    used, and defines `get_consumers`.

    =============================  =======================================================
    `get_consumers`                makes the consumers (has to be defined)
    `extra_context`                context that surrounds the consuming
    `on_connection_error`          connecting failed and will be tried again
    `on_connection_revived`        connected, again or for the first time
    `on_consume_ready`             the consumers are set up
    `on_iteration`                 before each wait for a message
    `on_consume_end`               consuming ended
    `on_decode_error`              a message cannot be decoded
    =============================  =======================================================

    Example:
        ::

            class Worker(ConsumerMixin):
                def __init__(self, connection):
                    self.connection = connection

                def get_consumers(self, Consumer, channel):
                    return [Consumer(queues=[task_queue], callbacks=[self.on_task],
                    accept=['json'])]

                def on_task(self, body, message):
                    print('Got task:', body)
                    message.ack()

            with Connection('amqp://') as connection:
                Worker(connection).run()
    """

    #: How many times connecting is tried again; None is for ever.
    connect_max_retries: float | None = None
    #: Set to True, from anywhere, to have the program end after the current message.
    should_stop: bool = False

    connection: Any

    # -- to be overridden

    def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> Iterable[Any]:
        """Make the consumers.

        Args:
            Consumer: makes a `kombu.Consumer` on the channel.
            channel: the channel.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define get_consumers()')

    def on_connection_revived(self) -> None:
        """React to being connected, for the first time or again."""

    def on_consume_ready(
        self, connection: Any, channel: Any, consumers: list[Any], **kwargs: Any
    ) -> None:
        """React to the consumers being ready.

        Args:
            connection: the connection.
            channel: the channel of the consumers.
            consumers: the consumers.
            kwargs: what `consume` was given besides its own.
        """

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """React to the end of consuming, before the connection is closed."""

    def on_iteration(self) -> None:
        """Do something before each wait for a message, once in `safety_interval` at least."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Deal with a message that cannot be decoded: log and reject it, which dead-letters it.

        Args:
            message: the message.
            exc: what is wrong with it.
        """
        logger.critical(
            'cannot decode a message: %r (type %r, encoding %r): %s',
            exc,
            message.content_type,
            message.content_encoding,
            safe_repr(message.body),
        )
        message.reject()

    def on_connection_error(self, exc: BaseException, interval: float) -> None:
        """React to a failure to connect.

        Args:
            exc: the failure.
            interval: seconds until the next attempt.
        """
        logger.warning(
            'Cannot connect to the broker: %r; trying again in %s seconds', exc, interval
        )

    def extra_context(self, connection: Any, channel: Any) -> AbstractContextManager[Any]:
        """Return a context in which to consume."""
        return nullcontext()

    # -- running

    @cached_property
    def restart_limit(self) -> TokenBucket:
        """How often consuming may begin again: once a second."""
        return TokenBucket(1)

    @property
    def connection_errors(self) -> tuple[type[BaseException], ...]:
        """Errors that mean that the connection is lost."""
        errors: tuple[type[BaseException], ...] = self.connection.connection_errors
        return errors

    @property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """Errors that mean that a channel is lost."""
        errors: tuple[type[BaseException], ...] = self.connection.channel_errors
        return errors

    def run(self, _tokens: float = 1, **kwargs: Any) -> None:
        """Consume until `should_stop`, and begin again whenever the connection is lost.

        Args:
            _tokens: what one beginning costs of `restart_limit`.
            kwargs: arguments of `consume`.

        Raises:
            kombu.exceptions.OperationalError: connecting failed more than `connect_max_retries`
            times.
        """
        restart_limit = self.restart_limit
        lost = self.connection_errors + self.channel_errors
        while not self._stopping():
            if not restart_limit.can_consume(_tokens):
                # In small pieces, so that `should_stop` is seen.
                sleep(min(restart_limit.expected_time(_tokens), 1.0))
                continue
            try:
                for _ in self.consume(limit=None, **kwargs):
                    pass
            except lost as exc:
                if self._stopping():
                    break
                logger.warning('Lost the broker, beginning again: %r', exc, exc_info=True)

    def consume(
        self,
        limit: int | None = None,
        timeout: float | None = None,
        safety_interval: float = 1,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Consume, as a generator that yields after each event.

        Args:
            limit: how many times to wait for an event; one that does not come within
                `safety_interval` counts, too. None or 0 for no end.
            timeout: seconds without an event after which to give up; None or 0 for never.
            safety_interval: seconds of the longest wait; between two waits `should_stop` and the
                heartbeat are looked at, and `on_iteration` is called.
            kwargs: passed on to `on_consume_ready`.

        Raises:
            TimeoutError: nothing came for `timeout` seconds.
        """
        with suppress(_Stopped), self.consumer_context(**kwargs) as (connection, _, _):
            quiet = 0.0
            checked = monotonic()
            for _ in range(limit) if limit else count():
                if self._stopping():
                    break
                self.on_iteration()
                seconds = min(safety_interval, timeout - quiet) if timeout else safety_interval
                idle = False
                try:
                    connection.drain_events(timeout=seconds)
                except TimeoutError:
                    idle = True
                except OSError:
                    if self._stopping():
                        break  # somebody closed the connection to wake us
                    raise
                # Also when there is no quiet moment: a broker hears nothing from who does not
                # acknowledge.
                if idle or monotonic() - checked >= safety_interval:
                    connection.heartbeat_check()
                    checked = monotonic()
                if not idle:
                    quiet = 0.0
                    yield
                    continue
                quiet += seconds
                if timeout and quiet >= timeout:
                    raise TimeoutError(f'no event within {timeout} seconds')
        logger.debug('consume ends')

    @contextmanager
    def consumer_context(self, **kwargs: Any) -> Iterator[tuple[Any, Any, list[Any]]]:
        """Connect, and have the consumers consume.

        Args:
            kwargs: passed on to `on_consume_ready`.
        """
        with (
            self.Consumer() as (connection, channel, consumers),
            self.extra_context(connection, channel),
        ):
            self.on_consume_ready(connection, channel, consumers, **kwargs)
            yield connection, channel, consumers

    @contextmanager
    def Consumer(self) -> Iterator[tuple[Any, Any, list[Any]]]:
        """Connect, and set up the consumers."""
        with self.establish_connection() as connection:
            self.on_connection_revived()
            logger.info('Connected to %s', connection.as_uri())
            try:
                channel = connection.default_channel
            except OperationalError as exc:
                # Lost again meanwhile, which is no reason for `run` to give up.
                raise (exc.__cause__ or exc) from None
            make = partial(Consumer, channel, on_decode_error=self.on_decode_error)
            with ExitStack() as stack:
                consumers = [
                    stack.enter_context(consumer) for consumer in self.get_consumers(make, channel)
                ]
                yield connection, channel, consumers
            logger.debug('Consumers canceled')
            self.on_consume_end(connection, channel)
        logger.debug('Connection closed')

    @contextmanager
    def establish_connection(self) -> Iterator[Any]:
        """Connect, trying again until it works or the program is to stop."""
        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error, self.connect_max_retries, callback=self._check_stop
            )
            yield connection

    def create_connection(self) -> Any:
        """Make the connection that is used: a copy of `connection`."""
        return self.connection.clone()

    def _stopping(self) -> bool:
        # Set by other threads and by callbacks, at any time.
        return self.should_stop

    def _check_stop(self) -> None:
        if self._stopping():
            raise _Stopped

    def maybe_conn_error(self, fun: Callable[..., Any]) -> Any:
        """Call a function, and ignore errors of the connection or channel."""
        return ignore_errors(self, fun)


class _Stopped(Exception):
    """Ends the waiting for a broker that is not there, because the program is to stop."""


class ConsumerProducerMixin(ConsumerMixin):
    """A program that consumes, and publishes over a connection of its own.

    Example:
        ::

            class Worker(ConsumerProducerMixin):
                ...

                def on_task(self, body, message):
                    self.producer.publish(answer(body), routing_key=message.properties['reply_to'])
                    message.ack()
    """

    @property
    def producer(self) -> Producer:
        """A producer on the second connection."""
        return Producer(self.producer_connection)

    @cached_property
    def producer_connection(self) -> Any:
        """The second connection, made on first use."""
        connection = self.connection.clone()
        connection.ensure_connection(
            self.on_connection_error, self.connect_max_retries, callback=self._check_stop
        )
        return connection

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """Close the second connection."""
        opened = self.__dict__.pop('producer_connection', None)
        if opened is not None:
            opened.close()
        super().on_consume_end(connection, channel)
