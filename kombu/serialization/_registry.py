"""The table of serializers, and the rules by which a body is encoded, refused and decoded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import RLock
from typing import Any, NamedTuple

from kombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    SerializerNotInstalled,
)
from kombu.serialization._names import UnknownName, unknown_name

__all__ = ('SKIP_DECODE', 'TRUSTED_CONTENT', 'SerializerRegistry', 'codec', 'raw_encode')

#: Content encodings whose bodies are left as the bytes they are.
SKIP_DECODE = frozenset({'binary', 'ascii-8bit'})

#: Content types that need no mention in an accept list: nothing is executed or built to read them.
TRUSTED_CONTENT = frozenset({'application/data', 'application/text'})

#: Content types that never have a decoder: text and bytes.
_RAW = frozenset({'application/data', 'application/text', 'text/plain'})

#: What a plug-in registers: the arguments of `SerializerRegistry.register`.
Registration = Iterable[Any]

Encoded = tuple[str, str, Any]


class codec(NamedTuple):
    """How a serializer writes."""

    content_type: str
    content_encoding: str
    encoder: Callable[[Any], Any]


class _Table(dict[str, Any]):
    """A table that has the plug-ins loaded before it says that it has no such key."""

    def __init__(self, load_plugins: Callable[[], None]) -> None:
        super().__init__()
        self._load_plugins = load_plugins

    def __missing__(self, key: str) -> Any:
        self._load_plugins()
        if key in self:
            return self[key]
        raise KeyError(key)


def raw_encode(data: Any) -> Encoded:
    """Label text as UTF-8, and leave bytes as they are.

    Returns:
        `(content type, content encoding, bytes)`.

    Raises:
        EncodeError: it is neither text nor bytes.
    """
    if isinstance(data, str):
        return 'application/data', 'utf-8', _utf8(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return 'application/data', 'binary', data
    raise EncodeError(f'raw bodies are text or bytes, not {type(data).__name__}')


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise EncodeError(f'the text has no UTF-8 form: {exc}') from exc


class SerializerRegistry:
    """Serializers by name, decoders by content type, and which types are refused by default.

    Args:
        plugins: called once, when something is not found; yields arguments of `register`.
    """

    def __init__(self, *, plugins: Callable[[], Iterable[Registration]] | None = None) -> None:
        self._plugins = plugins
        self._plugins_lock = RLock()
        self._loading = False
        self._encoders: dict[str, codec] = _Table(self._load_plugins)
        self._decoders: dict[str, Callable[[Any], Any]] = _Table(self._load_plugins)
        self.name_to_type: dict[str, str] = _Table(self._load_plugins)
        self.type_to_name: dict[str, str] = _Table(self._load_plugins)
        self._disabled_content_types: set[str] = set()
        self._default: codec | None = None

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {", ".join(self.name_to_type)}>'

    def _load_plugins(self) -> None:
        with self._plugins_lock:
            plugins = self._plugins
            if plugins is None or self._loading:  # loading: a plug-in looks something up itself
                return
            self._loading = True
            try:
                for name, *rest in plugins():
                    # What was registered by a call stays: when plug-ins are loaded depends on
                    # what happens to be looked up.
                    if name not in self.name_to_type:
                        self.register(name, *rest)
            except Exception as exc:
                raise SerializerNotInstalled(
                    f'a serializer plug-in cannot be loaded: {_reason(exc)}'
                ) from exc
            finally:
                self._loading = False
            self._plugins = None

    def register(
        self,
        name: str,
        encoder: Callable[[Any], Any] | None,
        decoder: Callable[[Any], Any] | None,
        content_type: str,
        content_encoding: str = 'utf-8',
    ) -> None:
        """Add a serializer, or replace the one of that name.

        Args:
            name: what producers call it.
            encoder: turns an object into text or bytes; None where there is nothing to write with.
            decoder: turns text or bytes into an object; None to leave bodies as text or bytes.
            content_type: the MIME type that bodies are labelled with.
            content_encoding: the encoding of their text, or `'binary'`.
        """
        if encoder is not None:
            self._encoders[name] = codec(content_type, content_encoding, encoder)
        if decoder is not None:
            self._decoders[content_type] = decoder
        self.type_to_name[content_type] = name
        self.name_to_type[name] = content_type

    def unregister(self, name: str) -> None:
        """Forget a serializer.

        Raises:
            SerializerNotInstalled: there is none of that name.
        """
        content_type = self._type_of(name)
        self._encoders.pop(name, None)
        self._decoders.pop(content_type, None)
        self.type_to_name.pop(content_type, None)
        self.name_to_type.pop(name, None)

    def enable(self, name: str) -> None:
        """Accept a serializer's bodies also where a consumer has no accept list.

        Args:
            name: its name or content type.

        Raises:
            SerializerNotInstalled: there is none of that name (a `KeyError`, too).
        """
        self._disabled_content_types.discard(name if '/' in name else self._type_of(name))

    def disable(self, name: str) -> None:
        """Refuse a serializer's bodies unless the consumer's accept list names it.

        Args:
            name: its name or content type.

        Raises:
            SerializerNotInstalled: there is none of that name (a `KeyError`, too).
        """
        self._disabled_content_types.add(name if '/' in name else self._type_of(name))

    def _type_of(self, name: str) -> str:
        try:
            return self.name_to_type[name]
        except KeyError:
            raise self._unknown(name) from None

    def _unknown(self, name: Any) -> UnknownName:
        return unknown_name('serializer', name, self.name_to_type)

    def _set_default_serializer(self, name: str) -> None:
        """Choose what `dumps` uses when none is asked for.

        Raises:
            SerializerNotInstalled: there is none of that name.
        """
        self._default = self._codec(name)

    def _codec(self, name: str) -> codec:
        try:
            return self._encoders[name]
        except KeyError:
            raise self._unknown(name) from None

    def dumps(self, data: Any, serializer: str | None = None) -> Encoded:
        """Encode a body.

        Args:
            data: the body.
            serializer: a registered name, or `'raw'` for text and bytes as they are.  Without one,
                text is sent as `text/plain`, bytes as `application/data`, and anything else by
                the default serializer (JSON).

        Returns:
            `(content type, content encoding, text or bytes)`.

        Raises:
            SerializerNotInstalled: there is no such serializer.
            EncodeError: the serializer cannot express the body; `__cause__` says why.
        """
        if serializer:
            entry = self._encoders.get(serializer)
            if entry is None:
                if serializer == 'raw':
                    return raw_encode(data)
                entry = self._codec(serializer)  # a plug-in's
        elif isinstance(data, bytes):
            return 'application/data', 'binary', data
        elif isinstance(data, str):
            return 'text/plain', 'utf-8', _utf8(data)
        elif isinstance(data, (bytearray, memoryview)):
            # A copy: the message may leave later than its sender changes the buffer.
            return 'application/data', 'binary', bytes(data)
        elif self._default is None:
            raise SerializerNotInstalled('there is no default serializer: name one')
        else:
            entry = self._default
        content_type, content_encoding, encoder = entry
        try:
            return content_type, content_encoding, encoder(data)
        except (EncodeError, SerializerNotInstalled):
            raise
        except Exception as exc:
            raise EncodeError(
                f'{content_type} cannot express this {type(data).__name__}: {_reason(exc)}'
            ) from exc

    def loads(
        self,
        data: Any,
        content_type: str | None,
        content_encoding: str | None,
        accept: Collection[str] | None = None,
        force: bool = False,
        _trusted_content: Collection[str] = TRUSTED_CONTENT,
    ) -> Any:
        """Decode a body.

        Args:
            data: text or bytes.
            content_type: its MIME type; None stands for `application/data`.
            content_encoding: its encoding, where it is text; None stands for UTF-8.
            accept: content types to accept, and no others; without a list, all but those that
                are disabled.
            force: decode disabled content too; `accept` still holds.

        Raises:
            ContentDisallowed: the content type is not accepted; nothing was decoded.
            DecodeError: the body is not what its content type says; `__cause__` says why.
            SerializerNotInstalled: reading that content type takes a library that is missing.
        """
        if type(content_type) is not str or not content_type:
            content_type = _content_type(content_type)
        refused = self._disabled_content_types
        if content_type in refused if accept is None else content_type not in accept:
            self.check_accepted(content_type, accept, force, _trusted_content)
        decode = self._decoders.get(content_type)
        if decode is None:
            if content_type not in _RAW:
                self._load_plugins()
                decode = self._decoders.get(content_type)
            if decode is None:
                return _raw_decode(data, content_encoding)
        if not data:
            return data
        try:
            return decode(data)
        except (DecodeError, SerializerNotInstalled):
            raise
        except Exception as exc:
            raise DecodeError(f'the body cannot be read as {content_type}: {_reason(exc)}') from exc

    def check_accepted(
        self,
        content_type: str | None,
        accept: Collection[str] | None = None,
        force: bool = False,
        _trusted_content: Collection[str] = TRUSTED_CONTENT,
    ) -> None:
        """Refuse what `loads` would refuse, before anything is done with the body.

        Args:
            content_type: a MIME type; None stands for `application/data`.
            accept: content types to accept, and no others; without a list, all but those that
                are disabled.
            force: let disabled content pass; `accept` still holds.

        Raises:
            ContentDisallowed: it is not accepted.
            DecodeError: it is not even a text.
        """
        content_type = _content_type(content_type)
        if accept is None:
            if content_type in self._disabled_content_types and not force:
                raise self._refusal(content_type, 'it is disabled unless asked for')
        elif content_type not in accept and content_type not in _trusted_content:
            accepted = ', '.join(sorted(map(str, accept))) or 'nothing'
            raise self._refusal(content_type, f'accepted here: {accepted}')

    def _refusal(self, content_type: str, why: str) -> ContentDisallowed:
        name = self.type_to_name.get(content_type, content_type)
        called = '' if name == content_type else f' ({name})'
        return ContentDisallowed(
            f'refused content type {content_type!r}{called}: {why}. Where every sender can be '
            f'trusted with it, put {name!r} into the accept list of the consumer'
        )


def _reason(exc: Exception) -> str:
    return f'{type(exc).__name__}: {exc}'


def _content_type(given: Any) -> str:
    """Return the content type, or what stands for none."""
    if not given:
        return 'application/data'
    if isinstance(given, str):
        return given
    raise DecodeError(f'the content type is not a text but {given!r}')


def _raw_decode(data: Any, content_encoding: str | None) -> Any:
    """Turn the bytes of a text into text, and leave everything else as it is."""
    if data is None or isinstance(data, str):
        return data
    try:
        encoding = (content_encoding or 'utf-8').lower()
        # Not codecs.decode: its 'zlib' and 'bz2' would unpack whatever a sender labels so.
        return data if encoding in SKIP_DECODE else str(data, encoding)
    except Exception as exc:  # the sender chose the encoding: it can be anything
        raise DecodeError(f'the body is not text in {content_encoding!r}: {_reason(exc)}') from exc
