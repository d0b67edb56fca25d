"""Queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.abstract import Attribute, MaybeChannelBound
from kombu.entity._declared import forget, frozen
from kombu.entity._exchange import Exchange, binding, name_of, to_exchange
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('Queue', 'pretty_bindings')

#: Attributes that the channel turns into arguments of the declaration, in its broker's words.
LIMITS = ('expires', 'message_ttl', 'max_length', 'max_length_bytes', 'max_priority')

#: Attributes in which equal queues agree.
IDENTITY = (
    'name', 'exchange', 'routing_key', 'bindings', 'queue_arguments', 'binding_arguments',
    'consumer_arguments', 'durable', 'exclusive', 'auto_delete', *LIMITS,
)  # fmt: skip

#: Options that `Queue.from_dict` hands to the exchange it makes: option, fallback, argument of
#: `Exchange`.
EXCHANGE_OPTIONS = (
    ('exchange_type', None, 'type'),
    ('delivery_mode', None, 'delivery_mode'),
    ('exchange_durable', 'durable', 'durable'),
    ('exchange_auto_delete', 'auto_delete', 'auto_delete'),
    ('exchange_arguments', None, 'arguments'),
)


def pretty_bindings(bindings: Iterable[Any]) -> str:
    """Show bindings in one line."""
    return f'[{", ".join(map(str, bindings))}]'


def _to_binding(value: Any) -> binding:
    if isinstance(value, Mapping):
        return binding(**value)
    if not isinstance(value, binding):
        raise TypeError(
            f'{value!r} is no binding: use kombu.binding(exchange, routing_key), or a dict of those'
        )
    return value


class Queue(MaybeChannelBound):
    """Where messages wait for consumers.

    Args:
        name: its name; with '' the broker makes one up when it is declared (AMQP 0-9-1,
            queue.declare).
        exchange: what it is bound to: an `Exchange` or the name of one.  None: nothing but the
            default exchange, by which it receives what is published with its name as routing key.
            A list of bindings is taken for `bindings`.
        routing_key: the binding key, for `exchange`.
        channel: a channel or connection to bind to at once.
        bindings: further things to bind it to: `binding` objects, or dicts of their attributes.
        on_declared: called with name, number of messages and number of consumers once it is
            declared.
        kwargs: the attributes below.

    Attributes:
        durable (bool): it survives a restart of the broker; True by default.
        exclusive (bool): only the declaring connection may use it, and it goes with the connection;
            implies `auto_delete`.
        auto_delete (bool): it is deleted after its last consumer has gone.
        expires (float): seconds after which it is deleted when unused.
        message_ttl (float): seconds after which messages in it expire.
        max_length (int): the most messages it may hold.
        max_length_bytes (int): the most bytes that messages in it may have.
        max_priority (int): the highest priority it distinguishes.
        queue_arguments (dict): further arguments of the declaration, e.g. `{'x-queue-type':
            'quorum'}`.
        binding_arguments (dict): arguments of the binding to `exchange`.
        consumer_arguments (dict): arguments for consuming, e.g. `{'x-priority': 3}`.
        no_ack (bool): deliveries need no acknowledgement: faster, and lost with the consumer.
        alias (str): a name that is for applications only.
        no_declare (bool): never declare it, it exists.
    """

    __module__ = 'kombu.entity'  # where pickles look for it, also those read by kombu 5.x

    ContentDisallowed = ContentDisallowed

    name: str = ''
    exchange: Exchange | None = Exchange('')
    routing_key: str = ''
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    no_ack: bool = False

    queue_arguments: dict[str, Any] | None
    binding_arguments: dict[str, Any] | None
    consumer_arguments: dict[str, Any] | None
    bindings: set[binding]
    alias: str | None
    no_declare: bool | None
    expires: float | None
    message_ttl: float | None
    max_length: int | None
    max_length_bytes: int | None
    max_priority: int | None

    attrs: ClassVar[tuple[Attribute, ...]] = (
        ('name', None),
        ('exchange', None),
        ('routing_key', None),
        ('queue_arguments', None),
        ('binding_arguments', None),
        ('consumer_arguments', None),
        ('durable', bool),
        ('exclusive', bool),
        ('auto_delete', bool),
        ('no_ack', None),
        ('alias', None),
        ('bindings', list),
        ('no_declare', bool),
        ('expires', float),
        ('message_ttl', float),
        ('max_length', int),
        ('max_length_bytes', int),
        ('max_priority', int),
    )
    _further_arguments = ('channel', 'on_declared')

    #: Whether the broker made up the name.
    _named_by_broker: bool = False

    def __init__(
        self,
        name: str | None = '',
        exchange: Exchange | str | binding | Iterable[binding] | None = None,
        routing_key: str | None = '',
        channel: Any = None,
        bindings: Iterable[binding] | None = None,
        on_declared: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = name or self.name
        self.routing_key = routing_key or self.routing_key
        self.bindings = {_to_binding(item) for item in bindings or ()}
        if isinstance(exchange, binding):
            exchange = (exchange,)
        if isinstance(exchange, (list, tuple, set, frozenset)):
            self.bindings.update(map(_to_binding, exchange))
            exchange = None
        if exchange is not None:
            self.exchange = to_exchange(exchange)
        else:
            # The default belongs to this queue alone: applications give it a name afterwards.
            self.exchange = None if self.bindings else copy(self.exchange)
        self.on_declared = on_declared
        super().__init__(**kwargs)
        if self.exclusive:
            self.auto_delete = True
        self.maybe_bind(channel)

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin.bindings = set(self.bindings)
        return twin

    def __hash__(self) -> int:
        return hash(('queue', self.name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Queue):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in IDENTITY)

    @property
    def can_cache_declaration(self) -> bool:  # type: ignore[override] # computed, where the base has a constant
        """Whether one declaration lasts: it has a name, and the broker does not delete it."""
        if self.auto_delete or self.expires is not None or not self.name:
            return False
        return not self.queue_arguments or 'x-expires' not in self.queue_arguments

    @property
    def declaration_key(self) -> tuple[Any, ...]:
        """What is said to the broker when it is declared, as a hashable value."""
        exchange, bindings = self.exchange, self.bindings
        arguments, binding_arguments = self.queue_arguments, self.binding_arguments
        return (
            'queue',
            self.name,
            None if exchange is None else exchange.declaration_key,
            self.routing_key,
            self.durable,
            self.exclusive,
            self.auto_delete,
            self.no_declare,
            self.expires,
            self.message_ttl,
            self.max_length,
            self.max_length_bytes,
            self.max_priority,
            frozen(arguments) if arguments else None,
            frozen(binding_arguments) if binding_arguments else None,
            frozenset(item.declaration_key for item in bindings) if bindings else None,
        )

    def when_bound(self) -> None:
        """Bind the exchange to the channel, too."""
        if self.exchange is not None:
            self.exchange = self.exchange.bind(self._channel)

    def revive(self, channel: Any) -> None:
        """Move to another channel, after the old one was lost.

        A name made up by the broker went with the queue it was for, so another one is asked for:
        such names cannot be chosen by a client (RabbitMQ, "Server-named Queues").
        """
        if self._named_by_broker and self.auto_delete:
            self.name = ''
        super().revive(channel)

    def declare(self, nowait: bool = False, channel: Any = None) -> str:
        """Declare its exchange, the queue, and its bindings, in this order.

        Args:
            nowait: do not wait for the broker's answers.
            channel: where to, instead of the channel it is bound to.

        Returns:
            its name.

        Raises:
            NotBoundError: there is no channel.
        """
        if not self.no_declare:
            channel = self._resolve_channel(channel)
            exchange = self.exchange
            if exchange is not None:
                exchange.declare(nowait=nowait, channel=channel)
            self.queue_declare(nowait=nowait, channel=channel)
            if exchange is not None and exchange.name:
                self.bind_to(
                    exchange,
                    self.routing_key,
                    self.binding_arguments,
                    nowait=nowait,
                    channel=channel,
                )
            for item in self._sorted_bindings():
                item.declare(channel, nowait=nowait)
                item.bind(self, nowait=nowait, channel=channel)
        return self.name

    def _sorted_bindings(self) -> list[binding]:
        # A set has no order of its own, and the order of declarations should not differ from run to
        # run.
        return sorted(self.bindings, key=str)

    def queue_declare(
        self, nowait: bool = False, passive: bool = False, channel: Any = None
    ) -> Any:
        """Declare the queue alone (AMQP 0-9-1, queue.declare).

        Args:
            nowait: do not wait for the broker's answer; a queue without a name waits, to learn it.
            passive: only ask whether it exists and how many messages it holds.
            channel: where to, instead of the channel it is bound to.

        Returns:
            `(name, messages, consumers)`, if there was an answer.
        """
        channel = self._resolve_channel(channel)
        answer = channel.queue_declare(
            queue=self.name,
            passive=passive,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
            arguments=channel.prepare_queue_arguments(
                self.queue_arguments or {},
                expires=self.expires,
                message_ttl=self.message_ttl,
                max_length=self.max_length,
                max_length_bytes=self.max_length_bytes,
                max_priority=self.max_priority,
            ),
            nowait=nowait and bool(self.name),
        )
        if answer:
            if not self.name:
                self.name = answer[0]
                self._named_by_broker = True
            if self.on_declared:
                self.on_declared(*answer)
        return answer

    def queue_bind(self, nowait: bool = False, channel: Any = None) -> Any:
        """Bind the queue to its exchange; one that has only `bindings` is bound to those."""
        if self.exchange is None:
            for item in self._sorted_bindings():
                item.bind(self, nowait=nowait, channel=channel)
            return None
        return self.bind_to(
            self.exchange, self.routing_key, self.binding_arguments, nowait=nowait, channel=channel
        )

    def queue_unbind(
        self, arguments: dict[str, Any] | None = None, nowait: bool = False, channel: Any = None
    ) -> Any:
        """Undo `queue_bind`.

        Args:
            arguments: of the binding; None: `binding_arguments`.
            nowait: do not wait for the broker's answer.
            channel: where to, instead of the channel it is bound to.
        """
        if self.exchange is None:
            for item in self._sorted_bindings():
                item.unbind(self, nowait=nowait, channel=channel)
            return None
        if arguments is None:
            arguments = self.binding_arguments
        return self.unbind_from(self.exchange, self.routing_key, arguments, nowait, channel)

    def bind_to(
        self,
        exchange: Exchange | str = '',
        routing_key: str = '',
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Bind the queue to an exchange (AMQP 0-9-1, queue.bind).

        Args:
            exchange: what to.
            routing_key: the binding key.
            arguments: of the binding, e.g. what a headers exchange matches.
            nowait: do not wait for the broker's answer.
            channel: where to, instead of the channel the queue is bound to.
        """
        return self._resolve_channel(channel).queue_bind(
            queue=self.name,
            exchange=name_of(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def unbind_from(
        self,
        exchange: Exchange | str = '',
        routing_key: str = '',
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Undo `bind_to`, given the same key and arguments (AMQP 0-9-1, queue.unbind)."""
        return self._resolve_channel(channel).queue_unbind(
            queue=self.name,
            exchange=name_of(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def get(self, no_ack: bool | None = None, accept: Iterable[str] | None = None) -> Any:
        """Take one message, if there is one (AMQP 0-9-1, basic.get).

        Args:
            no_ack: it needs no acknowledgement; None: as the attribute says.
            accept: content types, or names of serializers, that may be decoded; None: all that are
                not disabled.

        Returns:
            the message, or None.  What is wrong with it shows when it is decoded, so that it can be
            rejected.
        """
        # Checked first: an unknown name must not cost a message.
        accepted = prepare_accept_content(accept)
        channel = self.channel
        message = channel.basic_get(
            queue=self.name, no_ack=self.no_ack if no_ack is None else no_ack
        )
        if message is not None:
            convert = getattr(channel, 'message_to_python', None)
            if convert is not None:
                message = convert(message)
            message.accept = accepted
        return message

    def purge(self, nowait: bool = False) -> int:
        """Drop the messages that wait in it (AMQP 0-9-1, queue.purge); return how many."""
        return self.channel.queue_purge(queue=self.name, nowait=nowait) or 0

    def consume(
        self,
        consumer_tag: str = '',
        callback: Callable[[Any], Any] | None = None,
        no_ack: bool | None = None,
        nowait: bool = False,
        on_cancel: Callable[[str], Any] | None = None,
    ) -> Any:
        """Start a consumer (AMQP 0-9-1, basic.consume).

        Args:
            consumer_tag: its name; with '' the broker makes one up.
            callback: called with each message, as the channel has it.
            no_ack: deliveries need no acknowledgement; None: as the attribute says.
            nowait: do not wait for the broker's answer.
            on_cancel: called with the tag when the broker cancels the consumer, e.g. as the queue
                was deleted.
        """
        return self.channel.basic_consume(
            queue=self.name,
            no_ack=self.no_ack if no_ack is None else no_ack,
            consumer_tag=consumer_tag,
            callback=callback,
            nowait=nowait,
            arguments=self.consumer_arguments,
            on_cancel=on_cancel,
        )

    def cancel(self, consumer_tag: str) -> Any:
        """Stop the consumer of that tag (AMQP 0-9-1, basic.cancel)."""
        return self.channel.basic_cancel(consumer_tag)

    def delete(self, if_unused: bool = False, if_empty: bool = False, nowait: bool = False) -> Any:
        """Delete it (AMQP 0-9-1, queue.delete).

        Args:
            if_unused: refuse, by a channel error, while it has consumers.
            if_empty: refuse, by a channel error, while it holds messages.
            nowait: do not wait for the broker's answer.

        Returns:
            the number of messages deleted with it.
        """
        channel = self.channel
        forget(channel, 'queue', self.name)
        return channel.queue_delete(
            queue=self.name, if_unused=if_unused, if_empty=if_empty, nowait=nowait
        )

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """Return the declared attributes by name.

        Args:
            recurse: turn exchange and bindings into dicts, too.
        """
        result = super().as_dict(recurse)
        bindings = self._sorted_bindings()
        result['bindings'] = (
            [item.as_dict(recurse=True) for item in bindings] if recurse else bindings
        )
        return result

    @classmethod
    def from_dict(cls, queue: str, **options: Any) -> Self:
        """Make a queue, with its exchange, from flat options.

        Args:
            queue: the name of the queue.
            options: attributes of the queue; `exchange` (name, `Exchange`, or dict),
                `exchange_type`, `delivery_mode`, `exchange_arguments`; `binding_key`, or
                `routing_key`; `durable` and `auto_delete` for both, unless preceded by `queue_` or
                `exchange_`.
        """
        exchange = options.pop('exchange', None)
        durable, auto_delete = options.get('durable'), options.get('auto_delete')
        for_exchange = {
            argument: options.get(option, options.get(fallback) if fallback else None)
            for option, fallback, argument in EXCHANGE_OPTIONS
        }
        for option, _, _ in EXCHANGE_OPTIONS:
            options.pop(option, None)
        if isinstance(exchange, str) or (exchange is None and not options.get('bindings')):
            exchange = Exchange(exchange, **for_exchange)
        key = options.pop('binding_key', None)
        routing_key = options.pop('routing_key', None)
        options['durable'] = options.pop('queue_durable', durable)
        options['auto_delete'] = options.pop('queue_auto_delete', auto_delete)
        return cls(queue, exchange=exchange, routing_key=key or routing_key, **options)

    def __repr__(self) -> str:
        if self.bindings:
            where = pretty_bindings(self._sorted_bindings())
            if self.exchange is not None:
                where = f'{self.exchange!r} -> {self.routing_key} {where}'
        else:
            where = f'{self.exchange!r} -> {self.routing_key}'
        return self._describe(f'Queue {self.name} -> {where}')
