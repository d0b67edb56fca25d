"""The channel of a virtual transport: an AMQP 0-9-1 channel whose queues are somebody else's store.

Built up in layers, each a module: `storage` (what drivers implement), `declaring`, `publishing`,
`delivering`.  Here they become a channel that opens and closes.
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import RecoverableConnectionError

from kombu.log import get_logger
from kombu.transport.virtual._envelope import Base64, BodyCodec
from kombu.transport.virtual.delivering import DeliveringChannel
from kombu.transport.virtual.exchange import STANDARD_EXCHANGE_TYPES, ExchangeType

__all__ = ('Channel',)

logger = get_logger(__name__)


class Channel(DeliveringChannel):
    """A channel; drivers subclass it (see `kombu.transport.virtual.storage`).

    Args:
        connection: the transport it belongs to.
    """

    #: Exchange types by name; instances hold the types made for the channel.
    exchange_types: Any = dict(STANDARD_EXCHANGE_TYPES)
    #: How bodies may be encoded.
    codecs: dict[str, BodyCodec] = {'base64': Base64()}
    #: Whether what is still held when the process ends is put back.
    do_restore: bool = True
    #: Transport options that become attributes of the channel.
    from_transport_options: tuple[str, ...] = ('body_encoding', 'deadletter_queue')

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.connection = connection
        self.closed = False
        types: dict[str, type[ExchangeType]] = self.exchange_types
        self.exchange_types = {name: kind(self) for name, kind in types.items()}
        self.events = {'basic_return': set()}
        self.channel_id = self._get_free_channel_id()
        options = {**connection.client.transport_options, **connection.given}
        for name in self.from_transport_options:
            if name in options:
                setattr(self, name, options[name])
        super().__init__()

    @property
    def is_open(self) -> bool:
        """Whether the channel can be used."""
        return not self.closed

    def close(self) -> None:
        """Close the channel.

        Its consumers stop, and what they hold goes back to its queues.  Idempotent.
        """
        if self.closed:
            return
        self.closed = True
        transport = self.connection
        try:
            with self.state.lock:
                left = {consumer.queue for consumer in self._consumers.values()}
                for tag in list(self._consumers):
                    self._forget_consumer(tag)
                if self._qos.restore_at_shutdown:
                    self._restore_held()
                for queue in left:
                    entry = self.state.queues.get(queue)
                    if entry is not None and entry.auto_delete and not entry.consumers:
                        self._drop_queue(queue)
        finally:
            self._on_close()
            transport.close_channel(self)
            # Whoever still holds the channel or a message of it must not keep the connection alive.
            self.connection = None
            if self._cycle is not None:
                self._cycle.close()
                self._cycle = None

    def _restore_held(self) -> None:
        try:
            self._qos.restore_unacked()
        except self.connection.connection_errors as exc:
            # The store is out of reach; closing must work all the same.
            logger.warning('%d message(s) not put back: %r', len(self._qos._delivered), exc)

    def _on_close(self) -> None:
        """Release what the driver holds for this channel; called once, while still connected."""

    def _check_open(self) -> None:
        if self.closed:
            raise RecoverableConnectionError('channel is closed')

    def _get_free_channel_id(self) -> int:
        """Reserve a channel number.

        Raises:
            ConnectionError: all numbers up to `channel_max` are in use.
        """
        number: int = self.connection._reserve_channel_id()
        return number

    def __repr__(self) -> str:
        state = 'closed' if self.closed else f'{len(self._consumers)} consumers'
        return f'<{type(self).__module__}.{type(self).__name__} {self.channel_id}: {state}>'
