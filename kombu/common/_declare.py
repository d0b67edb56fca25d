"""Declaring entities once for each connection."""

from __future__ import annotations

from typing import Any

from amqp.exceptions import RecoverableConnectionError

from kombu.abstract import maybe_channel
from kombu.exceptions import ChannelError

__all__ = ('declaration_cached', 'maybe_declare')


def declaration_cached(entity: Any, channel: Any) -> bool:
    """Tell whether this very declaration was made over the connection of `channel` already."""
    return entity.declaration_key in channel.connection.client.declared_entities


def maybe_declare(
    entity: Any, channel: Any = None, retry: bool = False, **retry_policy: Any
) -> bool:
    """Declare an entity, unless that was done over the same connection already.

    What may vanish by itself (auto-delete queues, queues that expire) is declared every time.

    Args:
        entity: an exchange or a queue; it stays as it is, except that a queue without a name gets
            the one that the broker made up.
        channel: a channel or connection; None: the channel that `entity` is bound to.
        retry: try again after errors of the connection or its channel.
        retry_policy: as for `kombu.Connection.ensure`.

    Returns:
        whether it was declared now.

    Raises:
        kombu.exceptions.ChannelError: there is no channel to declare it on.
        amqp.exceptions.RecoverableConnectionError: the channel is closed.
    """
    if channel is None:
        if not entity.is_bound:
            raise ChannelError(
                f'{entity!r} cannot be declared: it has no channel, and none is given'
            )
        channel = entity.channel
    else:
        channel = maybe_channel(channel)
    if not retry:
        return declare_once(entity, channel)
    connection = channel.connection
    if not connection:
        raise _closed(channel)
    if entity.can_cache_declaration and declaration_cached(entity, channel):
        return False
    bound = entity if entity.is_bound and entity.channel is channel else entity.bind(channel)

    def declare() -> None:
        _declare(bound, bound.channel)  # which is another one after reconnecting

    connection.client.ensure(bound, declare, **retry_policy)()
    _tell_name(bound, entity)
    return True


def declare_once(entity: Any, channel: Any) -> bool:
    """Declare `entity` on `channel`, unless that was done before; return whether it was done."""
    connection = channel.connection
    if not connection:
        raise _closed(channel)
    if isinstance(entity, str):
        raise TypeError(f'{entity!r} is only a name: declare a kombu.Queue or kombu.Exchange')
    if (
        entity.can_cache_declaration
        and entity.declaration_key in connection.client.declared_entities
    ):
        return False
    if entity.is_bound and entity.channel is channel:
        _declare(entity, channel)
    else:
        # Neither is the caller's entity bound by this, nor does a stale one use the channel it has.
        bound = entity.bind(channel)
        _declare(bound, channel)
        _tell_name(bound, entity)
    return True


def _declare(entity: Any, channel: Any) -> None:
    connection = channel.connection
    if not connection:
        raise _closed(channel)
    entity.declare(channel=channel)
    if entity.can_cache_declaration:
        connection.client.declared_entities.add(entity.declaration_key)


def _closed(channel: Any) -> RecoverableConnectionError:
    return RecoverableConnectionError(f'cannot declare on {channel!r}: it is closed')


def _tell_name(bound: Any, entity: Any) -> None:
    """Give the caller's queue the name that the broker made up."""
    if bound is not entity and not entity.name:
        entity.name = bound.name
