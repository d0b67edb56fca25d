"""Living with a connection that breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from kombu.log import get_logger

__all__ = ('ignore_errors', 'insured', 'revive_connection')

logger = get_logger('kombu.common')

#: What `insured` also uses for its first connection.
CONNECTING_OPTIONS = ('max_retries', 'interval_start', 'interval_step', 'interval_max')


def ignore_errors(
    conn: Any, fun: Callable[..., Any] | None = None, *args: Any, **kwargs: Any
) -> Any:
    """Ignore errors of a connection and its channels: in a call, or in a `with` block.

    Args:
        conn: the connection, or anything with its `connection_errors` and `channel_errors`.
        fun: what to call; without it, this is a context manager.
        args: its arguments.
        kwargs: its keyword arguments.

    Returns:
        what `fun` returned; None where there was an error.  Without `fun`, the context manager.
    """
    if fun is None:
        return _ignoring(conn)
    with _ignoring(conn):
        return fun(*args, **kwargs)
    return None


def _ignoring(conn: Any) -> suppress:
    return suppress(*conn.connection_errors, *conn.channel_errors)


def revive_connection(
    connection: Any,
    channel: Any,
    on_revive: Callable[[Any], Any] | None = None,
) -> None:
    """Call `on_revive` with a new channel of `connection`."""
    if on_revive is not None:
        on_revive(channel)


def insured(
    pool: Any,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    errback: Callable[[Any, float], Any] | None = None,
    on_revive: Callable[[Any], Any] | None = None,
    **opts: Any,
) -> Any:
    """Call a function with a connection from a pool, and again while the connection breaks.

    Args:
        pool: the pool of connections.
        fun: what to call: it gets a `connection` and a `channel` besides its own arguments.
        args: its arguments.
        kwargs: its keyword arguments.
        errback: called after each failure with the error and the seconds until the next attempt;
            None logs it.
        on_revive: called with the new channel after each reconnect.
        opts: further arguments of `kombu.Connection.autoretry`.

    Returns:
        what the function returned.
    """
    report = _log_failure if errback is None else errback
    with pool.acquire(block=True) as connection:
        connection.ensure_connection(
            errback=report, **{name: opts[name] for name in CONNECTING_OPTIONS if name in opts}
        )
        repeated = connection.autoretry(
            fun,
            connection.default_channel,
            errback=report,
            on_revive=partial(revive_connection, connection, on_revive=on_revive),
            **opts,
        )
        result, _ = repeated(*args, **{**kwargs, 'connection': connection})
        return result


def _log_failure(exc: BaseException, interval: float) -> None:
    logger.error('connection lost: %r; trying again in %s s', exc, interval, exc_info=exc)
