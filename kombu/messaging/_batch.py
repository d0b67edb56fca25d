"""Publishing several messages in one round trip."""

from __future__ import annotations

from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('DEFAULT_BATCH_SIZE', 'ProducerBatch')

#: The most messages that a batch holds back, unless told otherwise.
DEFAULT_BATCH_SIZE = 1000


class ProducerBatch:
    """The block of `Producer.batch`, for the thread that enters it.

    In a block inside of another one of the same producer, messages join those of the outer block.

    Args:
        producer: the producer.
        max_size: the most messages to hold back.

    Raises:
        ValueError: `max_size` is not a positive integer.
    """

    def __init__(self, producer: Any, max_size: Any) -> None:
        if type(max_size) is not int or max_size < 1:
            raise ValueError(f'max_size must be a positive integer, not {max_size!r}')
        self.producer = producer
        self.max_size = max_size
        self._thread: int | None = None
        self._outer: ProducerBatch | None = None
        self._entered = False
        #: What the channel holds back; None until the first message.
        self._held: Any = None
        self._channel: Any = None
        #: How many messages have left, where they leave one by one.
        self._sent = 0

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError('a batch cannot be entered twice: ask for another one')
        self._entered = True
        self._thread = get_ident()
        batches = self.producer._batches
        self._outer = batches.get(self._thread)
        if self._outer is None:
            batches[self._thread] = self
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if self._outer is not None:
            return
        self.producer._batches.pop(thread, None)
        held, self._held = self._held, None
        if held is not None:
            try:
                held.flush() if exc is None else held.discard()
            finally:
                held.close()

    def publish(self, message: Any, **options: Any) -> Any:
        """Publish a message, or hold it back; `options` are those of `channel.basic_publish`.

        Raises:
            BatchPublishError: it could not be published, but those before it were.
            RuntimeError: the producer was given another channel, and what was held back is dropped.
        """
        producer = self.producer
        channel = producer.channel
        if not producer.supports_batch_publish:
            return self._publish_now(channel, message, options)
        if self._held is None:
            self._held = channel.create_publish_batch(max_size=self.max_size)
            self._channel = channel
        elif self._channel is not channel:
            held, self._held = self._held, None
            try:
                held.discard()
            finally:
                held.close()
            raise RuntimeError(
                'the channel of the producer changed within a batch: what it held back is dropped'
            )
        return self._held.publish(message, **options)

    def _publish_now(self, channel: Any, message: Any, options: dict[str, Any]) -> Any:
        try:
            result = channel.basic_publish(message, **options)
        except Exception as exc:
            if not self._sent:
                raise
            raise BatchPublishError(
                f'{self._sent} messages of the batch were published, this one was not: {exc}',
                failed=(message,),
            ) from exc
        self._sent += 1
        return result

    def flush(self) -> None:
        """Send what is held back.

        Raises:
            RuntimeError: the block was not entered, or left.
        """
        if self._thread is None:
            raise RuntimeError('the batch is not active: use it in a with statement')
        if self._outer is not None:
            self._outer.flush()
        elif self._held is not None:
            self._held.flush()

    def __repr__(self) -> str:
        state = 'inactive' if self._thread is None else 'active'
        return f'<{type(self).__name__} of {self.producer!r}: {state}>'
