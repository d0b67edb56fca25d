"""Compressing bodies, and decompressing them no further than allowed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tracemalloc
import types
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import kombu.compression as compression
from kombu.compression import (
    _libraries,
    compress,
    decompress,
    encoders,
    get_decoder,
    get_encoder,
    register,
)
from kombu.exceptions import DecodeError, EncodeError, SerializerNotInstalled

ALIASES = {
    'application/x-gzip': ('gzip', 'zlib'),
    'application/x-bz2': ('bzip2', 'bzip'),
    'application/x-lzma': ('lzma', 'xz'),
    'application/x-brotli': ('brotli',),
    'application/zstd': ('zstd', 'zstandard'),
}
ALL = tuple(ALIASES)
MIB = 1024 * 1024

every = pytest.mark.parametrize('content_type', ALL)


@pytest.fixture(autouse=True)
def _tables_are_as_before() -> Iterator[None]:
    tables = compression._aliases, compression._encoders, compression._decoders
    before = [dict(table) for table in tables]
    yield
    for table, was in zip(tables, before, strict=True):
        table.clear()
        table.update(was)


def missing(content_type: str) -> None:
    compression._encoders.pop(content_type)
    compression._decoders.pop(content_type)


class TestNames:
    def test_content_types(self) -> None:
        assert encoders() == list(ALL)

    @every
    def test_aliases(self, content_type: str) -> None:
        for name in (content_type, *ALIASES[content_type]):
            encoder, found = get_encoder(name)
            assert found == content_type
            assert get_decoder(name)(encoder(b'abc')) == b'abc'
            assert compress(b'abc', name)[1] == content_type

    @pytest.mark.parametrize('name', ['nope', 'GZIP', '', None, 5, ['gzip'], 'x' * 100_000])
    def test_unknown(self, name: Any) -> None:
        for look_up in (
            get_encoder,
            get_decoder,
            lambda n: compress(b'', n),
            lambda n: decompress(b'', n),
        ):
            for error in (KeyError, SerializerNotInstalled):
                with pytest.raises(error, match=r'no compression .*there are: application/x-br'):
                    look_up(name)

    def test_unknown_suggests_a_known_one(self) -> None:
        with pytest.raises(KeyError, match="did you mean 'zlib'"):
            get_encoder('zllib')

    @pytest.mark.parametrize(
        ('content_type', 'advice'),
        [
            ('application/zstd', r'pip install "kombu\[zstd\]"'),
            ('application/x-brotli', r'pip install "kombu\[brotli\]"'),
            ('application/x-lzma', 'built without'),
        ],
    )
    def test_missing_library(self, content_type: str, advice: str) -> None:
        missing(content_type)
        assert content_type not in encoders()
        for name in (content_type, *ALIASES[content_type]):
            with pytest.raises(KeyError, match=advice):
                get_encoder(name)
            with pytest.raises(KeyError, match=advice):
                decompress(b'x', name)


class TestRegister:
    def test_used_by_name_and_alias(self) -> None:
        register(lambda b: b'<' + b, lambda b: b[1:], 'application/x-own', ['own', 'mine'])
        assert compress('x', 'mine') == (b'<x', 'application/x-own')
        assert decompress(b'<x', 'own') == b'x'
        assert encoders()[-1] == 'application/x-own'

    def test_one_alias_as_a_text(self) -> None:
        register(bytes, bytes, 'application/x-own', 'own')
        assert get_encoder('own')[1] == 'application/x-own'

    def test_takes_the_place_of_a_built_in_one(self) -> None:
        register(lambda b: b'own', lambda b: b'read', 'application/x-gzip')
        assert compress(b'x', 'gzip')[0] == b'own'
        assert decompress(b'x', 'gzip') == b'read'

    def test_half_of_one(self) -> None:
        register(None, bytes, 'application/x-reader', ['reader'])
        register(bytes, None, 'application/x-writer', ['writer'])
        assert decompress(b'x', 'reader') == b'x'
        assert compress(b'x', 'writer')[0] == b'x'
        with pytest.raises(KeyError):
            get_encoder('reader')
        with pytest.raises(KeyError):
            get_decoder('writer')

    def test_errors(self) -> None:
        error = OSError('inside')

        def fail(body: bytes) -> bytes:
            raise error

        register(fail, fail, 'application/x-own')
        with pytest.raises(EncodeError, match='OSError: inside') as encoding:
            compress(b'x', 'application/x-own')
        with pytest.raises(DecodeError, match='application/x-own: OSError: inside') as decoding:
            decompress(b'x', 'application/x-own')
        assert encoding.value.__cause__ is decoding.value.__cause__ is error

    def test_limit(self) -> None:
        register(bytes, lambda b: b * 10, 'application/x-own')
        assert len(decompress(b'x', 'application/x-own', max_size=10)) == 10
        with pytest.raises(DecodeError, match='limit of 9 bytes'):
            decompress(b'x', 'application/x-own', max_size=9)


class TestCompress:
    @every
    @pytest.mark.parametrize(
        'body', [b'', b'x', bytes(range(256)) * 10_000], ids=['empty', 'short', 'long']
    )
    def test_comes_back(self, content_type: str, body: bytes) -> None:
        assert decompress(*compress(body, content_type)) == body

    @every
    @pytest.mark.parametrize('kind', [bytearray, memoryview])
    def test_buffers(self, content_type: str, kind: Any) -> None:
        packed, _ = compress(kind(b'abc' * 10), content_type)
        assert isinstance(packed, bytes)
        assert decompress(kind(packed), content_type) == b'abc' * 10

    @every
    def test_text_becomes_utf8(self, content_type: str) -> None:
        assert decompress(*compress('h\xe9', content_type)) == b'h\xc3\xa9'

    def test_the_format_is_that_of_zlib(self) -> None:
        """What kombu 5.x reads, whatever the name says."""
        assert compress(b'abc', 'gzip') == (zlib.compress(b'abc'), 'application/x-gzip')

    @every
    @pytest.mark.parametrize('body', [5, None, '\ud800', ['x']])
    def test_neither_text_nor_bytes(self, content_type: str, body: Any) -> None:
        with pytest.raises(EncodeError, match=type(body).__name__) as caught:
            compress(body, content_type)
        assert caught.value.__cause__ is not None


class TestDecompress:
    @every
    @pytest.mark.parametrize('cut', [1, 2, 5])
    @pytest.mark.parametrize('body', [b'abc' * 100, b'abc' * MIB], ids=['short', 'long'])
    def test_truncated(self, content_type: str, cut: int, body: bytes) -> None:
        packed, _ = compress(body, content_type)
        with pytest.raises(DecodeError, match=content_type):
            decompress(packed[:-cut], content_type)
        with pytest.raises(DecodeError, match=content_type):
            decompress(packed[: len(packed) // 2], content_type)

    @every
    @pytest.mark.parametrize('garbage', [b'x', b'garbage' * 100, b'\x00'])
    @pytest.mark.parametrize('body', [b'abc', b'x' * 2 * MIB], ids=['short', 'long'])
    def test_followed_by_garbage(self, content_type: str, garbage: bytes, body: bytes) -> None:
        packed, _ = compress(body, content_type)
        with pytest.raises(DecodeError, match=content_type):
            decompress(packed + garbage, content_type)

    @every
    @pytest.mark.parametrize('body', [b'', b'abc', b'\xff' * 100, 'text', None, 5])
    def test_something_else(self, content_type: str, body: Any) -> None:
        with pytest.raises(DecodeError, match=content_type) as caught:
            decompress(body, content_type)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize(
        'packed', [gzip.compress(b'abc'), zlib.compress(b'abc')], ids=['gzip', 'zlib']
    )
    def test_gzip_proper(self, packed: bytes) -> None:
        assert decompress(packed, 'gzip') == b'abc'

    def test_older_lzma_format(self) -> None:
        assert decompress(lzma.compress(b'abc', lzma.FORMAT_ALONE), 'lzma') == b'abc'

    @pytest.mark.parametrize('content_type', [c for c in ALL if 'brotli' not in c])
    def test_streams_one_after_the_other(self, content_type: str) -> None:
        first, second = compress(b'abc', content_type)[0], compress(b'def', content_type)[0]
        assert decompress(first + second, content_type) == b'abcdef'

    def test_brotli_has_but_one_stream(self) -> None:
        with pytest.raises(DecodeError):
            decompress(compress(b'abc', 'brotli')[0] * 2, 'brotli')

    def test_no_end_of_streams(self) -> None:
        """Each costs a copy of what is left: a body of nothing but streams is an attack."""
        with pytest.raises(DecodeError, match='more than 1000 streams'):
            decompress(zlib.compress(b'') * 1001, 'zlib')
        assert decompress(zlib.compress(b'x') * 1000, 'zlib') == b'x' * 1000

    def test_lzma_dictionary_is_bounded(self) -> None:
        """The sender chooses its size, up to 4 GiB."""
        filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 1536 * MIB}]
        header = bytearray(lzma.compress(b'abc'))
        # The byte that tells the size of the dictionary: 40 is the largest there is.
        assert filters[0]['id'] == header[14]
        header[16] = 40
        header[20:24] = zlib.crc32(bytes(header[12:20])).to_bytes(4, 'little')
        with pytest.raises(DecodeError, match=r'[Mm]emory'):
            decompress(bytes(header), 'lzma')


class TestLimit:
    @every
    @pytest.mark.parametrize('size', [1, 1000, MIB, 3 * MIB])
    def test_is_exact(self, content_type: str, size: int) -> None:
        packed, _ = compress(b'x' * size, content_type)
        assert len(decompress(packed, content_type, max_size=size)) == size
        with pytest.raises(DecodeError, match=f'limit of {size - 1} bytes'):
            decompress(packed, content_type, max_size=size - 1)

    @pytest.mark.parametrize('content_type', [c for c in ALL if 'brotli' not in c])
    def test_counts_all_streams(self, content_type: str) -> None:
        packed = compress(b'x' * 600, content_type)[0] * 2
        assert len(decompress(packed, content_type, max_size=1200)) == 1200
        with pytest.raises(DecodeError, match='limit'):
            decompress(packed, content_type, max_size=1199)

    @every
    def test_none_at_all(self, content_type: str) -> None:
        packed, _ = compress(b'x' * 100, content_type)
        assert len(decompress(packed, content_type, max_size=sys.maxsize)) == 100

    def test_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert compression.DEFAULT_MAX_SIZE == 256 * MIB
        monkeypatch.setattr(compression, 'DEFAULT_MAX_SIZE', 10)
        assert decompress(zlib.compress(b'x' * 10), 'zlib') == b'x' * 10
        with pytest.raises(DecodeError, match='limit of 10 bytes'):
            decompress(zlib.compress(b'x' * 11), 'zlib')
        with pytest.raises(DecodeError, match='limit of 10 bytes'):
            get_decoder('zlib')(zlib.compress(b'x' * 11))

    @every
    def test_a_bomb_is_never_unfolded(self, content_type: str) -> None:
        """No more than the limit and a chunk is in memory at any time."""
        size, most = 32 * MIB, 16 * MIB
        if content_type == 'application/x-lzma':
            bomb = lzma.compress(bytes(size), preset=0)  # of which the dictionary is small
        else:
            bomb = compress(bytes(size), content_type)[0]
        tracemalloc.start()
        try:
            with pytest.raises(DecodeError, match='limit'):
                decompress(bomb, content_type, max_size=MIB)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < most


class TestLibraries:
    """Libraries that stand in for one another."""

    def test_brotli_that_cannot_be_told_to_stop(self) -> None:
        brotli = pytest.importorskip('brotli')

        class Decompressor:
            def __init__(self) -> None:
                self._real = brotli.Decompressor()

            def process(self, data: bytes) -> bytes:
                assert len(data) <= 16
                return bytes(self._real.process(data))

            def is_finished(self) -> bool:
                return bool(self._real.is_finished())

        old = types.SimpleNamespace(Decompressor=Decompressor, compress=brotli.compress)
        pack, unpack = _libraries.brotli_functions(old)  # type: ignore[arg-type]
        body = bytes(range(256)) * 100
        assert unpack(pack(body), len(body)) == body
        for packed, limit in ((pack(body)[:-1], len(body)), (pack(body), len(body) - 1)):
            with pytest.raises(_libraries.Unreadable):
                unpack(packed, limit)
        with pytest.raises(brotli.error):
            unpack(pack(body) + b'garbage', len(body))

    @pytest.mark.parametrize('cut', [0, 255, 256, 257])
    def test_zstandard_is_fed_piece_by_piece(self, cut: int) -> None:
        """Streams end before, at and after the end of a piece."""
        zstandard = pytest.importorskip('zstandard')
        pack, unpack = _libraries.zstandard_functions(zstandard)
        frame = pack(bytes(range(256)) * 4)
        skipped = b'\x50\x2a\x4d\x18' + cut.to_bytes(4, 'little') + bytes(cut)
        assert unpack(frame * 3, 3072) == bytes(range(256)) * 12
        assert unpack(frame + skipped + frame, 3072) == bytes(range(256)) * 8
        for bad in (frame + b'garbage', frame[:-1], frame * 2 + b'\x00'):
            with pytest.raises((_libraries.Unreadable, zstandard.ZstdError)):
                unpack(bad, 10_000)

    def test_the_interface_of_the_standard_library(self) -> None:
        """That of compression.zstd, which bz2 has too."""
        module: Any = types.SimpleNamespace(
            compress=bz2.compress, ZstdDecompressor=bz2.BZ2Decompressor
        )
        pack, unpack = _libraries.zstd_functions(module)
        assert unpack(pack(b'abc') * 2, 6) == b'abcabc'

    def test_none_is_imported_before_it_is_used(self) -> None:
        loaded: list[str] = []

        def prepare(module: types.ModuleType) -> Any:
            loaded.append(module.__name__)
            return zlib.compress, lambda data, limit: zlib.decompress(data)

        library = compression._Library('colorsys', prepare)
        assert loaded == []
        assert zlib.decompress(library.compress(b'x')) == b'x'
        library.compress(b'x')
        assert loaded == ['colorsys']

    @pytest.mark.parametrize(
        ('module', 'there'),
        [
            ('zlib', True),
            ('no_such_module', False),
            ('no_such_package.module', False),
            ('xml.dom', True),
            ('xml.no_such_module', False),
            ('zlib.zstd', False),
        ],
    )
    def test_importable(self, module: str, there: bool) -> None:
        assert compression._importable(module) is there

    def test_blocked_modules_are_not_importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, 'backports.zstd', None)
        assert compression._importable('backports.zstd') is False

    def test_brotli_as_an_attribute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert compression.brotli is pytest.importorskip('brotli')
        monkeypatch.setitem(sys.modules, 'brotli', None)
        monkeypatch.setitem(sys.modules, 'brotlicffi', None)
        assert compression.brotli is None
        with pytest.raises(AttributeError, match='no_such_name'):
            compression.no_such_name  # noqa: B018
