"""What a scenario works with: connections, queues and helpers that clean up after themselves."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError
from kombu.messaging import Consumer, Producer
from kombu.utils.uuid import uuid

from .checks import Broken, Hung, check, eventually, within
from .child import Child
from .proxy import Proxy
from .target import Target

__all__ = ('Bench', 'Inbox', 'collect', 'unique')

_numbers = itertools.count(1)

#: Hooks that may start a server.
SERVER_HOOKS = frozenset({'kill', 'restart', 'freeze', 'thaw'})

# A server may be tied to the thread that started it (PR_SET_PDEATHSIG), and must outlive the
# scenario that restarts it, whose thread ends.
_servers = ThreadPoolExecutor(1, thread_name_prefix='kombu.testing servers')


def unique(label: str = 'q') -> str:
    """Make a name that nobody else uses."""
    return f'kt.{uuid()[:8]}.{next(_numbers)}.{label}'


class Inbox:
    """A consumer that keeps what it gets.

    Args:
        channel: where to consume.
        queues: bound queues.
        settle: whether to acknowledge each message at once.
        patience: factor on every time limit.
        options: further arguments of `kombu.Consumer`.

    Attributes:
        consumer: the `kombu.Consumer`.
        messages: what has arrived.
    """

    def __init__(
        self,
        channel: Any,
        *queues: Any,
        settle: bool = False,
        patience: float = 1.0,
        **options: Any,
    ) -> None:
        self.messages: list[Any] = []
        self.patience = patience
        self.channel = channel
        self.settle = settle
        self.consumer: Any = Consumer(
            channel, list(queues), on_message=self._keep, auto_declare=False, **options
        )
        self.consumer.consume()

    def _keep(self, message: Any) -> None:
        self.messages.append(message)
        if self.settle:
            message.ack()

    @property
    def bodies(self) -> list[Any]:
        """The decoded bodies, in order of arrival."""
        return [message.decode() for message in self.messages]

    def wait(self, count: int, timeout: float = 5.0) -> list[Any]:
        """Drain until `count` messages are there and return the decoded bodies.

        Raises:
            Broken: they did not arrive within `timeout` seconds.
        """
        drain([self.channel], lambda: len(self.messages) >= count, timeout * self.patience)
        check(
            len(self.messages) >= count,
            f'{len(self.messages)} of {count} messages arrived in {timeout:g} s',
        )
        return self.bodies

    def linger(self, seconds: float) -> list[Any]:
        """Drain for `seconds`, whatever comes, and return the decoded bodies."""
        drain([self.channel], lambda: False, seconds)
        return self.bodies


def drain(channels: Iterable[Any], done: Callable[[], bool], timeout: float) -> bool:
    """Drain the connections of `channels` by turns until `done()`; tell whether it came to that."""
    clients = list({id(client): client for client in map(client_of, channels)}.values())
    end = time.monotonic() + timeout
    turn = 0.5 if len(clients) == 1 else 0.02
    while not done():
        left = end - time.monotonic()
        if left <= 0:
            return False
        for client in clients:
            with suppress(socket.timeout):
                client.drain_events(timeout=min(turn, left))
    return True


def client_of(channel: Any) -> Any:
    """Return the `kombu.Connection` a channel belongs to."""
    return channel.connection.client


def collect(connection: Any, queue: Any, n: int, timeout: float = 5.0) -> list[Any]:
    """Consume and acknowledge `n` messages of `queue` and return the decoded bodies.

    Args:
        connection: a `kombu.Connection`; a channel of its own is used.
        queue: a `kombu.Queue` or a name.
        n: how many.
        timeout: seconds to wait for them.
    """
    with connection.channel() as channel:
        bound = (Queue(queue) if isinstance(queue, str) else queue)(channel)
        inbox = Inbox(channel, bound, settle=True)
        try:
            return inbox.wait(n, timeout)
        finally:
            inbox.consumer.cancel()


class Bench:
    """Connections, queues and exchanges of one scenario; `close` puts all of it away.

    Args:
        target: what the scenario runs against.
        label: part of every name.
    """

    def __init__(self, target: Target, label: str = 'bench') -> None:
        self.target = target
        self.label = label
        self._stack = ExitStack()
        self._published = time.monotonic()
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    # -- making

    def name(self, label: str = 'q') -> str:
        """Make a name for a queue or exchange that is deleted in the end, whichever it becomes."""
        name = unique(label)
        self._queues.append(name)
        self._exchanges.append(name)
        return name

    def connect(self, url: str | None = None, **arguments: Any) -> Any:
        """Make a connection that is released in the end; see `Target.connection`."""
        connection = self.target.connection(url, **arguments)
        self._stack.callback(connection.release)
        return connection

    def confirming(self, url: str | None = None, **arguments: Any) -> Any:
        """Make a connection with publisher confirms."""
        options = {**self.target.confirm_options, **arguments.pop('transport_options', {})}
        return self.connect(url, transport_options=options, **arguments)

    def impatient(self, url: str | None = None, **arguments: Any) -> Any:
        """Make a connection with confirms on which every call is bounded to a few seconds."""
        options = {**self.target.fault_options, **arguments.pop('transport_options', {})}
        defaults: dict[str, Any] = {'connect_timeout': 2}
        if 'heartbeats' in self.target.claims():
            defaults['heartbeat'] = 2
        return self.confirming(url, **{**defaults, 'transport_options': options, **arguments})

    def channel(self, connection: Any = None) -> Any:
        """Open a channel, by default on a connection of its own."""
        return (connection or self.connect()).channel()

    def queue(self, channel: Any, name: str | None = None, **options: Any) -> Any:
        """Declare a queue and return it bound; `options` are those of `kombu.Queue`."""
        if name is None:
            name = unique('q')
        self._queues.append(name)
        queue = Queue(name, **options)(channel)
        queue.declare()
        return queue

    def exchange(self, channel: Any, kind: str = 'direct', **options: Any) -> Any:
        """Declare an exchange and return it bound; `options` are those of `kombu.Exchange`."""
        name = options.pop('name', None) or unique('x')
        self._exchanges.append(name)
        exchange = Exchange(name, kind, **options)(channel)
        exchange.declare()
        return exchange

    def inbox(self, channel: Any, *queues: Any, **options: Any) -> Inbox:
        """Start a consumer that keeps what it gets; see `Inbox`."""
        return Inbox(channel, *queues, patience=self.target.patience, **options)

    def proxy(self) -> tuple[str, Proxy]:
        """Put a proxy in front of the target; the URL through it, and the proxy."""
        url, proxy = self._stack.enter_context(self.hook('proxy')())
        # Released connections must not wait for a proxy that is stalled: heal it before they are.
        self._stack.callback(proxy.heal)
        return url, proxy

    def child(self, task: str, url: str | None = None, **arguments: Any) -> Child:
        """Start a child process with one of the tasks of `kombu.testing.child`."""
        options = {**self.target.transport_options, **arguments.pop('transport_options', {})}
        child = Child(
            task,
            url or self.target.url,
            {**self.target.connect_args, 'transport_options': options},
            **arguments,
        )
        self._stack.callback(child.kill)
        return child

    def hook(self, name: str) -> Any:
        """Return what the target offers as `name`; the scenario must say that it needs it."""
        found = getattr(self.target, name)
        if found is None:
            raise Broken(f'the scenario must say that it needs {name}')
        if name in SERVER_HOOKS:
            return lambda: _servers.submit(found).result()
        return found

    def finally_(self, fun: Callable[[], Any]) -> None:
        """Call `fun` when the scenario is over, however it ends."""
        self._stack.callback(fun)

    # -- doing

    def publish(self, to: Any, *bodies: Any, key: str | None = None, **options: Any) -> None:
        """Publish `bodies` to a bound queue or exchange, each with a call of `Producer.publish`."""
        producer: Any = Producer(to.channel, auto_declare=False)
        if isinstance(to, Queue):
            target = {'exchange': '', 'routing_key': to.name if key is None else key}
        else:
            target = {'exchange': to.name, 'routing_key': key or ''}
        for body in bodies:
            producer.publish(body, **target, **options)
        self._published = time.monotonic()

    def take(self, queue: Any, timeout: float = 5.0, **options: Any) -> Any:
        """Get a message from a bound queue, waiting for one to be there."""
        return eventually(
            lambda: queue.get(**options),
            timeout * self.target.patience,
            what=f'a message in {queue.name}',
        )

    def take_all(self, queue: Any, count: int, timeout: float = 5.0) -> list[Any]:
        """Get `count` messages and leave them unacknowledged."""
        return [self.take(queue, timeout) for _ in range(count)]

    def contents(self, queue: Any, count: int | None = None, timeout: float = 5.0) -> list[Any]:
        """Empty a bound queue and return the decoded bodies.

        Args:
            queue: the queue.
            count: how many to wait for; more than that are returned too.
            timeout: seconds to wait.
        """
        bodies: list[Any] = []
        start = time.monotonic()
        end = start + timeout * self.target.patience
        # What is more than was waited for must be there when publishing has settled.
        settled = self.target.settle + (start if count is None else self._published)
        while True:
            now = time.monotonic()
            message = queue.get(no_ack=True)
            if message is not None:
                bodies.append(message.decode())
            elif now > (settled if count is None or len(bodies) >= count else end):
                return bodies
            else:
                time.sleep(0.01)

    def in_order(self, returned: list[Any]) -> list[Any]:
        """Return the bodies of messages that came back, for comparing them.

        Where the transport does not promise that they go back to the head of the queue, their
        order says nothing, and they are sorted.
        """
        ordered = self.target.ordered and 'requeue_head' in self.target.claims()
        return returned if ordered else sorted(returned)

    def empty(self, queue: Any, why: str) -> None:
        """Check that a bound queue has nothing to give."""
        bodies = self.contents(queue)
        check(not bodies, f'{why}: the queue has {bodies}')

    def sleep(self, seconds: float) -> None:
        """Let time pass for the broker: turn its clock, or wait."""
        if self.target.clock is not None:
            self.target.clock.advance(seconds)
        else:
            time.sleep(seconds)

    def wait(self, channels: Iterable[Any], done: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Drain the connections of `channels` until `done()`; tell whether it came to that."""
        return drain(channels, done, timeout * self.target.patience)

    def ends(self, seconds: float, fun: Callable[[], Any], what: str) -> Any:
        """Call `fun` and return its result, or the exception it raised; fail where it does not end.

        Raises:
            Hung: it did not end within `seconds`.
        """
        try:
            return within(seconds * self.target.patience, fun, what)
        except Hung:
            raise
        except Exception as exc:
            return exc

    @staticmethod
    def now() -> float:
        """Monotonic time in seconds."""
        return time.monotonic()

    def later(self, seconds: float, fun: Callable[[], Any]) -> float:
        """Call `fun` in a thread of its own in so many seconds; return the time of this call."""
        timer = threading.Timer(seconds, fun)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.join, 5)
        return time.monotonic()

    @staticmethod
    def errors(connection: Any) -> tuple[type[BaseException], ...]:
        """What a caller of this connection has to expect when something is wrong."""
        return (*connection.connection_errors, *connection.channel_errors, KombuError)

    @staticmethod
    def refusals(connection: Any) -> tuple[type[BaseException], ...]:
        """What a caller of this connection may meet who asks for the impossible."""
        return (*Bench.errors(connection), ValueError, TypeError, OverflowError)

    def count(self, queue: Any) -> int:
        """Ask how many messages are ready in a bound queue."""
        _, messages, _ = queue.channel.queue_declare(
            queue=queue.name, passive=True, auto_delete=False
        )
        return int(messages)

    def exists(self, queue: Any, connection: Any = None) -> bool:
        """Ask, on a channel of its own, whether a queue exists."""
        connection = connection or client_of(queue.channel)
        try:
            with connection.channel() as channel:
                channel.queue_declare(queue=queue.name, passive=True)
        except connection.channel_errors:
            return False
        return True

    # -- putting away

    def close(self) -> None:
        """Release every connection, end every child, delete every queue and exchange."""
        try:
            self._stack.close()
        finally:
            self._delete()

    def _delete(self) -> None:
        if not (self._queues or self._exchanges):
            return
        with self.target.connection() as connection:
            for method, names in (
                ('queue_delete', self._queues),
                ('exchange_delete', self._exchanges),
            ):
                for name in dict.fromkeys(names):
                    with suppress(Exception):  # many are gone already
                        channel = connection.default_channel
                        getattr(channel, method)(name)
