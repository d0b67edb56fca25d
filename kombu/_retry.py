"""Repeating a call over a connection that may be lost, within a policy.

`Connection.ensure` calls the function itself; what happens after a failure is here.  The policy of
a call is in scope while it runs, so that a connection made on demand in the middle of it keeps to
the same limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple

from kombu.exceptions import OperationalError
from kombu.utils.deadline import Deadline
from kombu.utils.functional import retry_over_time

__all__ = (
    'Attempt',
    'ErrorClasses',
    'LibraryErrors',
    'Policy',
    'Repetition',
    'connecting',
    'in_scope',
    'is_open',
    'scope',
)

Errors = tuple[type[BaseException], ...]


class ErrorClasses(NamedTuple):
    """The error classes of a transport, as `Connection` shows them."""

    connection: Errors
    channel: Errors
    recoverable_connection: Errors
    recoverable_channel: Errors = ()
    #: What `ensure` calls again after.
    recoverable: Errors = ()

    @classmethod
    def of(cls, transport: Any) -> ErrorClasses:
        """Ask a transport for its error classes.

        One that does not tell which are recoverable is taken to mean all of them; dependents then
        find the errors of channels among the recoverable ones of connections as well.
        """
        connection, channel = tuple(transport.connection_errors), tuple(transport.channel_errors)
        recoverable = getattr(transport, 'recoverable_connection_errors', connection + channel)
        return cls(connection, channel, tuple(recoverable)).replacing(
            'recoverable_channel', tuple(getattr(transport, 'recoverable_channel_errors', channel))
        )

    def replacing(self, name: str, errors: Errors) -> ErrorClasses:
        """Return a copy with other errors of one kind."""
        changed = self._replace(**{name: errors})
        return changed._replace(
            recoverable=changed.recoverable_connection + changed.recoverable_channel
        )


class Policy(NamedTuple):
    """How often and for how long a call over `connection` is repeated; see `Connection.ensure`."""

    connection: Any
    errback: Callable[[Any, float], Any] | None
    max_retries: float | None
    interval_start: float
    interval_step: float
    interval_max: float
    on_revive: Callable[[Any], Any] | None
    callback: Callable[[], Any] | None
    deadline: Deadline | None

    def connect_options(self, spent: int = 0) -> dict[str, Any]:
        """Return the arguments for connecting under this policy, after `spent` retries."""
        left = None if self.max_retries is None else max(self.max_retries - spent, 0)
        return {
            'errback': self.errback,
            'max_retries': left,
            'interval_start': self.interval_start,
            'interval_step': self.interval_step,
            'interval_max': self.interval_max,
            'callback': self.callback,
            'timeout': self.seconds_left(),
        }

    def seconds_left(self) -> float | None:
        """Return the time left, never 0: that would be no limit to `retry_over_time`."""
        left = None if self.deadline is None else self.deadline.remaining()
        return None if left is None else max(left, 1e-6)


#: The fields of the policy of the call that is running in this context.
scope: ContextVar[tuple[Any, ...] | None] = ContextVar('kombu_retry_policy', default=None)


class Attempt:
    """A series of attempts to connect within a deadline; `running` while one is under way."""

    __slots__ = ('connection', 'deadline', 'running')

    def __init__(self, connection: Any, deadline: Deadline) -> None:
        self.connection = connection
        self.deadline = deadline
        self.running = False


#: The series that is going on in this context.
connecting: ContextVar[Attempt | None] = ContextVar('kombu_connecting', default=None)


def in_scope(connection: Any) -> Policy | None:
    """Return the policy of the call over `connection` that is running, if there is one."""
    policy = scope.get()
    return Policy(*policy) if policy is not None and policy[0] is connection else None


def is_open(channel: Any) -> bool:
    """Tell whether a channel can be used; drivers show it in one of three ways."""
    if getattr(channel, 'closed', False) is True or getattr(channel, 'is_open', True) is False:
        return False
    return getattr(channel, 'connection', channel) is not None


class LibraryErrors:
    """Context in which recoverable errors of the transport become `OperationalError`."""

    __slots__ = ('_connection',)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None and isinstance(exc, self._connection._error_classes.recoverable):
            if isinstance(exc, OperationalError):
                return
            raise OperationalError(str(exc)) from exc


class Repetition:
    """A call that failed, repeated until it works or the policy ends.

    The first retry follows at once, the further ones at the intervals of the policy.

    Args:
        policy: the limits.
        obj: revived with a new channel where its own was lost.
        fun: what to call, with `args` and `kwargs`.
        error: what the first call raised.
    """

    __slots__ = ('args', 'connection', 'error', 'failures', 'fun', 'kwargs', 'obj', 'policy')

    def __init__(
        self,
        policy: Policy,
        obj: Any,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        error: BaseException,
    ) -> None:
        self.policy = policy
        self.connection = policy.connection
        self.obj = obj
        self.fun = fun
        self.args = args
        self.kwargs = kwargs
        self.error: BaseException | None = error
        self.failures = 0

    def run(self, catch: Errors) -> Any:
        """Return what the function returns in the end.

        Args:
            catch: the errors to retry after.

        Raises:
            kombu.exceptions.OperationalError: the last error was a recoverable one of the
            transport.
            BaseException: any other error of the function.
        """
        policy = self.policy
        try:
            with LibraryErrors(self.connection):
                return retry_over_time(
                    self._attempt,
                    catch,
                    errback=self._failed,
                    max_retries=policy.max_retries,
                    interval_start=policy.interval_start,
                    interval_step=policy.interval_step,
                    interval_max=policy.interval_max,
                    callback=policy.callback,
                    timeout=policy.seconds_left(),
                )
        finally:
            self.error = None  # its traceback would keep the frames alive that hold this object

    def _attempt(self) -> Any:
        error, self.error = self.error, None
        try:
            if not self.failures and error is not None:
                raise error  # the first call was made before this object was
            if error is not None:
                if self._is_connection_error(error):
                    self._reconnect()
                else:
                    self._reopen()
        finally:
            del error
        return self.fun(*self.args, **self.kwargs)

    def _failed(self, exc: BaseException, intervals: Iterator[float], retries: int) -> float:
        """Prepare for another attempt: leave what is broken, go to the next host, and tell."""
        self.failures += 1
        self.error = exc
        interval = next(intervals) if retries else 0
        if self._is_connection_error(exc):
            self.connection._abandon()
            self.connection.maybe_switch_next()
        if self.policy.errback is not None:
            self.policy.errback(exc, interval)
        return interval

    def _is_connection_error(self, exc: BaseException) -> bool:
        """Tell whether the connection is lost, and not only a channel."""
        classes = self.connection._error_classes
        return isinstance(exc, classes.recoverable_connection) and (
            isinstance(exc, classes.connection) or not isinstance(exc, classes.channel)
        )

    def _reconnect(self) -> None:
        connection = self.connection
        connection._ensure_connection(**self.policy.connect_options(self.failures - 1))
        self._revive(connection.default_channel)

    def _reopen(self) -> None:
        """Replace the channel of the object, where the error closed it."""
        connection = self.connection
        channel = getattr(self.obj, 'channel', None)
        if channel is None:
            channel = connection._default_channel
        if channel is not None and not is_open(channel):
            self._revive(connection.default_channel)

    def _revive(self, channel: Any) -> None:
        revive = getattr(self.obj, 'revive', None)
        if revive is not None:
            revive(channel)
        if self.policy.on_revive is not None:
            self.policy.on_revive(channel)
