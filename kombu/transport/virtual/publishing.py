"""Publishing: from a body to the queues it is routed to.

The order of calls is a contract with drivers and subclasses: `basic_publish`,
`_inplace_augment_message`, `typeof(exchange).deliver`, `_lookup`, `get_table`, `_put`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from queue import Empty
from typing import Any

from amqp.exceptions import ChannelError, MessageNacked, NotFound, PreconditionFailed

from kombu.transport.virtual._deadletter import buried, is_cycle
from kombu.transport.virtual._envelope import (
    BodyCodec,
    Envelope,
    expires_at,
    separate,
    with_expiry,
)
from kombu.transport.virtual._policy import NO_POLICY, QueuePolicy
from kombu.transport.virtual._topology import QueueEntry
from kombu.transport.virtual.declaring import DeclaringChannel
from kombu.utils.encoding import str_to_bytes
from kombu.utils.uuid import uuid

__all__ = ('PublishingChannel',)

NO_ROUTE = 312


class PublishingChannel(DeclaringChannel):
    """The part of a channel that publishes."""

    #: Name of the codec that makes bodies safe for the store, in `codecs`; None stores bytes as
    #: they are.
    body_encoding: str | None = 'base64'
    codecs: Mapping[str, BodyCodec]
    #: Queue that receives what no binding matches; None drops it, as AMQP does.
    deadletter_queue: str | None = None

    #: Range of the priorities a store distinguishes, and what counts for a message without one.
    min_priority: int = 0
    max_priority: int = 9
    default_priority: int = 0

    #: Callbacks by event: 'basic_return'.
    events: dict[str, set[Any]] | None = None

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> Envelope:
        """Make the envelope of a message; none of the arguments is kept or changed."""
        props = dict(properties) if properties else {}
        info = props.get('delivery_info')
        props['delivery_info'] = dict(info) if info else {}
        if priority is not None:
            props['priority'] = priority
        return {
            'body': body,
            'content-encoding': content_encoding,
            'content-type': content_type,
            'headers': separate(headers),
            'properties': props,
        }

    def basic_publish(
        self,
        message: Envelope,
        exchange: str = '',
        routing_key: str = '',
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Publish `message`, as made by `prepare_message`; on return the broker has it.

        Raises:
            amqp.NotFound: there is no such exchange.
            amqp.ChannelError: `mandatory`, no queue is bound, and nobody listens for
            'basic_return'. amqp.MessageNacked: a queue is full and set to reject.
        """
        if self.connection is None:
            self._check_open()
        if 'expiration' in message['properties']:
            self._check_expiration(message['properties']['expiration'])
        self._inplace_augment_message(message, exchange, routing_key)
        if exchange:
            routed = self.typeof(exchange).deliver(message, exchange, routing_key, **kwargs)
        else:
            routed = self._lookup(exchange, routing_key)
            self._enqueue_all(routed, message, **kwargs)
        # Types of third parties return nothing; only what is known to be unrouted goes back.
        if (mandatory or immediate) and routed is not None and not routed:
            self._return(message, exchange, routing_key)

    def _check_expiration(self, expiration: Any) -> None:
        try:
            NO_POLICY.ttl_for(expiration)
        except (TypeError, ValueError) as exc:
            raise PreconditionFailed(
                f'PRECONDITION_FAILED - invalid expiration {expiration!r}: {exc}', (60, 40)
            ) from None
        self._needs('message_ttl', 'the expiration of a message')

    def _inplace_augment_message(self, message: Envelope, exchange: str, routing_key: str) -> None:
        """Complete an envelope.

        Encoded body, where it is published to, a delivery tag of its own.
        """
        properties = message['properties']
        message['body'], encoding = self.encode_body(message['body'], self.body_encoding)
        if encoding:
            properties['body_encoding'] = encoding
        info = properties['delivery_info']
        info['exchange'] = exchange
        info['routing_key'] = routing_key
        properties['delivery_tag'] = self._next_delivery_tag()

    def _next_delivery_tag(self) -> Any:
        """Return an identifier that no other message of the store has."""
        return uuid()

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Encode a body for the store; returns it with the name of the encoding."""
        if encoding:
            return self.codecs[encoding].encode(body), encoding
        return str_to_bytes(body), None

    def decode_body(self, body: Any, encoding: str | None = None) -> Any:
        """Undo `encode_body`; an encoding that is not known is the reader's to decode."""
        codec = self.codecs.get(encoding) if encoding else None
        return body if codec is None else codec.decode(body)

    # -- routing ---------------------------------------------------------------------------------

    def _lookup(
        self,
        exchange: str,
        routing_key: str,
        default: str | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the names of the queues a message goes to.

        Args:
            exchange: where it is published; '' is the default exchange, which routes to the queue
                named by the key.
            routing_key: its routing key.
            default: queue to use where nothing matches; `deadletter_queue` where that is None.
            headers: its headers, needed by headers exchanges and those bound to others.
        """
        if default is None:
            default = self.deadletter_queue
        if not exchange:
            if self._has_queue(routing_key):
                return (routing_key,)
            return (default,) if default else ()
        kind = self.typeof(exchange)
        queues: Any = kind.lookup(self.get_table(exchange), exchange, routing_key, default, headers)
        entry = self.state.exchanges.get(exchange)
        if entry is not None and entry.leads_on:
            found = dict.fromkeys(queues)
            self._follow(entry, routing_key, headers, found, {exchange}, routed=bool(queues))
            queues = tuple(found)
        if not queues and default:
            self._ensure_queue(default)
            return (default,)
        return queues

    def _follow(
        self,
        entry: Any,
        routing_key: str,
        headers: Mapping[str, Any] | None,
        found: dict[str, None],
        seen: set[str],
        *,
        routed: bool,
    ) -> None:
        """Add to `found` what other exchanges route: those bound to `entry`, else its alternate.

        The alternate is for what `entry` itself has routed nowhere.
        """
        onward: Iterable[str] = ()
        if entry.exchanges is not None:
            onward = entry.exchanges.match(routing_key, headers)
        if entry.alternate and not onward and not routed:
            onward = (entry.alternate,)
        for name in onward:
            following = None if name in seen else self._exchange(name)
            if following is not None:
                seen.add(name)
                queues = self.typeof(name).lookup(
                    self.get_table(name), name, routing_key, None, headers
                )
                found.update(dict.fromkeys(queues))
                self._follow(following, routing_key, headers, found, seen, routed=bool(queues))

    def _ensure_queue(self, queue: str) -> None:
        if queue not in self.state.queues:
            self.queue_declare(queue)

    def _put_fanout(
        self, exchange: str, message: Envelope, routing_key: str | None = None, **kwargs: Any
    ) -> Any:
        """Put `message` into every queue bound to `exchange`."""
        key = routing_key or ''
        queues = self._lookup(exchange, key, headers=message.get('headers'))
        self._enqueue_all(queues, message, **kwargs)
        return queues

    def _return(self, message: Envelope, exchange: str, routing_key: str) -> None:
        error = ChannelError('NO_ROUTE', (60, 50), 'Basic.return', NO_ROUTE)
        listeners = self.events.get('basic_return') if self.events else None
        if not listeners:
            raise error
        for listener in list(listeners):
            listener(error, exchange, routing_key, self.message_to_python(message))

    def message_to_python(self, raw_message: Any) -> Any:
        raise NotImplementedError

    # -- into the queue --------------------------------------------------------------------------

    def _enqueue_all(self, queues: Iterable[str], message: Envelope, **kwargs: Any) -> None:
        """Put `message` into each of `queues`.

        Raises:
            amqp.MessageNacked: one of them is full; the others have it all the same.
        """
        refusal = None
        for queue in queues:
            try:
                self._enqueue(queue, message, **kwargs)
            except MessageNacked as exc:
                refusal = exc
        if refusal is not None:
            raise refusal

    def _enqueue(self, queue: str, message: Envelope, **kwargs: Any) -> None:
        """Put `message` into `queue` by the rules of its policy: time to live, greatest length."""
        entry = self.state.queues.get(queue)
        policy = NO_POLICY if entry is None else entry.policy
        expiration = message['properties'].get('expiration')
        if policy is NO_POLICY and expiration is None:
            self._put(queue, message, **kwargs)
            return
        if not policy.limited:
            self._put_with_ttl(entry, policy, queue, message, **kwargs)
            return
        # Between looking at the length and changing it nobody else may.
        with self.state.lock:
            if policy.overflow != 'drop-head' and self._is_full(entry, message):
                if policy.overflow == 'reject-publish-dlx':
                    self._bury(queue, message, 'maxlen')
                raise MessageNacked(f"queue '{queue}' is full and set to {policy.overflow}")
            self._put_with_ttl(entry, policy, queue, message, **kwargs)
            self._drop_overflow(entry)

    def _put_with_ttl(
        self,
        entry: QueueEntry | None,
        policy: QueuePolicy,
        queue: str,
        message: Envelope,
        **kwargs: Any,
    ) -> None:
        ttl = policy.ttl_for(message['properties'].get('expiration'))
        # With a time to live of 0 it lives just long enough to be delivered at once.
        if ttl is not None and (ttl or self._waiting(entry) <= self._size(queue)):
            message = with_expiry(message, self._now() + ttl)
        self._put(queue, message, **kwargs)

    def _waiting(self, entry: QueueEntry | None) -> float:
        """Return how many messages of a queue its consumers would be given at once."""
        return sum(consumer.credit() for consumer in entry.consumers) if entry is not None else 0

    def _is_full(self, entry: QueueEntry | None, message: Envelope) -> bool:
        """Tell whether `message` does not fit any more."""
        return entry is not None and self._exceeds(entry, 1, len(message['body'] or b''))

    def _exceeds(self, entry: QueueEntry, more: int = 0, more_bytes: int = 0) -> bool:
        """Tell whether a queue is over its limits with so much more in it.

        What consumers would be given at once does not count: a broker that pushes has sent it.
        """
        policy = entry.policy
        waiting = self._waiting(entry)
        if policy.max_length is not None:
            size = self._size(entry.name) + more
            if size - min(waiting, size) > policy.max_length:
                return True
        if policy.max_length_bytes is not None and not waiting:
            size_bytes = self._bytes(entry.name)
            return size_bytes is not None and size_bytes + more_bytes > policy.max_length_bytes
        return False

    def _drop_overflow(self, entry: QueueEntry | None) -> None:
        """Bury the oldest messages of a queue that is over its limits."""
        if entry is None or entry.policy.overflow != 'drop-head':
            return
        while self._exceeds(entry):
            try:
                oldest = self._get(entry.name)
            except Empty:
                return
            self._bury(entry.name, oldest, 'maxlen')
            self._settle(entry.name, oldest)

    def _bury(self, queue: str, message: Envelope, reason: str) -> None:
        """Send a dead message to the dead-letter exchange of its queue, if it has one."""
        entry = self.state.queues.get(queue)
        name = entry.policy.dead_letter_exchange if entry is not None else None
        if entry is None or name is None:
            return
        routing_key = entry.policy.dead_letter_routing_key
        dead = buried(message, queue=queue, reason=reason, time=int(self._now()))
        info = dead['properties']['delivery_info']
        if routing_key is None:
            routing_key = info.get('routing_key', '')
        info['exchange'] = name
        info['routing_key'] = routing_key
        dead['properties']['delivery_tag'] = self._next_delivery_tag()
        try:
            targets = self._lookup(name, routing_key, headers=dead['headers'])
        except NotFound:
            return  # no such exchange: as if there were none
        for target in targets:
            if not is_cycle(dead['headers'], target):
                try:
                    self._enqueue(target, dead)
                except MessageNacked:
                    continue  # a full dead-letter queue drops, as it has nobody to refuse

    def _is_expired(self, message: Any) -> bool:
        when = expires_at(message)
        return when is not None and when <= self._now()

    def _get_message_priority(self, message: Envelope, reverse: bool = False) -> int:
        """Return the priority of an envelope, within the range the store distinguishes.

        Args:
            message: the envelope.
            reverse: for stores in which the lowest number comes first.
        """
        try:
            priority = int(message['properties']['priority'])
        except (KeyError, TypeError, ValueError):
            priority = self.default_priority
        priority = max(self.min_priority, min(priority, self.max_priority))
        return self.max_priority - priority if reverse else priority
