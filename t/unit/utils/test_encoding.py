from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from kombu.utils import encoding


@pytest.mark.parametrize('convert', [encoding.str_to_bytes, encoding.ensure_bytes])
def test_to_bytes(convert: Callable[[Any], Any]) -> None:
    assert convert('é') == b'\xc3\xa9'
    assert convert(b'\xff') == b'\xff'
    assert convert(None) is None
    assert convert(3) == 3


def test_to_str() -> None:
    assert encoding.bytes_to_str(b'\xc3\xa9') == 'é'
    assert encoding.bytes_to_str(b'\xff') == '\ufffd'
    assert encoding.bytes_to_str('é') == 'é'
    assert encoding.bytes_to_str(None) is None


def test_identities() -> None:
    assert encoding.from_utf8('é', 'ignore') == encoding.default_encode('é') == 'é'


class Broken:
    def __repr__(self) -> str:
        raise KeyError('why')


class Hopeless:
    def __repr__(self) -> str:
        raise HopelessError


class HopelessError(Exception):
    def __repr__(self) -> str:
        raise HopelessError


@pytest.mark.parametrize(
    ('thing', 'text'),
    [
        ('é', 'é'),
        (b'\xc3\xa9', 'é'),
        (b'\xff', '\ufffd'),
        (None, 'None'),
        ([1, 'é'], "[1, 'é']"),
        (Broken(), f"<Unrepresentable {Broken!r}: KeyError('why')>"),
        (Hopeless(), f'<Unrepresentable {Hopeless!r}: HopelessError>'),
    ],
)
def test_safe_str(thing: Any, text: str) -> None:
    assert encoding.safe_str(thing) == text


def test_safe_str_with_unknown_error_handler() -> None:
    assert encoding.safe_str(b'\xff', errors='bogus').startswith('<Unrepresentable')


def test_safe_repr() -> None:
    assert encoding.safe_repr('é') == "'é'"
    assert encoding.safe_repr(Broken()).startswith('<Unrepresentable')


def test_default_encoding() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), encoding='latin-1')
    assert encoding.default_encoding() == 'utf-8'
    assert encoding.default_encoding(latin) == 'latin-1'
    encoding.set_default_encoding_file(latin)
    try:
        assert encoding.default_encoding() == 'latin-1'
        assert encoding.get_default_encoding_file() is encoding.default_encoding_file is latin
    finally:
        encoding.set_default_encoding_file(None)
