"""The connection to a broker, and pools of them.

A `Connection` is a description of a broker that connects when it is needed, and again when it was
lost.  It may be shared between threads; its channels may not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ssl import CERT_NONE as CERT_NONE
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kombu._description import resolve_aliases as resolve_aliases
from kombu._failover import failover_strategies
from kombu._link import Link
from kombu._retry import Attempt, LibraryErrors, Policy, Repetition, connecting, is_open, scope
from kombu._target import Target
from kombu.abstract import is_connection as is_connection
from kombu.abstract import maybe_channel as maybe_channel
from kombu.exceptions import ChannelLimitExceeded, ConnectionLimitExceeded, OperationalError
from kombu.messaging import Consumer, Producer
from kombu.resource import Resource
from kombu.simple import SimpleBuffer, SimpleQueue
from kombu.utils.deadline import Deadline
from kombu.utils.functional import lazy, retry_over_time
from kombu.utils.url import ssl_available as ssl_available

__all__ = ('ChannelPool', 'Connection', 'ConnectionPool')

if TYPE_CHECKING:
    from typing_extensions import Self

#: The default strategy under its own name.
roundrobin_failover = failover_strategies['round-robin']


class Connection(Link):
    """A connection to a broker, made when it is first needed.

    Args:
        hostname: a URL (`transport://userid:password@hostname:port/virtual_host?option=value`), a
            host name, or several of them, as a list or joined with `;`, to fail over between.
        userid: user name; what the URL says wins, here and below.
        password: password, or a callable that is asked for it at each attempt to connect, where the
            transport can.
        virtual_host: virtual host; for other brokers than RabbitMQ a database, a folder and the
            like.
        port: port; the transport knows the usual one.
        insist: obsolete, kept in `info()`.
        ssl: True, or a dict of options, for TLS; see the transport.
        transport: name of a transport, its import path (`package.module:Class`) or its class.
        connect_timeout: seconds for one attempt to connect; None waits for ever.
        transport_options: options of the transport; `max_retries`, `interval_start`,
            `interval_step`, `interval_max`, `connect_retries_timeout` (seconds for all attempts),
            `errback` and `callback` rule how connections are made on demand.
        login_method: SASL mechanism, e.g. `'AMQPLAIN'`.
        uri_prefix: what stood before the `+` of a URL such as `sqla+sqlite://`.
        heartbeat: seconds between heartbeats; 0 for none.
        failover_strategy: `'round-robin'`, `'shuffle'` or a callable that makes an iterator over
            the hosts.
        alternates: further hosts to fail over to.
        credential_provider: of the transport `redis`.

    Raises:
        ValueError: a URL is malformed, or an argument has no meaning.
        TypeError: hosts or transport options are of the wrong kind.
        KeyError: there is no such transport.
    """

    def __init__(
        self,
        hostname: Any = 'localhost',
        userid: str | None = None,
        password: Any = None,
        virtual_host: str | None = None,
        port: Any = None,
        insist: bool = False,
        ssl: Any = False,
        transport: Any = None,
        connect_timeout: float | None = 5,
        transport_options: Any = None,
        login_method: str | None = None,
        uri_prefix: str | None = None,
        heartbeat: float | None = 0,
        failover_strategy: Any = 'round-robin',
        alternates: Iterable[str] | None = None,
        credential_provider: Any = None,
        **kwargs: Any,
    ) -> None:
        self._begin()
        target = Target(
            userid=userid,
            password=password,
            virtual_host=virtual_host,
            port=port,
            insist=insist,
            ssl=ssl,
            transport=transport,
            connect_timeout=connect_timeout,
            transport_options=transport_options,
            login_method=login_method,
            uri_prefix=uri_prefix,
            heartbeat=heartbeat,
            credential_provider=credential_provider,
        )
        self._describe(target, hostname, alternates, failover_strategy, kwargs)

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Self:
        """Connect, trying again until it works.

        Args:
            errback: called after a failure with the error and the seconds until the next attempt.
            max_retries: how many times to try again; 0 is never, None is for ever.
            interval_start: seconds to wait after every host was tried once (2).
            interval_step: seconds by which the waits grow (2).
            interval_max: seconds of the longest wait (30).
            callback: called about every second while waiting; what it raises ends the waiting.
            reraise_as_library_errors: raise `OperationalError` for errors of the transport (True).
            timeout: seconds for everything; None for no limit.

        Raises:
            kombu.exceptions.OperationalError: it did not work within these limits; `__cause__` is
            the last error.
        """
        self._ensure_connection(*args, **kwargs)
        return self

    def _ensure_connection(
        self,
        errback: Callable[[Any, float], Any] | None = None,
        max_retries: float | None = None,
        interval_start: float = 2,
        interval_step: float = 2,
        interval_max: float = 30,
        callback: Callable[[], Any] | None = None,
        reraise_as_library_errors: bool = True,
        timeout: float | None = None,
    ) -> Any:
        if self.connected:
            return self._connection
        epoch = self._epoch

        def on_error(exc: BaseException, intervals: Iterator[float], retries: int) -> float:
            interval = next(intervals) if self.completes_cycle(retries) else 0
            if errback is not None:
                errback(exc, interval)
            self.maybe_switch_next()
            return interval

        def while_waiting() -> None:
            if self._epoch != epoch:
                raise self._released()
            if callback is not None:
                callback()

        token = connecting.set(Attempt(self, Deadline.after(timeout or None)))
        try:
            return retry_over_time(
                self._connection_factory,
                self.recoverable_connection_errors,
                (),
                {},
                on_error,
                max_retries,
                interval_start,
                interval_step,
                interval_max,
                while_waiting,
                timeout=timeout,
            )
        except self._error_classes.recoverable as exc:
            if not reraise_as_library_errors or isinstance(exc, OperationalError):
                raise
            raise OperationalError(f'cannot connect to {self._shown()}: {exc}') from exc
        finally:
            connecting.reset(token)

    # -- repeating

    def ensure(
        self,
        obj: Any,
        fun: Callable[..., Any],
        errback: Callable[[Any, float], Any] | None = None,
        max_retries: float | None = None,
        interval_start: float = 1,
        interval_step: float = 1,
        interval_max: float = 1,
        on_revive: Callable[[Any], Any] | None = None,
        retry_errors: Any = None,
        *,
        callback: Callable[[], Any] | None = None,
        timeout: float | None = None,
    ) -> Callable[..., Any]:
        """Wrap a function so that it is called again after errors of the connection or its channel.

        After an error of the connection it is made anew, going on to the next host where there are
        several, and `obj` gets a new channel; after an error that closed its channel, likewise.
        The first retry follows at once, the others at the intervals.

        Args:
            obj: what has a `revive(channel)`: a producer, a consumer, an entity.
            fun: what to call.
            errback: called after each failure with the error and the seconds until the next
                attempt.
            max_retries: how many times to try again; 0 is never, None is for ever.
            interval_start: seconds of the first wait.
            interval_step: seconds by which the waits grow.
            interval_max: seconds of the longest wait.
            on_revive: called with the new channel.
            retry_errors: error classes to try again after besides the recoverable ones.
            callback: called about every second while waiting; what it raises ends the waiting.
            timeout: seconds for everything, counted from the call; None for no limit.

        Returns:
            the function; it raises `OperationalError` where an error of the connection or channel
            was the last one.

        Example:
            >>> publish = connection.ensure(producer, producer.publish, max_retries=3)
            >>> publish({'hello': 'world'}, routing_key='greetings')
        """
        catch = self._error_classes.recoverable
        if retry_errors:
            catch += (retry_errors,) if isinstance(retry_errors, type) else tuple(retry_errors)
        # Made into a `Policy` where it is needed: most calls succeed.
        unbounded = (
            self,
            errback,
            max_retries,
            interval_start,
            interval_step,
            interval_max,
            on_revive,
            callback,
            None,
        )

        def ensured(*args: Any, **kwargs: Any) -> Any:
            policy: tuple[Any, ...] = unbounded
            if timeout is not None:
                policy = (*unbounded[:-1], Deadline.after(timeout))
            token = scope.set(policy)
            try:
                return fun(*args, **kwargs)
            except catch as exc:
                return Repetition(Policy(*policy), obj, fun, args, kwargs, exc).run(catch)
            finally:
                scope.reset(token)

        name = getattr(fun, '__name__', None) or type(fun).__name__
        ensured.__name__ = f'{name}(ensured)'
        ensured.__doc__ = fun.__doc__
        return ensured

    def autoretry(
        self, fun: Callable[..., Any], channel: Any = None, **ensure_options: Any
    ) -> Callable[..., Any]:
        """Wrap a function that takes a `channel` so that it is called again, with a new channel.

        Args:
            fun: called with `channel` as a keyword argument besides its own.
            channel: the channel to begin with; by default the default channel.
            ensure_options: as for `ensure`.

        Returns:
            a function that returns the result of `fun` and the channel that was used last.
        """
        reviving = _WithChannel(self, fun, channel)
        ensured = self.ensure(reviving, reviving, **ensure_options)
        ensured.__doc__ = fun.__doc__
        return ensured

    def _reraise_as_library_errors(self) -> LibraryErrors:
        return LibraryErrors(self)

    # -- events

    def drain_events(self, **kwargs: Any) -> Any:
        """Wait for one event of the broker, and run what it is for in this thread.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            TimeoutError: nothing happened in that time.
            amqp.exceptions.RecoverableConnectionError: the connection was released.
        """
        connection = self._connection
        return self.transport.drain_events(
            self._live() if connection is None else connection, **kwargs
        )

    def heartbeat_check(self, rate: int = 2) -> Any:
        """Send a heartbeat where it is time, and notice when the broker's fail to appear.

        Args:
            rate: how often this is called within the interval of the heartbeat.

        Raises:
            BaseException: a connection error, where the broker has been silent for too long.
        """
        return self.transport.heartbeat_check(self._live(), rate=rate)

    def get_heartbeat_interval(self) -> float:
        """Return the seconds between heartbeats that were agreed on with the broker; 0 for none."""
        interval: float = self.transport.get_heartbeat_interval(self._live())
        return interval

    def register_with_event_loop(self, loop: Any) -> None:
        """Let an event loop deliver the messages."""
        self.transport.register_with_event_loop(self._live(), loop)

    @property
    def qos_semantics_matches_spec(self) -> bool:
        """Whether `basic_qos(apply_global=False)` means the whole channel, as in AMQP 0-9-1."""
        return bool(self.transport.qos_semantics_matches_spec(self._live()))

    # -- what works over it

    def Pool(self, limit: int | None = None, **kwargs: Any) -> ConnectionPool:
        """Make a pool of connections like this one; see `ConnectionPool`."""
        return ConnectionPool(self, limit, **kwargs)

    def ChannelPool(self, limit: int | None = None, **kwargs: Any) -> ChannelPool:
        """Make a pool of channels; see `ChannelPool`."""
        return ChannelPool(self, limit, **kwargs)

    def Producer(self, channel: Any = None, *args: Any, **kwargs: Any) -> Producer:
        """Make a producer; see `kombu.Producer`."""
        return Producer(self if channel is None else channel, *args, **kwargs)

    def Consumer(
        self, queues: Any = None, channel: Any = None, *args: Any, **kwargs: Any
    ) -> Consumer:
        """Make a consumer; see `kombu.Consumer`."""
        return Consumer(self if channel is None else channel, queues, *args, **kwargs)

    def SimpleQueue(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: Any = None,
        queue_args: Any = None,
        exchange_opts: Any = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> SimpleQueue:
        """Make a queue with the interface of `queue.Queue`; see `kombu.simple.SimpleQueue`."""
        owner = self if channel is None else channel
        return SimpleQueue(owner, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs)

    def SimpleBuffer(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: Any = None,
        queue_args: Any = None,
        exchange_opts: Any = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> SimpleBuffer:
        """Make a queue that does not outlive the broker; see `kombu.simple.SimpleBuffer`."""
        owner = self if channel is None else channel
        return SimpleBuffer(owner, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs)


#: The name of old.
BrokerConnection = Connection


class _WithChannel:
    """What `autoretry` repeats: a function, and the channel it is called with."""

    __slots__ = ('__name__', 'channel', 'connection', 'fun')

    def __init__(self, connection: Connection, fun: Callable[..., Any], channel: Any) -> None:
        self.connection = connection
        self.fun = fun
        self.channel = channel
        self.__name__ = getattr(fun, '__name__', type(fun).__name__)

    def revive(self, channel: Any) -> None:
        self.channel = channel

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if self.channel is None:
            self.channel = self.connection.default_channel
        return self.fun(*args, channel=self.channel, **kwargs), self.channel


class PooledConnection(Connection):
    """A connection of a pool; leaving its `with` block gives it back.

    One whose block raised is closed instead: nobody knows what is left on its channels.
    """

    def __init__(self, pool: ConnectionPool, **kwargs: Any) -> None:
        self._pool = pool
        super().__init__(**kwargs)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.release()
        else:
            self._pool.replace(self)

    def clone(self, **kwargs: Any) -> Any:
        # The copy does not belong to the pool.
        return Connection(**{**dict(self._info(resolve=False)), **kwargs})

    def __reduce__(self) -> tuple[Any, ...]:
        return (Connection, *super().__reduce__()[1:])


class ConnectionPool(Resource):
    """A pool of connections like `connection`, which themselves connect when they are used.

    Args:
        connection: the example; it is not connected itself.
        limit: the most connections; None or 0 for no pooling.
        preload: how many to connect at once.
        close_after_fork: whether a forked child begins with an empty pool (it should).

    Example:
        >>> pool = connection.Pool(limit=10)
        >>> with pool.acquire(block=True, timeout=5) as connection:
        ...     connection.Producer().publish({'hello': 'world'}, routing_key='greetings')
    """

    LimitExceeded = ConnectionLimitExceeded
    close_after_fork = True

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit=limit, **kwargs)

    def setup(self) -> None:
        """Fill the pool with connections that are made when acquired, or now to preload."""
        for room in range(self.limit or 0, 0, -1):
            connection: Any = lazy(self.new)
            if room <= self.preload:
                connection = self.new()
                connection.connect()
            self._resource.put_nowait(connection)

    def new(self) -> PooledConnection:
        """Make a connection, not connected."""
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))

    def prepare(self, resource: Any) -> Any:
        """Make a connection that is not made yet."""
        return resource() if isinstance(resource, lazy) else resource

    def release_resource(self, resource: Any) -> None:
        """Do nothing: a connection stays as it is until it is used again."""

    def close_resource(self, resource: Any) -> None:
        """Close a connection."""
        resource._close()

    def collect_resource(self, resource: Any, socket_timeout: float = 0.1) -> None:
        """Close a connection by force; see `Connection.collect`."""
        if not isinstance(resource, lazy):
            resource.collect(socket_timeout)

    @contextmanager
    def acquire_channel(self, block: bool = False) -> Iterator[tuple[Any, Any]]:
        """Lend a connection and its default channel.

        Args:
            block: wait while all connections are in use.
        """
        with self.acquire(block=block) as connection:
            yield connection, connection.default_channel


class ChannelPool(Resource):
    """A pool of channels of one connection.

    Args:
        connection: the connection.
        limit: the most channels; None or 0 for no pooling.
        kwargs: as for `ConnectionPool`.
    """

    LimitExceeded = ChannelLimitExceeded
    close_after_fork = True

    #: The process whose channels these are.
    _pid: int | None = None

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit=limit, **kwargs)

    def setup(self) -> None:
        """Fill the pool with channels that are opened when they are acquired, or now to preload."""
        for room in range(self.limit or 0, 0, -1):
            self._resource.put_nowait(self.new() if room <= self.preload else lazy(self.new))

    def new(self) -> Any:
        """Open a channel."""
        channel = self.connection.channel()
        self._pid = os.getpid()
        return channel

    def prepare(self, channel: Any) -> Any:
        """Replace a channel that was closed meanwhile."""
        if isinstance(channel, lazy):
            channel = channel()
        return channel if is_open(channel) else self.new()

    def close_resource(self, resource: Any) -> None:
        """Close a channel."""
        self.connection.maybe_close_channel(resource)

    def collect_resource(self, resource: Any) -> None:
        """Close a channel, but not one of a parent process."""
        if not isinstance(resource, lazy) and self._pid == os.getpid():
            self.close_resource(resource)
