"""The native transport contract.

A *transport* turns a broker's client library into connections and channels that speak the words
of AMQP 0-9-1. Five methods are required (`establish_connection`, `close_connection`,
`create_channel`, `close_channel`, `drain_events`); everything else has an honest default.
Transports over a plain store do not start here but at `kombu.transport.virtual`, which implements
this contract on top of three methods.

What a transport can do is declared once, in `Transport.implements`.  The documentation tables,
the conformance suite (`kombu.testing`) and the warnings for unsupported features are all derived
from that declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kombu import _late
from kombu.exceptions import ChannelError, ConnectionError
from kombu.message import Message
from kombu.utils.functional import dictfilter
from kombu.utils.objects import cached_property
from kombu.utils.time import maybe_s_to_ms
from kombu.utils.url import sanitize_url

__all__ = ('CAPABILITIES', 'Implements', 'Management', 'Message', 'StdChannel', 'Transport')

#: Queue options of `kombu.Queue` that are queue arguments on the wire: name and conversion.
RABBITMQ_QUEUE_ARGUMENTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'expires': ('x-expires', maybe_s_to_ms),
    'message_ttl': ('x-message-ttl', maybe_s_to_ms),
    'max_length': ('x-max-length', int),
    'max_length_bytes': ('x-max-length-bytes', int),
    'max_priority': ('x-max-priority', int),
}

#: What a transport can claim in `implements`, and what the claim means.
CAPABILITIES: dict[str, str] = {
    'asynchronous': 'runs on the event loop without blocking it',
    'heartbeats': 'notices a dead peer by heartbeats',
    'batch_publish': 'sends several messages in one round trip',
    'persistent': 'messages survive a restart of the broker',
    'processes': 'several processes share one broker',
    'virtual_hosts': 'virtual hosts are isolated from each other',
    'priority': 'higher `priority` first in queues with `x-max-priority`',
    'message_ttl': 'the `expiration` of a message is honoured',
    'queue_ttl': 'the `x-message-ttl` of a queue is honoured',
    'queue_expires': 'a queue unused for `x-expires` is deleted',
    'dead_letter': '`x-dead-letter-exchange` receives what is rejected or expires, with `x-death`',
    'max_length': '`x-max-length` drops the oldest message',
    'max_length_bytes': '`x-max-length-bytes` drops the oldest messages',
    'overflow_reject': '`x-overflow` may be `reject-publish` or `reject-publish-dlx`',
    'delay': 'exchanges of type `x-delayed-message` honour the header `x-delay`',
    'alternate_exchange': '`alternate-exchange` receives what an exchange cannot route',
    'exchange_bind': 'exchanges can be bound to exchanges',
    'mandatory': 'an unroutable message published with `mandatory` is returned',
    'confirms': 'publishing returns after the broker has taken responsibility',
    'exclusive': 'exclusive queues belong to one connection and go with it',
    'auto_delete': 'auto-delete queues and exchanges go with their last user',
    'passive': 'passive declaration tells whether a queue exists',
    'inequivalent': 'redeclaring with other arguments is refused',
    'consumer_prefetch': 'prefetch is counted for each consumer',
    'recover': '`basic_recover` redelivers what is not acknowledged',
    'requeue_head': 'a requeued message goes back to the head of its queue',
    'delivery_count': 'redelivered messages tell how often, in the header `x-delivery-count`',
    'lease': 'a message is taken under a lease that a dead holder loses after a timeout',
}


def to_rabbitmq_queue_arguments(
    arguments: Mapping[str, Any] | None, **options: Any
) -> dict[str, Any]:
    """Merge queue options into queue arguments.

    Args:
        arguments: queue arguments as they go on the wire (`x-...`).
        options: any of `expires`, `message_ttl` (seconds), `max_length`, `max_length_bytes`,
            `max_priority`; None means not set.

    Returns:
        A new dict; an option that is set wins over the argument of the same meaning.

    Raises:
        KeyError: an option is none of these.
    """
    prepared = dictfilter(
        {
            RABBITMQ_QUEUE_ARGUMENTS[name][0]: None
            if value is None
            else RABBITMQ_QUEUE_ARGUMENTS[name][1](value)
            for name, value in options.items()
        }
    )
    return {**arguments, **prepared} if arguments else prepared


class Implements(dict[str, Any]):
    """What a transport can do, by name: attributes over a dict.

    A name that was never declared reads as an error, so that a misspelt capability cannot pass
    for a missing one.
    """

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def extend(self, **kwargs: Any) -> Implements:
        """Return a copy in which `kwargs` replace or add capabilities."""
        return self.__class__(self, **kwargs)


#: The least a transport can do; `Transport.implements` of a driver extends it.
default_transport_capabilities = Implements(
    dict.fromkeys(CAPABILITIES, False),
    exchange_type=frozenset({'direct', 'topic', 'fanout', 'headers'}),
)


class StdChannel:
    """What every channel has, whatever the transport."""

    #: Tags of the consumers whose messages are settled by delivery.
    no_ack_consumers: set[str] | None = None

    def Consumer(self, *args: Any, **kwargs: Any) -> Any:
        """Make a `kombu.Consumer` on this channel."""
        return _late.Consumer(self, *args, **kwargs)

    def Producer(self, *args: Any, **kwargs: Any) -> Any:
        """Make a `kombu.Producer` on this channel."""
        return _late.Producer(self, *args, **kwargs)

    def get_bindings(self) -> Iterable[Any]:
        """List the bindings of the broker, where the transport can know them.

        Raises:
            NotImplementedError: it cannot.
        """
        raise NotImplementedError(f'{type(self).__module__} cannot list bindings')

    def after_reply_message_received(self, queue: str) -> None:
        """React to a reply having arrived in `queue`; a transport may delete the queue then."""

    def prepare_queue_arguments(
        self, arguments: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        """Turn options of `kombu.Queue` into queue arguments; see `to_rabbitmq_queue_arguments`."""
        return to_rabbitmq_queue_arguments(arguments, **kwargs)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    if TYPE_CHECKING:

        def close(self) -> None: ...


class Management:
    """Asks the broker about itself; `Transport.get_manager` makes it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def get_bindings(self) -> Iterable[Any]:
        """List the bindings of the virtual host."""
        raise NotImplementedError(f'{self.transport.driver_name} has no way to list bindings')


