"""Errors and warnings of the library.

Every error a caller can meet is importable from here, whichever transport raised it.  Errors of the
wire (`ConnectionError`, `ChannelError`, ...) are py-amqp's own classes, because applications
compare identities.
"""

from __future__ import annotations

from socket import timeout as TimeoutError  # the public name since carrot
from types import TracebackType
from typing import Any, NoReturn

from amqp import ChannelError, ConnectionError, ResourceError

__all__ = (
    'BatchPublishError',
    'ChannelError',
    'ChannelLimitExceeded',
    'ConcurrentUseError',
    'ConnectionError',
    'ConnectionLimitExceeded',
    'ContentDisallowed',
    'DecodeError',
    'EncodeError',
    'HttpError',
    'InconsistencyError',
    'KombuError',
    'LimitExceeded',
    'MessageStateError',
    'NotBoundError',
    'OperationalError',
    'ResourceError',
    'SerializationError',
    'SerializerNotInstalled',
    'TimeoutError',
    'UnknownArgumentWarning',
    'UnsupportedFeature',
    'UnsupportedFeatureWarning',
    'VersionMismatch',
    'reraise',
)

#: What `reraise` accepts.
BaseExceptionType = type[BaseException]


def reraise(
    tp: BaseExceptionType, value: BaseException, tb: TracebackType | None = None
) -> NoReturn:
    """Raise `value` with traceback `tb`; `tp` is accepted for its callers of old."""
    if value.__traceback__ is not tb:
        raise value.with_traceback(tb)
    raise value


class KombuError(Exception):
    """Base of the errors that are the library's own."""


class OperationalError(KombuError):
    """The broker could not be reached or refused; `__cause__` is the driver's error."""


class SerializationError(KombuError):
    """A body could not be turned into bytes, or back."""


class EncodeError(SerializationError):
    """The body cannot be expressed in the serializer asked for."""


class DecodeError(SerializationError):
    """The received bytes are not what their content type says."""


class SerializerNotInstalled(KombuError):
    """No serializer, or no compression, is registered under that name."""


class ContentDisallowed(SerializerNotInstalled):
    """The content type of a message is not in the consumer's accept list."""


class NotBoundError(KombuError):
    """The entity must be bound to a channel first: `entity(channel)`."""


class MessageStateError(KombuError):
    """The message was acknowledged, rejected or requeued before."""


class LimitExceeded(KombuError):
    """Every resource of the pool is in use."""


class ConnectionLimitExceeded(LimitExceeded):
    """No more connections can be made."""


class ChannelLimitExceeded(LimitExceeded):
    """No more channels can be opened."""


class VersionMismatch(KombuError):
    """An installed package has a version that cannot be used."""


class InconsistencyError(ConnectionError):
    """What the broker stores contradicts itself."""


class ConcurrentUseError(KombuError, RuntimeError):
    """Two threads used one channel at the same time; give each thread a channel of its own."""


class BatchPublishError(KombuError):
    """Part of a batch could not be published.

    Attributes:
        failed: the messages that were not accepted, in publishing order.
    """

    def __init__(self, *args: Any, failed: Any = ()) -> None:
        super().__init__(*args)
        self.failed = tuple(failed)


class UnsupportedFeature(KombuError, NotImplementedError):
    """The transport cannot do what was asked, and its `strict` option says to refuse."""


class UnsupportedFeatureWarning(UserWarning):
    """The transport cannot do what was asked; the call went on without it."""


class UnknownArgumentWarning(UserWarning):
    """A keyword argument is not known and has no effect."""


class HttpError(Exception):
    """An HTTP request was answered with an error status.

    Args:
        code: HTTP status.
        message: the reason, as the server gave it.
        response: the whole response, where there is one.
    """

    def __init__(self, code: int, message: str | None = None, response: Any = None) -> None:
        self.code = code
        self.message = message
        self.response = response
        super().__init__(code, message, response)

    def __str__(self) -> str:
        return f'HTTP {self.code}: {self.message}'
