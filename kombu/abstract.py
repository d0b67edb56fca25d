"""Entities: declarations that can be copied, pickled, turned into dicts, and bound to a channel."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from kombu.exceptions import NotBoundError
from kombu.utils.arguments import warn_unknown
from kombu.utils.functional import ChannelPromise

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('MaybeChannelBound', 'Object')

#: Name of an attribute, and the conversion of the value given for it (None: keep it as it is).
Attribute = tuple[str, Callable[[Any], Any] | None]

ObjectT = TypeVar('ObjectT', bound='Object')


def is_connection(obj: Any) -> bool:
    """Tell whether `obj` is a `kombu.Connection`, or stands in for one.

    Its attributes are not touched: reading `default_channel` would connect.
    """
    return hasattr(obj.__class__, 'default_channel')


def maybe_channel(channel: Any) -> Any:
    """Return the default channel of a connection; anything else is taken for a channel and
    returned.

    Args:
        channel: a `kombu.Connection`, which connects now where it has not yet, or a channel.
    """
    return channel.default_channel if is_connection(channel) else channel


def unpickle_dict(cls: type[ObjectT], kwargs: dict[str, Any]) -> ObjectT:
    """Make an object from its pickle: its class, and its attributes by name."""
    return cls(**kwargs)


class Object:
    """Something that is known by its declared attributes.

    Subclasses list them in `attrs`; what is not given keeps the default of the class, or is None.
    """

    attrs: ClassVar[tuple[Attribute, ...]] = ()

    #: Arguments of `__init__` that are no attributes in the sense of `attrs`.
    _further_arguments: ClassVar[tuple[str, ...]] = ()

    #: Attributes that belong to one object and do not go into its copies.
    _not_copied: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # subclasses pass some
        attributes = self.__dict__
        for name, convert in self.attrs:
            value = kwargs.pop(name, None) if kwargs else None
            if value is not None:
                attributes[name] = convert(value) if convert else value
            elif not hasattr(self, name):
                attributes[name] = None
        if kwargs:
            self._warn_unknown(kwargs)

    def _warn_unknown(self, names: Any) -> None:
        known = [name for name, _ in self.attrs]
        warn_unknown(type(self).__name__, names, (*known, *self._further_arguments))

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """Return the declared attributes by name.

        Args:
            recurse: turn attributes that are such objects into dicts, too.
        """
        return {
            name: value.as_dict(recurse=True) if recurse and isinstance(value, Object) else value
            for name, value in ((name, getattr(self, name)) for name, _ in self.attrs)
        }

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_dict, (type(self), self.as_dict())

    def __copy__(self) -> Self:
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        for name in self._not_copied:
            twin.__dict__.pop(name, None)
        return twin


class MaybeChannelBound(Object):
    """An entity that can be bound to a channel, on which it is then declared, deleted and so on.

    Calling it with a channel, or with a connection, returns a bound copy.
    """

    _channel: Any = None
    _is_bound: bool = False
    _not_copied = ('_channel', '_is_bound')

    #: Whether one declaration is enough for the time a connection lives: the broker does not delete
    #: the entity by itself in between.
    can_cache_declaration: bool = False

    def __call__(self, channel: Any) -> Self:
        """Return a copy bound to `channel`."""
        return self.bind(channel)

    def bind(self, channel: Any) -> Self:
        """Return a copy bound to `channel`, which may be a connection."""
        return copy(self).maybe_bind(channel)

    def maybe_bind(self, channel: Any) -> Self:
        """Bind this very object, unless it is bound already or there is no channel."""
        if not self._is_bound and channel is not None:
            self._channel = maybe_channel(channel)
            self.when_bound()
            self._is_bound = True
        return self

    def revive(self, channel: Any) -> None:
        """Move to another channel, after the old one was lost."""
        self._channel = channel
        self.when_bound()

    def when_bound(self) -> None:
        """React to being bound; for subclasses."""

    @property
    def is_bound(self) -> bool:
        """Whether the entity is bound to a channel."""
        return self._is_bound and self._channel is not None

    @property
    def channel(self) -> Any:
        """The channel the entity is bound to.

        Raises:
            NotBoundError: it is not bound.
        """
        channel = self._channel
        if channel is None:
            name = type(self).__name__
            raise NotBoundError(
                f'{self!r} has no channel: bind it first, as in {name.lower()}(channel)'
            )
        if isinstance(channel, ChannelPromise):
            channel = self._channel = channel()
        return channel

    def _resolve_channel(self, channel: Any) -> Any:
        """Return the channel of one call: `channel` where it is given, else the own one."""
        return self.channel if channel is None else maybe_channel(channel)

    def _describe(self, text: str) -> str:
        """Return a `repr` around `text` that says what the entity is bound to.

        A channel that is only promised is not opened for it.
        """
        if not self.is_bound:
            return f'<unbound {text}>'
        channel = self._channel
        number = getattr(channel, 'channel_id', None)
        shown = repr(channel) if isinstance(channel, ChannelPromise) else number
        return f'<{text} bound to chan:{shown or "?"}>'

    def __repr__(self) -> str:
        return self._describe(type(self).__name__)