class Transport:
    """Base of the transports.

    A transport belongs to one `kombu.Connection` (its `client`) and makes the driver's
    connections for it.
    """

    Management: type[Any] = Management

    #: The `kombu.Connection` this belongs to: host, credentials, options.
    client: Any = None
    #: True: the whole URL is the driver's to understand, `parse_url` leaves it alone.
    can_parse_url: bool = False
    #: Port used where the URL names none.
    default_port: int | None = None

    #: Errors after which the connection must be made anew.
    connection_errors: tuple[type[BaseException], ...] = (ConnectionError,)
    #: Errors after which the channel must be made anew.
    channel_errors: tuple[type[BaseException], ...] = (ChannelError,)

    #: The family of the broker ('amqp', 'redis', 'sql', ...) and the client library in use.
    driver_type: str = 'N/A'
    driver_name: str = 'N/A'

    implements: Implements = default_transport_capabilities.extend()

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.client = client

    def establish_connection(self) -> Any:
        """Connect to the broker.

        Must either return a usable connection or raise one of `connection_errors` within the
        client's `connect_timeout` (seconds).
        """
        raise self._missing('establish_connection')

    def close_connection(self, connection: Any) -> None:
        """Close `connection` and all its channels.

        Idempotent, bounded in time, never raises for a dead peer.
        """
        raise self._missing('close_connection')

    def create_channel(self, connection: Any) -> Any:
        """Open a channel on `connection`."""
        raise self._missing('create_channel')

    def close_channel(self, connection: Any) -> None:
        """Close the channel given (the parameter has its historical name).  Idempotent."""
        raise self._missing('close_channel')

    def drain_events(self, connection: Any, timeout: float | None = None) -> Any:
        """Wait for one event and run its callbacks in the calling thread.

        Args:
            connection: as returned by `establish_connection`.
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: nothing happened in that time.
        """
        raise self._missing('drain_events')

    def _missing(self, method: str) -> NotImplementedError:
        return NotImplementedError(
            f'{type(self).__module__}.{type(self).__name__} has no {method}()'
        )

    def driver_version(self) -> str:
        """Return the version of the client library, 'N/A' where it tells none."""
        return 'N/A'

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Send or verify heartbeats.

        Called `rate` times an interval.  Without heartbeats: nothing to do.
        """

    def get_heartbeat_interval(self, connection: Any) -> float:
        """Return the negotiated interval in seconds, 0 where there are no heartbeats."""
        return 0

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """Tell whether `apply_global=False` of `basic_qos` means the whole channel (AMQP 0-9-1).

        RabbitMQ since 3.3 counts for each consumer instead
        (https://www.rabbitmq.com/docs/consumer-prefetch).
        """
        return True

    def verify_connection(self, connection: Any) -> bool:
        """Tell, without waiting, whether `connection` still looks usable."""
        return True

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the event loop deliver this connection's messages."""
        raise NotImplementedError(f'{self.driver_name} does not run on the event loop')

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Undo `register_with_event_loop`."""

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Handle all events that are ready on `connection`, without waiting.

        Called by the event loop when the connection's socket is readable.
        """
        drain = self.drain_events
        try:
            while True:
                drain(connection, timeout=0)
        except TimeoutError:
            return
        except BlockingIOError:
            return

    def as_uri(self, uri: str, include_password: bool = False, mask: str = '**') -> str:
        """Return `uri` in the form this transport shows it; only asked where `can_parse_url`."""
        return uri if include_password else sanitize_url(uri, mask=mask)

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """Make a new management client."""
        return self.Management(self)

    @cached_property
    def manager(self) -> Any:
        """The management client."""
        return self.get_manager()

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """What `kombu.Connection` fills in where neither URL nor arguments say anything."""
        return {}

    @property
    def supports_heartbeats(self) -> bool:
        """Whether `heartbeat_check` does anything."""
        return bool(self.implements.heartbeats)

    @property
    def supports_ev(self) -> bool:
        """Whether `register_with_event_loop` works."""
        return bool(self.implements.asynchronous)
