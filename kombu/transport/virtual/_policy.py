"""What the arguments of a queue ask for.

`QueuePolicy.parse` turns `x-...` arguments into a value with fields of the right type, once, at
declaration.  What the broker then does about a message is decided by looking at that value.

Rules: https://www.rabbitmq.com/docs/ttl, /dlx, /maxlength, /priority,
    /quorum-queues#poison-message-handling.
Pure: no clocks, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ('ARGUMENTS', 'QueuePolicy')

MAX_PRIORITY = 255
OVERFLOWS = ('drop-head', 'reject-publish', 'reject-publish-dlx')
QUEUE_TYPES = ('classic', 'quorum')


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The meaning of a queue's arguments.  Times are in seconds; None means no limit."""

    message_ttl: float | None = None
    expires: float | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = 'drop-head'
    max_priority: int | None = None
    delivery_limit: int | None = None

    @property
    def limited(self) -> bool:
        """Whether the queue has a greatest length."""
        return self.max_length is not None or self.max_length_bytes is not None

    @classmethod
    def parse(cls, arguments: Mapping[str, Any] | None) -> QueuePolicy:
        """Read queue arguments; those of unknown name are skipped.

        Raises:
            ValueError: an argument has a type or value it cannot have; the text names it.
        """
        if not arguments:
            return NO_POLICY
        fields = {}
        for name, value in arguments.items():
            known = ARGUMENTS.get(name)
            if known is not None and value is not None:
                field, convert, _ = known
                try:
                    converted = convert(value)
                except (TypeError, ValueError) as exc:
                    raise ValueError(f'invalid argument {name!r}: {exc}') from None
                if field:
                    fields[field] = converted
        return cls(**fields)

    def ttl_for(self, expiration: Any) -> float | None:
        """Return the seconds a message may wait here: the smaller of its own limit and the queue's.

        Args:
            expiration: the message's `expiration` property, milliseconds as a string, or None.

        Raises:
            ValueError: it is not a number of milliseconds.
        """
        if expiration is None:
            return self.message_ttl
        own = milliseconds(expiration)
        return own if self.message_ttl is None else min(own, self.message_ttl)


def integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f'{value!r} is not a number')
    number = int(value)
    if number != float(value):
        raise ValueError(f'{value!r} is not a whole number')
    if number < 0:
        raise ValueError(f'{value!r} is negative')
    return number


def milliseconds(value: Any) -> float:
    return integer(value) / 1000


def positive_milliseconds(value: Any) -> float:
    number = milliseconds(value)
    if not number:
        raise ValueError('must be greater than zero')
    return number


def priority(value: Any) -> int:
    number = integer(value)
    if not 1 <= number <= MAX_PRIORITY:
        raise ValueError(f'must be from 1 to {MAX_PRIORITY}, not {number}')
    return number


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{value!r} is not a string')
    return value


def one_of(*values: str) -> Any:
    def check(value: Any) -> str:
        if value not in values:
            raise ValueError(f'must be one of {", ".join(values)}, not {value!r}')
        return text(value)

    return check


#: Queue arguments the virtual broker knows: field of the policy (or none: accepted, needs nothing
#: done), conversion, and the capability a transport must claim to honour it (or none: every
#: virtual transport does).
ARGUMENTS: dict[str, tuple[str | None, Any, str | None]] = {
    'x-message-ttl': ('message_ttl', milliseconds, 'queue_ttl'),
    'x-expires': ('expires', positive_milliseconds, 'queue_expires'),
    'x-dead-letter-exchange': ('dead_letter_exchange', text, 'dead_letter'),
    'x-dead-letter-routing-key': ('dead_letter_routing_key', text, 'dead_letter'),
    'x-max-length': ('max_length', integer, 'max_length'),
    'x-max-length-bytes': ('max_length_bytes', integer, 'max_length_bytes'),
    'x-overflow': ('overflow', one_of(*OVERFLOWS), 'overflow_reject'),
    'x-max-priority': ('max_priority', priority, 'priority'),
    'x-delivery-limit': ('delivery_limit', integer, 'delivery_count'),
    # Where and how a broker stores the queue; any store satisfies these.
    'x-queue-type': (None, one_of(*QUEUE_TYPES), None),
    'x-queue-mode': (None, one_of('default', 'lazy'), None),
    'x-queue-version': (None, integer, None),
    'x-queue-leader-locator': (None, text, None),
    'x-queue-master-locator': (None, text, None),
    'x-quorum-initial-group-size': (None, integer, None),
}

#: What an argument says that is not given, where saying it makes no difference.
DEFAULTS: dict[str, Any] = {'x-queue-type': 'classic', 'x-queue-mode': 'default'}

NO_POLICY = QueuePolicy()
