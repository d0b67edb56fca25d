"""A channel that records what it is asked, for tests of the client API.

    channel = FakeChannel()
    Queue('q')(channel).declare()
    assert channel.names() == ['queue_declare']
    assert channel.last('queue_declare')['queue'] == 'q'

For what happens over broken connections there is `t.unit.fakes`; for messages that arrive, `memory://`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.transport.base import StdChannel

__all__ = ('ChannelFailure', 'FakeChannel', 'FakeClient', 'LinkFailure')


class LinkFailure(OSError):
    """The error of a broken connection."""


class ChannelFailure(Exception):
    """The error of a closed channel."""


class FakeImplements:
    def __init__(self, batch_publish: bool) -> None:
        self.batch_publish = batch_publish


class FakeTransport:
    driver_type = driver_name = 'fake'

    def __init__(self, batch_publish: bool = False) -> None:
        self.implements = FakeImplements(batch_publish)


class FakeClient:
    """The `kombu.Connection` of a fake channel."""

    connection_errors = (LinkFailure,)
    channel_errors = (ChannelFailure,)

    def __init__(self, batch_publish: bool = False) -> None:
        self.connected = True
        self.declared_entities: set[Any] = set()
        self.transport = FakeTransport(batch_publish)
        self.transport_options: dict[str, Any] = {}
        self.ensured: list[dict[str, Any]] = []
        self.events: list[Callable[[], Any]] = []
        self.timeouts: list[float | None] = []

    def ensure(self, obj: Any, fun: Callable[..., Any], **policy: Any) -> Callable[..., Any]:
        self.ensured.append(policy)
        return fun

    def drain_events(self, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        if not self.events:
            raise TimeoutError('nothing to read')
        return self.events.pop(0)()


class FakeLink:
    """What `channel.connection` is."""

    def __init__(self, client: FakeClient) -> None:
        self.client = client


class FakeChannel(StdChannel):
    """Accept and record any method of py-amqp's channel.

    Args:
        client: the connection it belongs to.
        fail: an error by the name of the method that raises it.
    """

    connection: FakeLink | None

    def __init__(
        self,
        client: FakeClient | None = None,
        fail: dict[str, BaseException] | None = None,
        channel_id: int = 1,
    ) -> None:
        self.client = FakeClient() if client is None else client
        self.connection = FakeLink(self.client)
        self.fail = {} if fail is None else fail
        self.channel_id = channel_id
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.events: dict[str, set[Any]] = {'basic_return': set()}
        self.no_ack_consumers: set[str] = set()
        self.messages: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith(('basic_', 'exchange_', 'queue_', 'flow')):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            if name in self.fail:
                raise self.fail[name]
            if name == 'queue_declare':
                return kwargs['queue'] or f'amq.gen-{len(self.calls)}', 3, 1
            if name == 'queue_purge':
                return 2
            if name == 'basic_get':
                return self.messages.pop(0) if self.messages else None
            return None

        return call

    def prepare_message(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return 'message', args, kwargs

    def after_reply_message_received(self, queue: str) -> None:
        self.calls.append(('after_reply_message_received', (queue,), {}))

    def close(self) -> None:
        self.connection = None

    # -- what a test asks

    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def all(self, name: str) -> list[dict[str, Any]]:
        """Return the keyword arguments of every call of `name`."""
        return [kwargs for called, _, kwargs in self.calls if called == name]

    def last(self, name: str) -> dict[str, Any]:
        """Return the keyword arguments of the last call of `name`."""
        return self.all(name)[-1]

    def args(self, name: str) -> tuple[Any, ...]:
        """Return the positional arguments of the last call of `name`."""
        return [args for called, args, _ in self.calls if called == name][-1]

    def clear(self) -> None:
        self.calls.clear()

    def __repr__(self) -> str:
        return f'<FakeChannel {self.channel_id}>'
