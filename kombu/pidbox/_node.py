"""Nodes: those who receive commands."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from kombu import messaging
from kombu.exceptions import EncodeError
from kombu.log import get_logger
from kombu.matcher import match
from kombu.utils.encoding import safe_repr
from kombu.utils.functional import reprcall

__all__ = ('Handler', 'Node', 'number_in')

logger = get_logger('kombu.pidbox')

Handler = Callable[..., Any]


def number_in(message: Any, header: str) -> Any:
    """Return the number in a header; 0 where there is none."""
    value = message.headers.get(header)
    return value if isinstance(value, (int, float)) else 0


def _malformed(body: Any) -> str | None:
    """Say what is wrong with the form of a command, if anything is."""
    if not isinstance(body, dict) or not isinstance(body.get('method'), str):
        return 'there is no method'
    if not isinstance(body.get('arguments') or {}, dict):
        return 'the arguments have no names'
    if not isinstance(body.get('destination') or (), (str, list, tuple)):
        return 'the destination is no list of names'
    if not all(isinstance(body.get(name) or '', str) for name in ('pattern', 'matcher')):
        return 'pattern and matcher are no texts'
    reply_to = body.get('reply_to')
    if reply_to and not (isinstance(reply_to, dict) and {'exchange', 'routing_key'} <= {*reply_to}):
        return 'reply_to does not say where to'
    return None


class Node:
    """A process that receives commands.

    Args:
        hostname: its name, by which commands are addressed to it.
        state: the first argument of its handlers.
        channel: a channel, or a connection, to listen and reply on.
        handlers: what it can do, by the name of the command.
        mailbox: the mailbox it belongs to.

    Example:
        >>> node = mailbox(connection).Node('worker1', channel=connection)
        >>> @node.handler
        ... def ping(state, greeting='pong'):
        ...     return greeting
        >>> with node.listen():
        ...     connection.drain_events(timeout=1)
    """

    __module__ = 'kombu.pidbox'

    hostname: str | None = None
    state: Any = None
    channel: Any = None
    handlers: dict[str, Handler]
    mailbox: Any = None

    def __init__(
        self,
        hostname: str | None,
        state: Any = None,
        channel: Any = None,
        handlers: dict[str, Handler] | None = None,
        mailbox: Any = None,
    ) -> None:
        self.hostname = hostname
        self.state = state
        self.channel = channel
        self.mailbox = mailbox
        self.handlers = {} if handlers is None else handlers

    @property
    def _box(self) -> Any:
        if self.mailbox is None:
            raise RuntimeError(f'{self!r} has no mailbox: make it by Mailbox.Node()')
        return self.mailbox

    def Consumer(
        self,
        channel: Any = None,
        no_ack: bool = True,
        accept: Any = None,
        **options: Any,
    ) -> messaging.Consumer:
        """Make a consumer of its queue.

        Args:
            channel: a channel or connection; None: that of the node.
            no_ack: commands need no acknowledgement.
            accept: content types, or names of serializers, that may be decoded; None: as the
                mailbox says.
            options: further arguments of `kombu.Consumer`.
        """
        queue = self._box.get_queue(self.hostname)
        queue.on_declared = self._verify_exclusive
        return messaging.Consumer(
            self.channel if channel is None else channel,
            [queue],
            no_ack=no_ack,
            accept=self._box.accept if accept is None else accept,
            **options,
        )

    def _verify_exclusive(self, name: str, messages: int, consumers: int) -> None:
        if consumers:
            warnings.warn(
                f'another process listens as {self.hostname!r} in the mailbox '
                f'{self._box.namespace!r}: it may have been left behind, or needs another name',
                stacklevel=2,
            )

    def listen(
        self, channel: Any = None, callback: Callable[[Any, Any], Any] | None = None
    ) -> messaging.Consumer:
        """Start receiving commands.

        Args:
            channel: a channel or connection; None: that of the node.
            callback: called with body and message; None: `handle_message`.

        Returns:
            the consumer, which is consuming.
        """
        consumer = self.Consumer(
            channel=channel,
            callbacks=[callback or self.handle_message],
            on_decode_error=self.on_decode_error,
        )
        consumer.consume()
        return consumer

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Log a command that cannot be decoded."""
        logger.error('cannot decode a command: %r: %r', exc, message, exc_info=exc)

    def handler(self, fun: Handler) -> Handler:
        """Add a handler, under the name of the function; for use as a decorator."""
        self.handlers[fun.__name__] = fun
        return fun

    def handle_message(self, body: dict[str, Any], message: Any = None) -> Any:
        """Carry out a command, if it is for this node.

        Args:
            body: the command.
            message: the message it came in, for the clock.

        Returns:
            the result; None where the command is for others, or is none: that is logged, since
            anybody may send one, and must not stop the program that receives it.
        """
        if message is not None and self.mailbox is not None:
            self.mailbox.clock.adjust(number_in(message, 'clock'))
        problem = _malformed(body)
        if problem:
            logger.error('malformed command: %s: %s', problem, safe_repr(body))
            return None
        try:
            mine = self._is_addressed(
                body.get('destination'), body.get('pattern'), body.get('matcher')
            )
        except Exception as exc:  # no such matcher, a pattern that is none, a matcher's own
            logger.error('cannot tell whom a command is for: %s: %r', exc, body)
            return None
        return self.dispatch(**body) if mine else None

    dispatch_from_message = handle_message

    def _is_addressed(self, destination: Any, pattern: str | None, matcher: str | None) -> bool:
        if destination:
            names = (destination,) if isinstance(destination, str) else destination
            return self.hostname in names
        if pattern and matcher:
            return bool(match(self.hostname or '', pattern, matcher))
        return True

    def dispatch(
        self,
        method: str,
        arguments: dict[str, Any] | None = None,
        reply_to: dict[str, str] | None = None,
        ticket: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Carry out a command, and reply if that is wanted.

        Args:
            method: name of the command.
            arguments: for its handler.
            reply_to: exchange and routing key for the reply.
            ticket: what the reply is known by.
            kwargs: what else a command may hold.

        Returns:
            the result of the handler; of one that failed, a dictionary with the key `error`.
        """
        arguments = arguments or {}
        logger.debug('received %s', reprcall(method, (), kwargs=arguments))
        try:
            handle = self.handle_call if reply_to else self.handle_cast
            result = handle(method, arguments)
        except Exception as exc:
            logger.error('command %r failed: %r', method, exc, exc_info=True)
            result = {'error': repr(exc)}
        if reply_to:
            where: dict[str, Any] = {
                'exchange': reply_to['exchange'],
                'routing_key': reply_to['routing_key'],
                'ticket': ticket,
            }
            try:
                self.reply({self.hostname: result}, **where)
            except EncodeError as exc:
                logger.error('cannot encode the reply to %r: %r', method, exc, exc_info=True)
                self.reply({self.hostname: {'error': repr(exc)}}, **where)
        return result

    def handle(self, method: str, arguments: dict[str, Any] | None = None) -> Any:
        """Call the handler of a command.

        Raises:
            KeyError: there is none.
        """
        return self.handlers[method](self.state, **(arguments or {}))

    def handle_call(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call the handler of a command that wants a reply."""
        return self.handle(method, arguments)

    def handle_cast(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call the handler of a command that wants none."""
        return self.handle(method, arguments)

    def reply(
        self, data: Any, exchange: str, routing_key: str, ticket: str | None, **kwargs: Any
    ) -> None:
        """Send a reply.

        Args:
            data: its body.
            exchange: name of the exchange.
            routing_key: where it goes.
            ticket: what it is known by.
            kwargs: further arguments of `kombu.Producer.publish`.
        """
        self._box._publish_reply(
            data,
            exchange,
            routing_key,
            ticket,
            channel=self.channel,
            **{'serializer': self._box.serializer, **kwargs},
        )

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self.hostname}>'
