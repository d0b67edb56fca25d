"""Compression of message bodies.

A compression is known by its content type, which travels in the header `compression`, and by
aliases:

======================  ===================  ===============================================
content type            aliases              needs
======================  ===================  ===============================================
`application/x-gzip`    `gzip`, `zlib`
`application/x-bz2`     `bzip2`, `bzip`
`application/x-lzma`    `lzma`, `xz`
`application/x-brotli`  `brotli`             the extra `brotli`
`application/zstd`      `zstd`, `zstandard`  Python 3.14, backports.zstd or the extra `zstd`
======================  ===================  ===============================================

Despite its names the first writes the zlib format (RFC 1950), as it always did; it reads gzip
(RFC 1952), too.

Reading is bounded: a body of some kilobytes can stand for gigabytes, and is refused once it has
grown beyond `DEFAULT_MAX_SIZE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from kombu.compression import _libraries
from kombu.compression._libraries import Compressor, Functions
from kombu.exceptions import DecodeError, EncodeError
from kombu.serialization._names import UnknownName, unknown_name
from kombu.utils.encoding import ensure_bytes

__all__ = (
    'DEFAULT_MAX_SIZE',
    'compress',
    'decompress',
    'encoders',
    'get_decoder',
    'get_encoder',
    'register',
)

Decompressor = Callable[[Any], bytes]

#: The most bytes that a body may have once decompressed, where `decompress` is not told otherwise.
DEFAULT_MAX_SIZE = 256 * 1024 * 1024

_aliases: dict[str, str] = {}
_encoders: dict[str, Compressor] = {}
_decoders: dict[str, Decompressor] = {}


def register(
    encoder: Compressor | None,
    decoder: Decompressor | None,
    content_type: str,
    aliases: Iterable[str] | None = None,
) -> None:
    """Add a compression, or replace the one of that content type.

    Args:
        encoder: compresses bytes; None where there is nothing to write with.
        decoder: decompresses bytes; None where there is nothing to read with.  It has to bound its
            output itself: `decompress` can measure it only when it is all there.
        content_type: the MIME type that travels in the header `compression`.
        aliases: further names.
    """
    if encoder is not None:
        _encoders[content_type] = encoder
    if decoder is not None:
        _decoders[content_type] = decoder
    for alias in (aliases,) if isinstance(aliases, str) else aliases or ():
        _aliases[alias] = content_type


def encoders() -> list[str]:
    """Return the content types of the compressions that can be written."""
    return list(_encoders)


def get_encoder(t: str) -> tuple[Compressor, str]:
    """Return `(encoder, content type)`.

    Args:
        t: a content type or an alias.

    Raises:
        KeyError: there is no such compression here (a `SerializerNotInstalled`, too).
    """
    try:
        content_type = _aliases.get(t, t)
        return _encoders[content_type], content_type
    except (KeyError, TypeError):  # a list, perhaps: it is in no table
        raise _unknown(t, _encoders) from None


def get_decoder(t: str) -> Decompressor:
    """Return the decoder.

    Args:
        t: a content type or an alias.

    Raises:
        KeyError: there is no such compression here (a `SerializerNotInstalled`, too).
    """
    try:
        return _decoders[_aliases.get(t, t)]
    except (KeyError, TypeError):  # the sender chose it: it can be anything
        raise _unknown(t, _decoders) from None


def compress(body: str | bytes | bytearray | memoryview, content_type: str) -> tuple[bytes, str]:
    """Compress a body.

    Args:
        body: bytes, or text to be encoded as UTF-8.
        content_type: a content type or an alias.

    Returns:
        `(bytes, content type)`.

    Raises:
        KeyError: there is no such compression here (a `SerializerNotInstalled`, too).
        EncodeError: the body cannot be compressed; `__cause__` says why.
    """
    encoder, content_type = get_encoder(content_type)
    try:
        return encoder(ensure_bytes(body)), content_type
    except Exception as exc:
        raise EncodeError(
            f'{content_type} cannot compress this {type(body).__name__}: {_reason(exc)}'
        ) from exc


def decompress(
    body: bytes | bytearray | memoryview, content_type: str, *, max_size: int | None = None
) -> bytes:
    """Decompress a body.

    Args:
        body: the bytes.
        content_type: a content type or an alias.
        max_size: the most bytes that may come out; None stands for `DEFAULT_MAX_SIZE`,
            `sys.maxsize` for no limit.

    Raises:
        KeyError: there is no such compression here (a `SerializerNotInstalled`, too).
        DecodeError: the body is not what its content type says, ends early, is followed by
            something else, or is larger than allowed; `__cause__` says more.
    """
    decoder = get_decoder(content_type)
    if isinstance(decoder, _Decoder):
        return decoder(body, max_size)
    limit = DEFAULT_MAX_SIZE if max_size is None else max_size
    try:
        decompressed = decoder(body)
        if len(decompressed) > limit:
            raise _libraries.too_large(limit)
    except Exception as exc:
        raise _undecodable(content_type, exc) from exc
    return decompressed


def _reason(exc: Exception) -> str:
    return str(exc) if isinstance(exc, _libraries.Unreadable) else f'{type(exc).__name__}: {exc}'


def _undecodable(content_type: str, exc: Exception) -> DecodeError:
    return DecodeError(f'the body cannot be decompressed as {content_type}: {_reason(exc)}')


class _Library:
    """A library, imported when it is first used."""

    def __init__(self, module: str, prepare: Callable[[ModuleType], Functions]) -> None:
        self._module = module
        self._prepare = prepare
        self._functions: Functions | None = None

    def functions(self) -> Functions:
        if self._functions is None:
            self._functions = self._prepare(import_module(self._module))
        return self._functions

    def compress(self, body: Any) -> bytes:
        return self.functions()[0](body)


class _Decoder:
    """A decoder that takes the limit, too."""

    def __init__(self, library: _Library, content_type: str) -> None:
        self._library = library
        self._content_type = content_type

    def __call__(self, body: Any, max_size: int | None = None) -> bytes:
        limit = DEFAULT_MAX_SIZE if max_size is None else max_size
        try:
            if not isinstance(body, bytes):
                body = bytes(memoryview(body))
            return self._library.functions()[1](body, limit)
        except Exception as exc:
            raise _undecodable(self._content_type, exc) from exc


class _Candidate(NamedTuple):
    """A library that serves, if it is there."""

    #: must be importable; for parts of the standard library, the extension below it
    needs: str
    #: is imported
    module: str
    prepare: Callable[[ModuleType], Functions]


class _Known(NamedTuple):
    """A compression of ours."""

    content_type: str
    aliases: tuple[str, ...]
    #: the first that is there is used
    candidates: tuple[_Candidate, ...]
    #: what to do where none is
    advice: str


_zlib = _Candidate('zlib', 'zlib', _libraries.zlib_functions)
_bz2 = _Candidate('_bz2', 'bz2', _libraries.bz2_functions)
_lzma = _Candidate('_lzma', 'lzma', _libraries.lzma_functions)
_brotli = _Candidate('brotli', 'brotli', _libraries.brotli_functions)
_brotlicffi = _Candidate('brotlicffi', 'brotlicffi', _libraries.brotli_functions)
_zstd = _Candidate('_zstd', 'compression.zstd', _libraries.zstd_functions)
_backport = _Candidate('backports.zstd', 'backports.zstd', _libraries.zstd_functions)
_zstandard = _Candidate('zstandard', 'zstandard', _libraries.zstandard_functions)

_NOT_BUILT = 'This Python was built without the library.'

_KNOWN = (
    _Known('application/x-gzip', ('gzip', 'zlib'), (_zlib,), _NOT_BUILT),
    _Known('application/x-bz2', ('bzip2', 'bzip'), (_bz2,), _NOT_BUILT),
    _Known('application/x-lzma', ('lzma', 'xz'), (_lzma,), _NOT_BUILT),
    _Known(
        'application/x-brotli',
        ('brotli',),
        (_brotli, _brotlicffi),
        'Install it: pip install "kombu[brotli]".',
    ),
    _Known(
        'application/zstd',
        ('zstd', 'zstandard'),
        (_zstd, _backport, _zstandard),
        'Install it: pip install "kombu[zstd]".',
    ),
)


def _unknown(name: Any, table: Iterable[str]) -> UnknownName:
    for known in _KNOWN:
        if name == known.content_type or name in known.aliases:
            return unknown_name('compression', name, table, known.advice)
    return unknown_name('compression', name, {*_aliases, *table})


def _importable(module: str) -> bool:
    """Tell whether a module is there, without importing anything."""
    if module in sys.modules:
        return sys.modules[module] is not None
    package = module.rpartition('.')[0]
    if not package:
        return find_spec(module) is not None
    # Asked for the module itself, find_spec would import the package.
    inside = find_spec(package)
    places = None if inside is None else inside.submodule_search_locations
    return places is not None and PathFinder.find_spec(module, places) is not None


def _register_known() -> None:
    for known in _KNOWN:
        for needs, module, prepare in known.candidates:
            if _importable(needs):
                library = _Library(module, prepare)
                decoder = _Decoder(library, known.content_type)
                register(library.compress, decoder, known.content_type, known.aliases)
                break


_register_known()


def __getattr__(name: str) -> Any:
    if name == 'brotli':  # the library in use, or None
        found = [c.module for c in (_brotli, _brotlicffi) if _importable(c.needs)]
        return import_module(found[0]) if found else None
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
