"""The publishing half of a channel."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from struct import Struct
from time import monotonic
from typing import Any

from amqp import spec
from amqp.exceptions import MessageNacked, RecoverableConnectionError

from kombu.exceptions import ChannelError, TimeoutError
from kombu.log import get_logger

from ._call import DONE, Caller
from ._confirms import Confirms, Outstanding
from ._driver import error_for_code, loads
from ._frames import Content, Method, content_frames, method_frame, publish_arguments
from ._reader import wake

__all__ = ('Publisher',)

logger = get_logger(__name__)

#: Frames of basic.publish kept for each channel, by exchange, routing key and flags.
MAX_TARGETS = 256

_tag_and_flag = Struct('>QB')


class Publisher(Caller):
    """Publishes, and keeps the books on what the broker has confirmed."""

    channel_id: Any
    connection: Any
    callbacks: Any
    events: Any
    inbox: Any
    _confirm_selected: bool

    def _start_publishing(self) -> None:
        """Initialize; before anything is sent."""
        self._confirms: Confirms | None = None
        self._targets: dict[tuple[Any, ...], bytes] = {}
        #: Messages that came back and were not handled yet, as arguments of `_on_basic_return`.
        self._returned: deque[tuple[Any, ...]] = deque()
        #: Makes the error with which the broker closed the channel, until somebody was told.
        self._trouble: Callable[[], BaseException] | None = None

    def _claim(self) -> None:
        """Have events of the channel go to the calling thread, unless it consumes for another."""
        connection = self.connection
        if connection is None or self.callbacks:
            return
        if self.inbox.ident != threading.get_ident():
            connection.inboxes.claim(self)

    def tell(self) -> bool:
        """Raise, or hand to the callbacks, what the thread of the channel has not heard yet."""
        self._raise_trouble()
        return self._handle_returned()

    def _raise_trouble(self) -> None:
        self.inbox.notices.discard(self)
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble()

    # -- publishing

    def basic_publish(
        self,
        msg: Any,
        exchange: str = '',
        routing_key: str = '',
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = 'Bssbb',
    ) -> Any:
        """Publish a message.

        With the transport option `confirm_publish` this returns when the broker has taken
        responsibility for this very message.

        Args:
            msg: as made by `prepare_message`.
            exchange: name of the exchange; '' is the default exchange.
            routing_key: for the exchange to go by.
            mandatory: give the message back if it reaches no queue.  It goes to the `basic_return`
                callbacks in `events`.  Without any it is an error (312, NO_ROUTE), raised here
                where confirms are on, and else by the next `drain_events`.
            immediate: not known to RabbitMQ.
            timeout: seconds the writing may take, and the confirm if it has no limit of its own.
            confirm_timeout: seconds to wait for the confirm.
            argsig: as in py-amqp.

        Raises:
            MessageNacked: the broker refuses the message.
            TimeoutError: it was not confirmed in time; the broker may have it or not.
            RecoverableConnectionError: the connection is closed, or does not take the message.
            ChannelError: it is unroutable, see `mandatory`; or the broker has closed the channel.
        """
        connection = self.connection
        if connection is None:
            raise RecoverableConnectionError('basic_publish: connection closed')
        self._claim()
        connection.glance()
        if self._trouble is not None:
            self._raise_trouble()
        if connection.confirm_publish:
            return self.basic_publish_confirm(
                msg, exchange, routing_key, mandatory, immediate, timeout, confirm_timeout
            )
        entry = None
        if self._confirms is not None:
            entry = Outstanding(exchange, routing_key, mandatory=mandatory)
        frames = self._publication(msg, exchange, routing_key, mandatory, immediate)
        connection.writer.transmit(frames, self, timeout, entry)
        return DONE

    def basic_publish_confirm(
        self,
        msg: Any,
        exchange: str = '',
        routing_key: str = '',
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = 'Bssbb',
    ) -> Any:
        """Publish a message and wait for the broker to confirm it; see `basic_publish`."""
        connection = self._connected()
        self._claim()
        seconds = timeout if confirm_timeout is None else confirm_timeout
        if seconds is None:
            seconds = connection.answer_timeout
        limit = monotonic() + seconds
        if self._confirms is None:
            self._select_confirms(seconds)
        entry = Outstanding(exchange, routing_key, mandatory=mandatory)
        frames = self._publication(msg, exchange, routing_key, mandatory, immediate)
        connection.writer.transmit(frames, self, timeout, entry)
        confirmed = connection.reader.wait(entry, limit)
        connection.after_reading()
        self._handle_returned_if_wanted()
        if not confirmed:
            raise TimeoutError(
                f'{_message_to(exchange, routing_key)} not confirmed in {seconds:g} s'
            )
        if entry.error is not None:
            raise entry.error()
        if entry.returned is not None:
            raise entry.returned()
        if entry.refused:
            raise MessageNacked(f'{_message_to(exchange, routing_key)} refused by the broker')
        return DONE

    def _publication(
        self, msg: Any, exchange: str, routing_key: str, mandatory: bool, immediate: bool
    ) -> list[bytes]:
        """Return the frames that publish a message."""
        target = (exchange, routing_key, mandatory, immediate)
        frame = self._targets.get(target)
        if frame is None:
            arguments = publish_arguments(
                exchange, routing_key, mandatory=mandatory, immediate=immediate
            )
            frame = method_frame(self.channel_id, spec.Basic.Publish, arguments)
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            self._targets[target] = frame
        return content_frames(frame, self.channel_id, msg, self.connection.frame_max)

    # -- confirms

    def confirm_select(self, nowait: bool = False) -> Any:
        """Have the broker confirm what is published from now on."""
        if self._confirms is None:
            self._select_confirms(None, nowait=nowait)
        return DONE

    def _select_confirms(self, timeout: float | None, *, nowait: bool = False) -> None:
        if nowait:
            self._send(spec.Confirm.Select, b'\1')
        else:
            self._call(spec.Confirm.Select, b'\0', [spec.Confirm.SelectOk], timeout=timeout)
        self._confirms = Confirms()
        self._confirm_selected = True

    def count(self, entry: Outstanding) -> int:
        """Give a message its number; called with the connection held for writing."""
        if self._confirms is None:
            raise RecoverableConnectionError(f'channel {self.channel_id} was closed')
        return self._confirms.published(entry)

    def uncount(self, number: int) -> None:
        """Take back the last number, because nothing was written; called like `count`."""
        if self._confirms is not None:
            self._confirms.unpublished(number)

    def _abandon_confirms(self, error: Callable[[], BaseException]) -> bool:
        """End the waits for confirms with an error; True where there were any."""
        confirms, self._confirms = self._confirms, None
        entries = confirms.abandon(error) if confirms is not None else []
        for entry in entries:
            wake(entry)
        return bool(entries)

    # -- what the broker says to it; by the thread that reads

    def _message(self, method: Method) -> Content:
        raise NotImplementedError

    def _post(self, method: Method) -> None:
        raise NotImplementedError

    def _file_confirm(self, method: Method) -> None:
        number, multiple = _tag_and_flag.unpack_from(method.payload, 4)
        refused = method.signature == spec.Basic.Nack
        if self._confirms is not None:
            for entry in self._confirms.settle(number, multiple=bool(multiple), refused=refused):
                wake(entry)
        if self.events.get('basic_nack' if refused else 'basic_ack'):
            self._post(method)

    def _file_return(self, method: Method) -> None:
        code, text, exchange, routing_key = loads('Bsss', method.payload, 4)[0]

        def error() -> BaseException:
            found: BaseException = error_for_code(code, text, spec.Basic.Return, ChannelError)
            return found

        if self._confirms is not None and not self.events.get('basic_return'):
            if self._confirms.returned(exchange, routing_key, error):
                return
            if self.connection.confirm_publish:
                logger.warning('%s came back: %s', _message_to(exchange, routing_key), text)
                return
        self._returned.append((code, text, exchange, routing_key, self._message(method)))
        self.inbox.notify(self)

    # -- and by the thread of the channel

    def _on_basic_return(self, *arguments: Any) -> None:
        super()._on_basic_return(*arguments)  # type: ignore[misc]  # py-amqp's channel has it

    def _handle_returned(self) -> bool:
        """Hand what came back to the callbacks; False where that is nothing."""
        handled = False
        self.inbox.notices.discard(self)
        while self._returned:
            try:
                arguments = self._returned.popleft()
            except IndexError:
                break
            self._on_basic_return(*arguments)
            handled = True
        return handled

    def _handle_returned_if_wanted(self) -> None:
        if self._returned and self.events.get('basic_return'):
            self._handle_returned()


def _message_to(exchange: str, routing_key: str) -> str:
    return f'the message to exchange {exchange!r} with routing key {routing_key!r} was'
