"""One socket, many threads: who writes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from kombu.exceptions import TimeoutError

from ._confirms import Outstanding
from ._wire import Wire

__all__ = ('Writer',)


class Writer:
    """Writes for all threads of a connection, the frames of one method at a time.

    Args:
        wire: where to write.
        timeout: seconds to wait for the broker to take something, where a call has no limit.
        fail: called with the error that makes the connection useless.
        gone: makes the error for writing after that.
    """

    def __init__(
        self,
        wire: Wire,
        timeout: float,
        fail: Callable[[BaseException], None],
        gone: Callable[[], BaseException],
    ) -> None:
        self.wire = wire
        self.timeout = timeout
        #: Time of `monotonic` at which something was written last.
        self.spoken = monotonic()
        #: Number of methods written.
        self.written = 0
        #: Why the broker takes nothing from publishers at present; None where it does.
        self.blocked: str | None = None
        self._fail = fail
        self._gone = gone
        self._turn = threading.Lock()
        #: Frames that the reading thread has to send; whoever writes next takes them along.
        self._answers: deque[bytes] = deque()

    def transmit(
        self,
        frames: Sequence[Any],
        channel: Any = None,
        timeout: float | None = None,
        entry: Outstanding | None = None,
    ) -> None:
        """Write frames, with no others in between.

        Args:
            frames: pieces of them, in order.
            channel: the channel they are of, which has to be open; None where that does not matter.
            timeout: seconds; None stands for the timeout of the writer.
            entry: the message that they publish, on a channel with confirms.

        Raises:
            RecoverableConnectionError: the channel or the connection is closed, or the broker takes
                nothing.
        """
        seconds = self.timeout if timeout is None else timeout
        now = monotonic()
        turn = self._turn
        if not turn.acquire(blocking=False) and not turn.acquire(timeout=seconds):
            raise self._stuck(seconds)
        try:
            limit = now + seconds
            if self._answers:
                self._write_answers(limit)
            if channel is not None:
                channel.may_send()
            number = None if entry is None else channel.count(entry)
            try:
                self.wire.send(frames, limit)
            except BaseException as exc:
                if number is not None and not self.wire.midway:
                    channel.uncount(number)
                self._not_written(exc, seconds)
                raise
        finally:
            turn.release()
        self.spoken = now
        self.written += 1
        if self._answers:
            self._flush()

    def answer(self, frame: bytes) -> None:
        """Write a frame for the thread that reads, which may not wait for one that writes."""
        self._answers.append(frame)
        self._flush()

    def _flush(self) -> None:
        """Write what `answer` left; a thread that is writing now comes here afterwards."""
        while self._answers and self._turn.acquire(blocking=False):
            try:
                self._write_answers(monotonic() + self.timeout)
            except BaseException as exc:
                self._not_written(exc, self.timeout)
                raise
            finally:
                self._turn.release()

    def _write_answers(self, limit: float) -> None:
        while self._answers:
            self.wire.send((self._answers.popleft(),), limit)
        self.spoken = monotonic()

    def _not_written(self, exc: BaseException, seconds: float) -> None:
        """Find out what it means that something was not written, and raise what tells best."""
        if self.wire.sock is None:
            raise self._gone() from exc
        if isinstance(exc, TimeoutError):
            failure = self._stuck(seconds)
            if self.wire.midway:
                self._fail(failure)
            raise failure from exc
        if self.wire.midway or isinstance(exc, Exception):
            self._fail(exc)

    def _stuck(self, seconds: float) -> BaseException:
        reason = '' if self.blocked is None else f': it blocks publishers, {self.blocked}'
        return RecoverableConnectionError(f'the broker took nothing for {seconds:g} s{reason}')
