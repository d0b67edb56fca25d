"""The compression libraries, each made to decompress no further than it is allowed to.

A function of this module takes an imported library and returns two functions: one that compresses
bytes, and one that decompresses bytes up to a limit.  The second asks the library for one chunk at
a time, so that no more than the limit and a chunk is ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = (
    'Compressor',
    'Functions',
    'Unreadable',
    'brotli_functions',
    'bz2_functions',
    'lzma_functions',
    'too_large',
    'zlib_functions',
    'zstandard_functions',
    'zstd_functions',
)

Compressor = Callable[[Any], bytes]
Functions = tuple[Compressor, Callable[[bytes, int], bytes]]

#: Bytes to ask a library for at a time; a larger body asks for as many as it has itself.
_STEP = 1024 * 1024

#: Bytes to feed at a time to libraries that cannot be told to stop.  The most they can make of them
#: is some 10 MiB for zstd (a block of 128 KiB takes four bytes) and 16 MiB for brotli before 1.2.
_ZSTD_PIECE = 256
_BROTLI_PIECE = 16

#: Bytes that lzma may use for its dictionary, whose size the sender chooses; `xz -9` takes 65 MiB.
_LZMA_MEMORY = 128 * 1024 * 1024

#: Streams that may follow one another in a body.  Each costs a copy of all that is left.
_MAX_STREAMS = 1000


class Unreadable(ValueError):
    """The compressed data is not whole, or is more than it may be."""


def too_large(limit: int) -> Unreadable:
    """Say that the limit, in bytes, was reached."""
    return Unreadable(f'it grows beyond the limit of {limit} bytes')


def _truncated() -> Unreadable:
    return Unreadable('it ends too early')


class _Output:
    """What came out so far, and the limit to it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise too_large(self._limit)
        self._chunks.append(chunk)

    def joined(self) -> bytes:
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else b''.join(chunks)


def _all_streams(
    read_one: Callable[[bytes, _Output], bytes],
) -> Callable[[bytes, int], bytes]:
    """Make a function that reads stream after stream; `read_one` returns what follows its own."""

    def decompress(data: bytes, limit: int) -> bytes:
        output = _Output(limit)
        rest = data
        for _ in range(_MAX_STREAMS):
            rest = read_one(rest, output)
            if not rest:
                return output.joined()
        raise Unreadable(f'it holds more than {_MAX_STREAMS} streams')

    return decompress


def _decompressor(make: Callable[[], Any]) -> Callable[[bytes, int], bytes]:
    """Use what the decompressors of the standard library have in common."""

    def read_one(data: bytes, output: _Output) -> bytes:
        stream = make()
        step = max(_STEP, len(data))
        left = data
        while not stream.eof:
            chunk = stream.decompress(left, step)
            if not chunk and not stream.eof:
                raise _truncated()
            output.add(chunk)
            # zlib hands back what it did not get to; the others keep it.
            left = getattr(stream, 'unconsumed_tail', b'')
        rest: bytes = stream.unused_data
        return rest

    all_streams = _all_streams(read_one)

    def in_one_chunk(data: bytes) -> bytes | None:
        stream = make()
        chunk: bytes = stream.decompress(data, _STEP)
        return chunk if stream.eof and not stream.unused_data else None

    def decompress(data: bytes, limit: int) -> bytes:
        # Nearly always it is one stream that fits into one chunk; otherwise start again.
        whole = in_one_chunk(data) if limit >= _STEP else None
        return all_streams(data, limit) if whole is None else whole

    return decompress


def zlib_functions(module: ModuleType) -> Functions:
    """Use `zlib`; reads gzip (RFC 1952) as well as zlib (RFC 1950)."""
    either = module.MAX_WBITS | 32
    return module.compress, _decompressor(lambda: module.decompressobj(either))


def bz2_functions(module: ModuleType) -> Functions:
    """Use `bz2`."""
    return module.compress, _decompressor(module.BZ2Decompressor)


def lzma_functions(module: ModuleType) -> Functions:
    """Use `lzma`."""
    return module.compress, _decompressor(lambda: module.LZMADecompressor(memlimit=_LZMA_MEMORY))


def zstd_functions(module: ModuleType) -> Functions:
    """Use `compression.zstd`, or its backport."""
    return module.compress, _decompressor(module.ZstdDecompressor)


def zstandard_functions(module: ModuleType) -> Functions:
    """Use the package zstandard."""

    def compress(data: Any) -> bytes:
        packed: bytes = module.ZstdCompressor().compress(data)  # not to be shared between threads
        return packed

    def read_one(data: bytes, output: _Output) -> bytes:
        stream = module.ZstdDecompressor().decompressobj()
        for start in range(0, len(data), _ZSTD_PIECE):
            output.add(stream.decompress(data[start : start + _ZSTD_PIECE]))
            if stream.eof:
                return b''.join((stream.unused_data, data[start + _ZSTD_PIECE :]))
        raise _truncated()

    return compress, _all_streams(read_one)


def brotli_functions(module: ModuleType) -> Functions:
    """Use the package brotli or brotlicffi."""

    def decompress(data: bytes, limit: int) -> bytes:
        output = _Output(limit)
        stream = module.Decompressor()
        try:
            output.add(stream.process(data, output_buffer_limit=_STEP))
        except TypeError:  # before 1.2
            for start in range(0, len(data), _BROTLI_PIECE):
                output.add(stream.process(data[start : start + _BROTLI_PIECE]))
        else:
            # Not `can_accept_more_data`: it can be true while there is more to come.
            chunk = b'more'
            while chunk and not stream.is_finished():
                chunk = stream.process(b'', output_buffer_limit=_STEP)
                output.add(chunk)
        if not stream.is_finished():
            raise _truncated()
        return output.joined()

    return module.compress, decompress
