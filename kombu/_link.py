"""The link of a connection to its broker: made on demand, made anew when lost, closed.

====================  ================================================================
`_connection`         the driver's connection; None before the first use and after a loss
`_default_channel`    the channel that `Producer(connection)` and the like share
`_transport`          translates to the driver; belongs to one host
`_closed`             None at first, True after `release()`, False once connected
====================  ================================================================

There are two locks.  `_making` is held while a connection or a channel is made, for as long as the
network takes; `_lock` only while these attributes change.  `release()` needs the second one alone,
so that closing does not wait for a thread that connects: that one finds `_epoch` changed, and gives
up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from amqp.exceptions import RecoverableConnectionError

from kombu._description import Description
from kombu._retry import ErrorClasses, connecting, in_scope, is_open
from kombu._target import merge
from kombu.exceptions import OperationalError
from kombu.log import get_logger
from kombu.utils.compat import register_after_fork
from kombu.utils.debug import Logwrapped

__all__ = ('Link',)

if TYPE_CHECKING:
    from typing_extensions import Self

logger = get_logger('kombu.connection')

#: Set in the environment, it has all calls of channels logged.
LOG_CHANNEL = bool(os.environ.get('KOMBU_LOG_CHANNEL') or os.environ.get('KOMBU_LOG_DEBUG'))

#: What a forked child got from its parents: it is not used, and not finalized either, because a
#: driver may say goodbye then.
_inherited: list[Any] = []


class Link(Description):
    """A description that can be connected."""

    #: Entities declared over this connection since it was made.
    declared_entities: set[Any]

    _connection: Any = None
    _default_channel: Any = None
    _closed: bool | None = None
    #: The process that made the link, or began to.
    _pid: int | None = None
    _watches_forks: bool = False
    #: Counts the calls of `release`.
    _epoch: int = 0

    def _begin(self) -> None:
        """Set up what the link needs before it is made."""
        self.declared_entities = set()
        self._lock = RLock()
        self._making = RLock()

    # -- connecting

    @property
    def connected(self) -> bool:
        """Whether there is a link that looks usable; asking does not connect."""
        connection = self._connection
        if connection is None or self._closed:
            return False
        return bool(self.transport.verify_connection(connection))

    @property
    def connection(self) -> Any:
        """The driver's connection, made anew where it was lost; None after `release()`.

        Raises:
            BaseException: the driver's error, when connecting fails twice, or on every host.
        """
        if self._closed:
            return None
        if not self.connected:
            self._ensure_connection(**self._direct_options())
        return self._connection

    @property
    def connect_timeout(self) -> float | None:
        """Seconds for one attempt to connect; during one, not more than its deadline leaves."""
        attempt = connecting.get()
        if attempt is None or not attempt.running or attempt.connection is not self:
            return self._connect_timeout
        seconds = attempt.deadline.bound(self._connect_timeout)
        # To a socket, 0 does not mean no time, but not to wait at all.
        return None if seconds is None else max(seconds, 0.001)

    @connect_timeout.setter
    def connect_timeout(self, seconds: float | None) -> None:
        self._connect_timeout = seconds

    def connect(self) -> Any:
        """Connect, where it is not connected, and return the driver's connection.

        Raises:
            BaseException: the driver's error, when connecting fails twice, or on every host.
        """
        self._closed = False
        return self.connection

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect within limits; defined by `kombu.Connection`."""
        raise NotImplementedError

    def _connection_factory(self) -> Any:
        """Make one attempt to connect."""
        attempt = connecting.get()
        if attempt is not None and attempt.connection is not self:
            attempt = None
        seconds = None if attempt is None else attempt.deadline.remaining()
        if not self._making.acquire(timeout=-1 if seconds is None else seconds):
            raise OperationalError(
                'another thread is connecting, and takes longer than this one may wait'
            )
        try:
            if self.connected:
                return self._connection  # the other thread made it
            epoch = self._epoch
            self._abandon()
            self._pid = os.getpid()
            if not self._watches_forks:
                self._watches_forks = True
                register_after_fork(self, Link._leave_parent)
            if attempt is not None:
                attempt.running = True
            try:
                connection = self._establish_connection()
            finally:
                if attempt is not None:
                    attempt.running = False
            with self._lock:
                if self._epoch == epoch:
                    self._connection = connection
                    self._closed = False
                    return connection
            self._hang_up(self.transport, connection)
            raise self._released()
        finally:
            self._making.release()

    def _establish_connection(self) -> Any:
        self._debug('establishing connection...')
        connection = self.transport.establish_connection()
        self._debug('connection established: %r', self)
        return connection

    def _released(self) -> OperationalError:
        return OperationalError('the connection was released while it was being made')

    def _extract_failover_opts(self) -> dict[str, Any]:
        """Return the arguments of `_ensure_connection` that the transport options hold."""
        options = self.transport_options
        timeout = options.get('connect_retries_timeout')
        if timeout is None and self._connect_timeout is not None:
            # Otherwise one host that does not answer would use up the time of the others.
            timeout = self._connect_timeout * max(1, len(self._hosts))
        names = (
            'max_retries',
            'interval_start',
            'interval_step',
            'interval_max',
            'errback',
            'callback',
        )
        return {'timeout': timeout, **{name: options[name] for name in names if name in options}}

    def _direct_options(self) -> dict[str, Any]:
        """Return the arguments of `_ensure_connection` for `connect` and `connection`."""
        policy = in_scope(self)
        if policy is not None:
            return {**policy.connect_options(), 'reraise_as_library_errors': False}
        return {'max_retries': max(1, len(self._hosts) - 1), 'reraise_as_library_errors': False}

    # -- failing over

    def switch(self, conn_str: str) -> None:
        """Leave the host and use another one from now on.

        Args:
            conn_str: a URL, or a host name for which the rest stays the same.

        Raises:
            ValueError: the URL is malformed.
            KeyError: there is no such transport.
        """
        target = merge(conn_str, self._arguments, self._first)
        self._abandon()
        self._transport = None
        self._closed = False
        self._apply(target)

    def maybe_switch_next(self) -> None:
        """Use the next host from now on, where there are several."""
        if self.cycle is not None:
            self.switch(self._next_host())

    # -- closing

    def release(self) -> None:
        """Close the link and its channels; when they are closed already, do nothing.

        The connection can be used again after `connect()`, `ensure_connection()` or asking for
        `default_channel`.
        """
        self._epoch += 1
        self._close()

    close = release

    def _close(self) -> None:
        """Close, telling the broker."""
        self._closed = True
        try:
            self._do_close_self()
        finally:
            self._transport = None

    def _do_close_self(self) -> None:
        """Close the link, but keep the transport."""
        transport, connection, channel = self._let_go()
        if channel is not None:
            self.maybe_close_channel(channel)
        if connection is not None:
            self._hang_up(transport, connection)

    def _abandon(self) -> None:
        """Leave a link that is lost, without waiting for its other end."""
        transport, connection, channel = self._let_go()
        if connection is not None:
            self._collect(transport, connection, channel)

    def collect(self, socket_timeout: float | None = None) -> None:
        """Close by force: free what the link holds here, without asking the broker.

        The next use connects again.

        Args:
            socket_timeout: seconds that the driver may wait in one operation, where it cannot do
                without the broker.
        """
        transport, connection, channel = self._let_go()
        if connection is not None:
            self._closed = False
            self._collect(transport, connection, channel, socket_timeout)
        self._transport = None

    def _let_go(self) -> tuple[Any, Any, Any]:
        """Forget transport, link and default channel, and return them to be closed."""
        self._leave_parent()
        with self._lock:
            found = self._transport, self._connection, self._default_channel
            self._connection = self._default_channel = None
            self.declared_entities.clear()
        return found

    def _collect(
        self, transport: Any, connection: Any, channel: Any, socket_timeout: float | None = None
    ) -> None:
        by_force = getattr(transport, '_collect', None)
        if by_force is None:
            if socket_timeout is not None:
                _limit_socket(connection, socket_timeout)
            if channel is not None:
                self.maybe_close_channel(channel)
            by_force = transport.close_connection
        self._hang_up(transport, connection, by_force)

    def _hang_up(
        self, transport: Any, connection: Any, close: Callable[[Any], Any] | None = None
    ) -> None:
        classes = ErrorClasses.of(transport)
        expected = classes.connection + classes.channel + (OSError,)
        try:
            (close or transport.close_connection)(connection)
        except expected as exc:
            self._debug('closing failed: %r', exc)

    def maybe_close_channel(self, channel: Any) -> None:
        """Close a channel; the errors of a connection or channel that is lost do not matter."""
        lost = self.connection_errors + self.channel_errors
        try:
            channel.close()
        except lost as exc:
            self._debug('closing a channel failed: %r', exc)

    def _leave_parent(self) -> None:
        """In a forked child: forget the link, which is the parent's, and send nothing over it."""
        pid = self._pid
        if pid is None or pid == os.getpid():
            return
        self._pid = None
        # Another thread of the parent may have held them.
        self._lock, self._making = RLock(), RLock()
        if self._connection is not None:
            _inherited.append((self._transport, self._connection, self._default_channel))
        self._transport = self._connection = self._default_channel = None
        self.declared_entities.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()

    # -- channels

    def channel(self) -> Any:
        """Open a new channel.

        Raises:
            amqp.exceptions.RecoverableConnectionError: the connection was released.
        """
        with self._making:
            channel = self.transport.create_channel(self._live())
        self._debug('created channel: %r', channel)
        if LOG_CHANNEL:
            channel = Logwrapped(channel, 'kombu.channel', f'[kombu channel:{id(channel):#x}] ')
        return channel

    @property
    def default_channel(self) -> Any:
        """The channel for everything that does not bring its own; connects where it has to.

        Making it is ruled by the transport options, or by the policy of `ensure` within it.

        Raises:
            kombu.exceptions.OperationalError: connecting failed.
        """
        channel = self._default_channel
        if channel is not None and self.connected and is_open(channel):
            return channel
        policy = in_scope(self)
        self._ensure_connection(
            **(self._extract_failover_opts() if policy is None else policy.connect_options())
        )
        with self._making:
            channel = self._default_channel
            if channel is None or not is_open(channel):
                channel = self._default_channel = self.channel()
            return channel

    def _live(self) -> Any:
        """Return the driver's connection for immediate use, connecting where it never was."""
        connection = self._connection
        if connection is None:
            connection = self.connection
            if connection is None:
                raise RecoverableConnectionError(
                    'the connection was released; connect() makes it again'
                )
        return connection

    def revive(self, new_channel: Any) -> None:
        """Do nothing: lets a connection be what `ensure` revives."""

    def _debug(self, msg: str, *args: Any) -> None:
        logger.debug(f'[kombu connection:{id(self):#x}] {msg}', *args)


def _limit_socket(connection: Any, seconds: float) -> None:
    """Have the socket of a driver's connection wait no longer; drivers keep it in two places."""
    for owner in (connection, getattr(connection, '_transport', None)):
        sock = getattr(owner, 'sock', None)
        if sock is not None:
            with suppress(OSError):
                sock.settimeout(seconds)
            return
