"""Waiting for messages, and for answers."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kombu.exceptions import TimeoutError
from kombu.serialization import registry
from kombu.utils.deadline import Deadline

__all__ = ('collect_replies', 'drain_consumer', 'eventloop', 'itermessages', 'send_reply')

Callbacks = Sequence[Callable[[Any, Any], Any]]


def eventloop(
    conn: Any, limit: int | None = None, timeout: float | None = None, ignore_timeouts: bool = False
) -> Iterator[Any]:
    """Yield after each event of a connection.

    Args:
        conn: the connection.
        limit: how many events to wait for; None or 0 for no end.
        timeout: seconds to wait for each; None waits for ever.
        ignore_timeouts: count an event that did not come, rather than raise.

    Yields:
        what `conn.drain_events` returned.

    Raises:
        kombu.exceptions.TimeoutError: an event did not come in time.

    Example:
        >>> for _ in eventloop(connection, timeout=1, ignore_timeouts=True):
        ...     if done():
        ...         break
    """
    for _ in range(limit) if limit else itertools.count():
        try:
            result = conn.drain_events(timeout=timeout)
        except TimeoutError:
            if timeout and not ignore_timeouts:
                raise
        else:
            yield result


def drain_consumer(
    consumer: Any,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Callbacks | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Consume a number of messages.

    Args:
        consumer: a consumer that is not consuming yet; it is started here, and cancelled in the
            end.
        limit: how many messages; None or 0 for no end.
        timeout: seconds to wait for each; when they are over, this ends.
        callbacks: called with body and message as soon as one arrives.

    Yields:
        `(body, message)`; the message is the caller's to acknowledge.  What was delivered and is
        not yielded any more goes back to its queue.
    """
    arrived: deque[tuple[Any, Any]] = deque()
    before = consumer.callbacks
    consumer.callbacks = [lambda body, message: arrived.append((body, message)), *(callbacks or ())]
    broken = True
    try:
        with consumer:
            drain_events = consumer.connection.drain_events
            for _ in range(limit) if limit else itertools.count():
                deadline = Deadline.after(timeout)
                try:
                    while not arrived:
                        drain_events(timeout=deadline.remaining())
                except TimeoutError:
                    return
                yield arrived.popleft()
        broken = False
    except GeneratorExit:
        broken = False
        raise
    finally:
        consumer.callbacks = before
        if not broken and not _forgets(consumer):
            for _, message in arrived:
                message.requeue()


def _forgets(consumer: Any) -> bool:
    """Tell whether the broker forgets what it delivers to this consumer."""
    return bool(consumer.no_ack) or any(queue.no_ack for queue in consumer.queues)


def itermessages(
    conn: Any,
    channel: Any,
    queue: Any,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Callbacks | None = None,
    **kwargs: Any,
) -> Iterator[tuple[Any, Any]]:
    """Consume a number of messages from a queue; see `drain_consumer`.

    Args:
        conn: the connection of `channel`.
        channel: the channel to consume on.
        queue: the queue.
        limit: how many messages; None or 0 for no end.
        timeout: seconds to wait for each; when they are over, this ends.
        callbacks: called with body and message as soon as one arrives.
        kwargs: further arguments of `kombu.Consumer`.
    """
    return drain_consumer(
        channel.Consumer(queues=[queue], **kwargs),
        limit=limit,
        timeout=timeout,
        callbacks=callbacks,
    )


def send_reply(
    exchange: Any,
    req: Any,
    msg: Any,
    producer: Any = None,
    retry: bool = False,
    retry_policy: dict[str, Any] | None = None,
    **props: Any,
) -> Any:
    """Answer a request, in the serialization that it came in.

    Args:
        exchange: where to publish the answer: an exchange or its name.
        req: the message with the request; its `reply_to` is the routing key of the answer, its
            `correlation_id` goes along.
        msg: the body of the answer.
        producer: what to publish with; None: one on the channel of the request.
        retry: publish again after errors of the connection.
        retry_policy: as for `kombu.Producer.publish`.
        props: further arguments of `kombu.Producer.publish`, which win.

    Raises:
        KeyError: the request says nothing of where to answer.
    """
    options: dict[str, Any] = {
        'routing_key': req.properties['reply_to'],
        'correlation_id': req.properties.get('correlation_id'),
        # What came as plain text or bytes has no serializer to answer in.
        'serializer': registry.type_to_name.get(req.content_type),
    }
    if producer is None:
        producer = req.channel.Producer()
    return producer.publish(
        msg, exchange=exchange, retry=retry, retry_policy=retry_policy, **{**options, **props}
    )


def collect_replies(
    conn: Any, channel: Any, queue: Any, *args: Any, **kwargs: Any
) -> Iterator[Any]:
    """Yield the bodies of answers that arrive in a queue.

    Args:
        conn: the connection of `channel`.
        channel: the channel to consume on.
        queue: the queue.
        args: further arguments of `itermessages`: limit, timeout, callbacks.
        kwargs: likewise; `no_ack` is True unless given, otherwise each answer is acknowledged.
    """
    no_ack = kwargs.setdefault('no_ack', True)
    received = False
    try:
        for body, message in itermessages(conn, channel, queue, *args, **kwargs):
            if not no_ack:
                message.ack()
            received = True
            yield body
    finally:
        if received:
            channel.after_reply_message_received(queue.name)
