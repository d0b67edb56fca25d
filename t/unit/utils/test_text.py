from __future__ import annotations

import re

import pytest

from kombu.utils.text import escape_regex, fmatch_best, fmatch_iter, version_string_as_tuple


def test_escape_regex() -> None:
    text = 'a.b*c-d_e f[é]\000'
    assert re.fullmatch(escape_regex(text), text)
    assert escape_regex('a.b*[', white='.*') == 'a.b*\\['


def test_fmatch() -> None:
    assert fmatch_best('conection', ['con', 'connection', 'zzz']) == 'connection'
    assert fmatch_best('q', ['connection']) is None
    assert fmatch_best('a', []) is None
    assert [key for _, key in fmatch_iter('con', ['conn', 'cob', 'x'])] == ['conn', 'cob']
    assert list(fmatch_iter('con', ['conn'], min_ratio=0.9)) == []


@pytest.mark.parametrize(
    ('text', 'version'),
    [
        ('1.2.3', (1, 2, 3, '', '')),
        ('3', (3, 0, 0, '', '')),
        ('3.7', (3, 7, 0, '', '')),
        ('1.2.3rc1', (1, 2, 3, 'rc1', '')),
        ('1.2.3.4a', (1, 2, 3, '4a', '')),
        ('5.4.0rc1.dev2', (5, 4, 0, 'rc1', 'dev2')),
        ('2.0-dev', (2, 0, 0, '-dev', '')),
        ('0.9.1.', (0, 9, 1, '', '')),
    ],
)
def test_version(text: str, version: tuple[int, int, int, str, str]) -> None:
    assert version_string_as_tuple(text) == version


def test_version_has_names() -> None:
    assert version_string_as_tuple('1.2.3').micro == 3


@pytest.mark.parametrize('text', ['', 'a.b', 'v1.2'])
def test_no_version(text: str) -> None:
    with pytest.raises(ValueError, match='not a version'):
        version_string_as_tuple(text)
