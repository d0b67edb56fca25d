"""Calling methods of the broker and waiting for the answers, on a channel or the connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from struct import error as StructError
from time import monotonic
from typing import Any

from amqp.exceptions import METHOD_NAME_MAP, RecoverableConnectionError

from kombu.exceptions import ConcurrentUseError, TimeoutError

from ._driver import dumps, ensure_promise, promise
from ._reader import wake
from ._tables import shortstr

__all__ = ('DONE', 'Caller', 'Reply')

Signature = tuple[int, int]


class _Done(promise):  # type: ignore[misc]  # vine is untyped
    """What a method without an answer returns: fulfilled already, and shared by all callers."""

    def then(self, callback: Any, on_error: Any = None) -> Any:
        callback = ensure_promise(callback)
        callback()
        return callback


DONE = _Done()
DONE()


class Reply:
    """The answer that a call waits for.

    py-amqp's dispatcher calls it with the method and its arguments.

    Attributes:
        signature: the method that was the answer.
        arguments: its arguments.
        error: makes the error that came instead.
    """

    __slots__ = ('arguments', 'error', 'event', 'ready', 'signature')

    def __init__(self) -> None:
        self.ready = False
        self.signature: Signature | None = None
        self.arguments: tuple[Any, ...] = ()
        self.event: threading.Event | None = None
        self.error: Callable[[], BaseException] | None = None

    def __call__(self, signature: Signature, *arguments: Any) -> None:
        self.signature = signature
        self.arguments = arguments
        self.ready = True
        wake(self)

    def fail(self, error: Callable[[], BaseException]) -> None:
        """End the wait with an error."""
        self.error = error
        self.ready = True
        wake(self)


def _encoded(signature: Signature, format: str, values: Sequence[Any]) -> bytes:
    """Encode arguments; say which one it is that does not fit."""
    try:
        arguments: bytes = dumps(format, values)
    except StructError as exc:
        method = METHOD_NAME_MAP[signature]
        for kind, value in zip(format, values, strict=False):
            if kind == 's':
                shortstr(value, f'{method}: a name')
        raise ValueError(f'{method}: a number is out of range in {values!r}: {exc}') from exc
    return arguments


class Caller:
    """Sends methods; takes the place of the sending half of
    `amqp.abstract_channel.AbstractChannel`.

    One call at a time waits on each channel: AMQP's answers do not tell which call they are for,
    their order does.
    """

    connection: Any
    channel_id: Any
    _pending: dict[Signature, Any]

    def _start_calling(self) -> None:
        """Initialize; before anything is sent."""
        self._calling = threading.Lock()
        self._reply: Reply | None = None

    def send_method(
        self,
        sig: Signature,
        format: str | None = None,
        args: Any = None,
        content: Any = None,
        wait: Signature | list[Signature] | None = None,
        callback: Callable[..., Any] | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Send a method, and return its answer where there is one to `wait` for.

        Raises:
            RecoverableConnectionError: the connection or the channel is closed.
            TimeoutError: no answer came in time; the channel is given up then.
            ConcurrentUseError: another thread waits for an answer on this channel.
        """
        arguments = _encoded(sig, format, args) if format else b''
        if wait is not None:
            reply = self._call(sig, arguments, wait if isinstance(wait, list) else [wait])
            return reply if returns_tuple else (reply[0] if reply else None)
        self._send(sig, arguments, content)
        if callback is not None:
            callback()
        return DONE

    def wait(
        self,
        method: Signature | list[Signature],
        callback: Callable[..., Any] | None = None,
        timeout: float | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Wait for one of the methods of the broker given, e.g. after a call that did not wait.

        Args:
            method: one method, or several of which one comes.
            callback: called with the method and its arguments.
            timeout: seconds; None stands for the `read_timeout` of the connection.
            returns_tuple: return all arguments of the answer instead of the first.
        """
        expected = method if isinstance(method, list) else [method]
        arguments = self._call(None, b'', expected, timeout=timeout, callback=callback)
        return arguments if returns_tuple else (arguments[0] if arguments else None)

    def _connected(self) -> Any:
        connection = self.connection
        if connection is None:
            raise RecoverableConnectionError('connection already closed')
        return connection

    def _send(
        self,
        signature: Signature,
        arguments: bytes,
        content: Any = None,
        timeout: float | None = None,
    ) -> None:
        raise NotImplementedError

    def _call(
        self,
        signature: Signature | None,
        arguments: bytes,
        expected: list[Signature],
        *,
        timeout: float | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> tuple[Any, ...]:
        """Send a method, if one is given, and return the arguments of the answer."""
        connection = self._connected()
        if not self._calling.acquire(blocking=False):
            raise ConcurrentUseError(
                f'another call is waiting for an answer on channel {self.channel_id}; '
                'a channel is for one thread at a time'
            )
        reply = self._reply = Reply()
        try:
            for method in expected:
                self._pending[method] = reply
            seconds = connection.answer_timeout if timeout is None else timeout
            limit = monotonic() + seconds
            if signature is not None:
                self._send(signature, arguments, timeout=timeout)
            if not connection.reader.wait(reply, limit):
                name = METHOD_NAME_MAP[signature] if signature else 'the method before'
                self._unanswered()
                raise TimeoutError(f'{name}: no answer within {seconds:g} s')
        finally:
            for method in expected:
                if self._pending.get(method) is reply:
                    del self._pending[method]
            self._reply = None
            self._calling.release()
        connection.after_reading()
        if reply.error is not None:
            raise reply.error()
        if callback is not None:
            callback(reply.signature, *reply.arguments)
        return reply.arguments

    def _unanswered(self) -> None:
        """An answer may come yet, and must not be taken for that to a later call."""
        raise NotImplementedError
