"""A broker that lives in a few lists: for tests of what stands above the transports.

    broker = FakeBroker()
    broker.fail('connect', times=2)                 # the next two attempts are refused
    connection = Connection('a;b', transport=broker.Transport)
    ...
    assert broker.count('connect') == 3
    broker.cut()                                    # every open connection is broken from here on

Nothing here blocks, sleeps or opens a socket.  Operations are recorded in `broker.calls`, in order,
before a planned failure is raised, so that attempts count whether they succeed or not.  The
operations are `connect`, `close_connection`, `create_channel`, `close_channel`, `heartbeat_check`,
`drain_events`, and on a channel the names of py-amqp's channel methods.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = (
    'Call',
    'ChannelFailure',
    'FakeBroker',
    'FakeChannel',
    'FakeConnection',
    'FakeTransport',
    'LinkFailure',
)


class LinkFailure(OSError):
    """What the fake transport raises for a broken or refused connection."""


class ChannelFailure(Exception):
    """What the fake transport raises for a closed channel."""


@dataclass(frozen=True)
class Call:
    """One recorded operation: the host it went to, and the number of the connection it used."""

    name: str
    host: str | None = None
    connection: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Plan:
    error: BaseException | type[BaseException]
    left: int | None
    host: str | None

    def applies(self, host: str | None) -> bool:
        return self.left != 0 and (self.host is None or self.host == host)

    def spend(self) -> BaseException | type[BaseException]:
        if self.left is not None:
            self.left -= 1
        return self.error


class FakeBroker:
    """Record what is asked of it, and fail where it was told to.

    Args:
        attributes: set on `Transport`, a subclass of `FakeTransport` of this broker's own.
    """

    def __init__(self, **attributes: Any) -> None:
        self.calls: list[Call] = []
        self.connections: list[FakeConnection] = []
        self.queues: dict[str, list[Any]] = {}
        self.events: list[Callable[[], Any]] = []
        self.before: dict[str, Callable[[], Any]] = {}
        self._plans: dict[str, list[_Plan]] = {}
        self.Transport = type('FakeTransport', (FakeTransport,), {'broker': self, **attributes})

    # -- what a test says

    def fail(
        self,
        name: str,
        error: BaseException | type[BaseException] | None = None,
        *,
        times: int | None = 1,
        host: str | None = None,
    ) -> None:
        """Make operation `name` raise `error`.

        Args:
            name: the operation.
            error: by default a `LinkFailure`.
            times: how often; None is always.
            host: on this host only.
        """
        if error is None:
            error = LinkFailure(f'{name} refused')
        self._plans.setdefault(name, []).append(_Plan(error, times, host))

    def heal(self) -> None:
        """Forget every planned failure."""
        self._plans.clear()

    def cut(self) -> None:
        """Break every open connection, like a pulled cable: its next use raises `LinkFailure`."""
        for connection in self.connections:
            if not connection.closed:
                connection.broken = True

    def deliver(self, event: Callable[[], Any]) -> None:
        """Have a later `drain_events` call `event`."""
        self.events.append(event)

    # -- what a test asks

    def count(self, name: str) -> int:
        return sum(1 for call in self.calls if call.name == name)

    def named(self, *names: str) -> list[Call]:
        return [call for call in self.calls if call.name in names]

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def hosts(self) -> list[str | None]:
        """The hosts of the connection attempts, in order."""
        return [call.host for call in self.calls if call.name == 'connect']

    @property
    def open_connections(self) -> list[FakeConnection]:
        return [connection for connection in self.connections if not connection.closed]

    # -- what the fake transport does

    def record(
        self,
        name: str,
        connection: FakeConnection | None = None,
        host: str | None = None,
        **args: Any,
    ) -> None:
        if connection is not None:
            host = connection.host
        self.calls.append(Call(name, host, connection.number if connection else 0, args))
        if name in self.before:
            self.before[name]()
        for plan in self._plans.get(name, ()):
            if plan.applies(host):
                raise plan.spend()
        if connection is not None and connection.broken:
            raise LinkFailure(f'{name} on a broken connection')


class FakeConnection:
    """A link to the broker; `broken` makes every further use fail."""

    def __init__(self, broker: FakeBroker, client: Any) -> None:
        self.broker = broker
        self.client = client
        self.host = client.hostname
        self.closed = False
        self.broken = False
        self.number = len(broker.connections) + 1
        self.channels: list[FakeChannel] = []
        broker.connections.append(self)

    def __repr__(self) -> str:
        return f'<FakeConnection {self.number} to {self.host}>'


class FakeChannel:
    """Accept and record any method of py-amqp's channel, and answer where there is an answer."""

    #: Answers that are not None: computed from the broker and the arguments.
    _answers: dict[str, Callable[[FakeBroker, dict[str, Any]], Any]] = {
        'queue_declare': lambda broker, args: (
            args.get('queue') or 'fake.generated',
            len(broker.queues.setdefault(args.get('queue') or '', [])),
            0,
        ),
        'queue_purge': lambda broker, args: len(broker.queues.get(args.get('queue', ''), ())),
        'queue_delete': lambda broker, args: len(broker.queues.pop(args.get('queue', ''), ())),
        'basic_get': lambda broker, args: (broker.queues.get(args.get('queue', '')) or [None]).pop(
            0
        ),
    }

    def __init__(self, connection: FakeConnection, channel_id: int) -> None:
        self.connection: Any = connection
        self.broker = connection.broker
        self.channel_id = channel_id
        self.closed = False
        self.no_ack_consumers: set[str] = set()
        self.events: dict[str, set[Any]] = {'basic_return': set()}
        connection.channels.append(self)

    @property
    def is_open(self) -> bool:
        return not self.closed

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith(('basic_', 'exchange_', 'queue_', 'flow')):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if args:
                kwargs['args'] = args
            if self.connection is None:
                raise ChannelFailure(f'{name} on a closed channel')
            self.broker.record(name, self.connection, **kwargs)
            answer = self._answers.get(name)
            return answer(self.broker, kwargs) if answer is not None else None

        return call

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {
            'body': body,
            'content-type': content_type,
            'content-encoding': content_encoding,
            'headers': headers or {},
            'properties': {**(properties or {}), 'priority': priority},
        }

    def prepare_queue_arguments(self, arguments: dict[str, Any] | None, **_: Any) -> Any:
        return arguments

    def after_reply_message_received(self, queue: str) -> None:
        self.broker.record('after_reply_message_received', self.connection, queue=queue)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        connection, self.connection = self.connection, None
        if connection is not None and self in connection.channels:
            connection.channels.remove(self)
            self.broker.record('close_channel', connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f'<FakeChannel {self.channel_id}>'


class _Implements:
    """The attributes of `Transport.implements` that the client API reads."""

    asynchronous = False
    heartbeats = False
    batch_publish = False
    exchange_type = frozenset({'direct', 'topic', 'fanout', 'headers'})

    def __getattr__(self, name: str) -> bool:
        if name.startswith('_'):
            raise AttributeError(name)
        return False


class FakeTransport:
    """The contract of a transport, kept by a `FakeBroker`."""

    broker: FakeBroker
    Connection = FakeConnection
    Channel = FakeChannel

    can_parse_url = False
    default_port: int | None = 7777
    driver_type = 'fake'
    driver_name = 'fake'
    implements: Any = _Implements()
    connection_errors: tuple[type[BaseException], ...] = (LinkFailure,)
    channel_errors: tuple[type[BaseException], ...] = (ChannelFailure,)
    supports_heartbeats = False
    supports_ev = False
    heartbeat_interval: float = 0

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.client = client
        self.channel_ids: Iterator[int] = itertools.count(1)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {'port': self.default_port}

    def establish_connection(self) -> FakeConnection:
        self.broker.record('connect', host=self.client.hostname)
        return self.Connection(self.broker, self.client)

    def close_connection(self, connection: FakeConnection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self.broker.record('close_connection', connection)

    def create_channel(self, connection: FakeConnection) -> FakeChannel:
        self.broker.record('create_channel', connection)
        return self.Channel(connection, next(self.channel_ids))

    def close_channel(self, channel: FakeChannel) -> None:
        channel.close()

    def drain_events(self, connection: FakeConnection, timeout: float | None = None) -> Any:
        self.broker.record('drain_events', connection, timeout=timeout)
        if not self.broker.events:
            raise TimeoutError('nothing to read')
        return self.broker.events.pop(0)()

    def heartbeat_check(self, connection: FakeConnection, rate: int = 2) -> None:
        self.broker.record('heartbeat_check', connection, rate=rate)

    def get_heartbeat_interval(self, connection: FakeConnection) -> float:
        return self.heartbeat_interval

    def verify_connection(self, connection: FakeConnection) -> bool:
        return not (connection.closed or connection.broken)

    def qos_semantics_matches_spec(self, connection: FakeConnection) -> bool:
        return True

    def register_with_event_loop(self, connection: FakeConnection, loop: Any) -> None:
        self.broker.record('register_with_event_loop', connection, loop=loop)

    def unregister_from_event_loop(self, connection: FakeConnection, loop: Any) -> None:
        self.broker.record('unregister_from_event_loop', connection, loop=loop)

    def driver_version(self) -> str:
        return '1.0'

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        return ('manager', args, kwargs)

    @property
    def manager(self) -> Any:
        return self.get_manager()
