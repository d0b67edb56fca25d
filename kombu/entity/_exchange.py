"""Exchanges and bindings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kombu.abstract import Attribute, MaybeChannelBound, Object
from kombu.entity._declared import forget, frozen

__all__ = ('Exchange', 'binding', 'maybe_delivery_mode')

#: AMQP 0-9-1, basic properties, delivery-mode.
TRANSIENT_DELIVERY_MODE = 1
PERSISTENT_DELIVERY_MODE = 2
DELIVERY_MODES: dict[str, int] = {
    'transient': TRANSIENT_DELIVERY_MODE,
    'persistent': PERSISTENT_DELIVERY_MODE,
}

#: Exchanges with such a name are the broker's own (AMQP 0-9-1, exchange.declare): they are used,
#: not declared.
INTERNAL_EXCHANGE_PREFIX = ('amq.',)


def maybe_delivery_mode(
    v: int | str | None,
    modes: Mapping[str, int] | None = None,
    default: int | None = PERSISTENT_DELIVERY_MODE,
) -> Any:
    """Return the number of a delivery mode.

    Args:
        v: its name or its number; None, 0 and '' stand for the default.
        modes: numbers by name; None: `DELIVERY_MODES`.
        default: what nothing stands for.

    Raises:
        KeyError: there is no mode of that name.
    """
    if not v:
        return default
    if isinstance(v, int):
        return v
    known = DELIVERY_MODES if modes is None else modes
    try:
        return known[v]
    except KeyError:
        raise KeyError(
            f'unknown delivery mode {v!r}: use one of {", ".join(known)}, or a number'
        ) from None


class Exchange(MaybeChannelBound):
    """Where messages are published to; it passes them on to the queues that are bound to it.

    Args:
        name: its name; '' is the default exchange, which routes to the queue named by the routing
            key.
        type: how it routes: 'direct' (the default), 'topic', 'fanout', 'headers', or what a
            broker's plug-in adds.
        channel: a channel or connection to bind to at once.
        kwargs: the attributes below.

    Attributes:
        durable (bool): it survives a restart of the broker; True by default.
        auto_delete (bool): it is deleted after the last queue was unbound; False by default.
        delivery_mode (int | str): 'transient' (1) or 'persistent' (2), for messages published to it
            without one; 'persistent' by default.
        arguments (dict): for the broker, e.g. `{'alternate-exchange': 'unrouted'}`.
        no_declare (bool): never declare it, it exists.
        passive (bool): declaring only verifies that it exists.
    """

    __module__ = 'kombu.entity'  # where pickles look for it, also those read by kombu 5.x

    TRANSIENT_DELIVERY_MODE = TRANSIENT_DELIVERY_MODE
    PERSISTENT_DELIVERY_MODE = PERSISTENT_DELIVERY_MODE

    name: str = ''
    type: str = 'direct'
    durable: bool = True
    auto_delete: bool = False
    passive: bool = False
    delivery_mode: int | None = None
    no_declare: bool = False
    arguments: dict[str, Any] | None

    attrs: ClassVar[tuple[Attribute, ...]] = (
        ('name', None),
        ('type', None),
        ('arguments', None),
        ('durable', bool),
        ('passive', bool),
        ('auto_delete', bool),
        ('delivery_mode', maybe_delivery_mode),
        ('no_declare', bool),
    )
    _further_arguments = ('channel',)

    def __init__(
        self, name: str | None = '', type: str | None = '', channel: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.name = name or self.name
        self.type = type or self.type
        self.maybe_bind(channel)

    def __hash__(self) -> int:
        return hash(('exchange', self.name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exchange):
            return NotImplemented
        return (
            self.name == other.name
            and self.type == other.type
            and self.arguments == other.arguments
            and self.durable == other.durable
            and self.auto_delete == other.auto_delete
            and self.delivery_mode == other.delivery_mode
        )

    @property
    def can_cache_declaration(self) -> bool:  # type: ignore[override] # computed, where the base has a constant
        """Whether one declaration lasts: the broker does not delete it by itself."""
        return not self.auto_delete

    @property
    def declaration_key(self) -> tuple[Any, ...]:
        """What is said to the broker when it is declared, as a hashable value."""
        arguments = self.arguments
        return (
            'exchange',
            self.name,
            self.type,
            self.durable,
            self.auto_delete,
            self.passive,
            self.no_declare,
            frozen(arguments) if arguments else None,
        )

    def _can_declare(self) -> bool:
        name = self.name
        return bool(name) and not self.no_declare and not name.startswith(INTERNAL_EXCHANGE_PREFIX)

    def declare(
        self, nowait: bool = False, passive: bool | None = None, channel: Any = None
    ) -> None:
        """Declare it, unless it is the broker's own or `no_declare` is set.

        See AMQP 0-9-1, exchange.declare.

        Args:
            nowait: do not wait for the broker's answer.
            passive: only verify that it exists; None: as the attribute says.
            channel: where to, instead of the channel it is bound to.

        Raises:
            NotBoundError: there is no channel.
        """
        if self._can_declare():
            self._resolve_channel(channel).exchange_declare(
                exchange=self.name,
                type=self.type,
                durable=self.durable,
                auto_delete=self.auto_delete,
                arguments=self.arguments,
                nowait=nowait,
                passive=self.passive if passive is None else passive,
            )

    def bind_to(
        self,
        exchange: Exchange | str = '',
        routing_key: str = '',
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Have it receive what `exchange` routes by `routing_key`.

        See RabbitMQ, "Exchange to Exchange Bindings".

        Args:
            exchange: the source.
            routing_key: the binding key.
            arguments: of the binding, e.g. what a headers exchange matches.
            nowait: do not wait for the broker's answer.
            channel: where to, instead of the channel it is bound to.
            kwargs: nothing; names that are not known are warned of.
        """
        if kwargs:
            self._warn_unknown(kwargs)
        return self._resolve_channel(channel).exchange_bind(
            destination=self.name,
            source=name_of(exchange),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def unbind_from(
        self,
        source: Exchange | str = '',
        routing_key: str = '',
        nowait: bool = False,
        arguments: dict[str, Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Undo `bind_to`, given the same key and arguments."""
        return self._resolve_channel(channel).exchange_unbind(
            destination=self.name,
            source=name_of(source),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def Message(
        self,
        body: Any,
        delivery_mode: int | str | None = None,
        properties: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make a message to `publish`, from a body that is encoded already.

        Args:
            body: text or bytes.
            delivery_mode: 'transient' (1) or 'persistent' (2); None: as the exchange says.
            properties: AMQP properties.
            kwargs: further arguments of the channel's `prepare_message`: priority, content_type,
                content_encoding, headers.
        """
        merged = dict(properties) if properties else {}
        merged['delivery_mode'] = maybe_delivery_mode(delivery_mode or self.delivery_mode)
        if isinstance(body, str):
            kwargs.setdefault('content_encoding', 'utf-8')
        return self.channel.prepare_message(body, properties=merged, **kwargs)

    def publish(
        self,
        message: Any,
        routing_key: str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        exchange: str | None = None,
    ) -> Any:
        """Publish a message (AMQP 0-9-1, basic.publish).

        Args:
            message: as made by `Message`, or text or bytes.
            routing_key: what the exchange routes by.
            mandatory: have it returned where no queue is bound.
            immediate: have it returned where nobody is ready to consume it (not in RabbitMQ).
            exchange: name of another exchange to publish to.
        """
        if isinstance(message, (str, bytes)):
            message = self.Message(message)
        return self.channel.basic_publish(
            message,
            exchange=exchange or self.name,
            routing_key=routing_key,
            mandatory=mandatory,
            immediate=immediate,
        )

    def delete(self, if_unused: bool = False, nowait: bool = False) -> Any:
        """Delete it (AMQP 0-9-1, exchange.delete).

        Args:
            if_unused: refuse, by a channel error, while something is bound to it.
            nowait: do not wait for the broker's answer.
        """
        channel = self.channel
        forget(channel, 'exchange', self.name)
        return channel.exchange_delete(exchange=self.name, if_unused=if_unused, nowait=nowait)

    def binding(
        self,
        routing_key: str = '',
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> binding:
        """Make a binding to it, for a queue's `bindings`."""
        return binding(self, routing_key, arguments, unbind_arguments)

    def __str__(self) -> str:
        name = self.name or repr('')
        return f'Exchange {name}({self.type})'

    def __repr__(self) -> str:
        return self._describe(str(self))


def name_of(exchange: Exchange | str | None) -> str:
    """Return the name of an exchange given by itself or by name."""
    if exchange is None or isinstance(exchange, str):
        return exchange or ''
    return exchange.name


def to_exchange(value: Any) -> Any:
    """Return an exchange given by itself, by name, or as the dict of its attributes."""
    if isinstance(value, str):
        return Exchange(value)
    if isinstance(value, Mapping):
        return Exchange(**value)
    if value is not None and not hasattr(value, 'bind'):
        raise TypeError(f'{value!r} is no exchange: use kombu.Exchange, or a name')
    return value


class binding(Object):
    """What binds a queue, or an exchange, to an exchange.

    Args:
        exchange: the source.
        routing_key: the binding key.
        arguments: of the binding, e.g. what a headers exchange matches.
        unbind_arguments: for unbinding; None: as `arguments`, by which a binding is told from
            others with its key.
    """

    __module__ = 'kombu.entity'  # where pickles look for it

    exchange: Exchange | None
    routing_key: str
    arguments: dict[str, Any] | None
    unbind_arguments: dict[str, Any] | None

    attrs: ClassVar[tuple[Attribute, ...]] = (
        ('exchange', None),
        ('routing_key', None),
        ('arguments', None),
        ('unbind_arguments', None),
    )

    def __init__(
        self,
        exchange: Exchange | str | None = None,
        routing_key: str | None = '',
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> None:
        self.exchange = to_exchange(exchange)
        self.routing_key = routing_key or ''
        self.arguments = arguments
        self.unbind_arguments = unbind_arguments

    def __hash__(self) -> int:
        return hash(('binding', name_of(self.exchange), self.routing_key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, binding):
            return NotImplemented
        return self.as_dict() == other.as_dict()

    @property
    def declaration_key(self) -> tuple[Any, ...]:
        """What is said to the broker when it is declared, as a hashable value."""
        exchange = self.exchange
        return (
            None if exchange is None else exchange.declaration_key,
            self.routing_key,
            frozen(self.arguments),
        )

    def declare(self, channel: Any, nowait: bool = False) -> None:
        """Declare the exchange it binds to."""
        if self.exchange is not None:
            self.exchange.declare(nowait=nowait, channel=channel)

    def bind(self, entity: Any, nowait: bool = False, channel: Any = None) -> None:
        """Bind a queue or an exchange.

        Args:
            entity: what to bind.
            nowait: do not wait for the broker's answer.
            channel: where to, instead of the channel `entity` is bound to.
        """
        entity.bind_to(
            exchange=self.exchange,
            routing_key=self.routing_key,
            arguments=self.arguments,
            nowait=nowait,
            channel=channel,
        )

    def unbind(self, entity: Any, nowait: bool = False, channel: Any = None) -> None:
        """Undo `bind`."""
        arguments = self.arguments if self.unbind_arguments is None else self.unbind_arguments
        entity.unbind_from(
            self.exchange,
            routing_key=self.routing_key,
            arguments=arguments,
            nowait=nowait,
            channel=channel,
        )

    def __str__(self) -> str:
        return f'{name_of(self.exchange)}->{self.routing_key}'

    def __repr__(self) -> str:
        return f'<binding: {self}>'
