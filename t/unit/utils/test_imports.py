from __future__ import annotations

import os.path
from typing import Any

import pytest

from kombu.utils.imports import symbol_by_name


@pytest.mark.parametrize(
    'name', ['os.path.join', 'os.path:join', 'os:path.join', 'join', 'path:join']
)
def test_finds(name: str) -> None:
    aliases = {'join': 'os.path:join', 'path:join': os.path.join}
    assert symbol_by_name(name, aliases) is os.path.join


def test_module() -> None:
    assert symbol_by_name('os') is os


def test_relative_names() -> None:
    assert symbol_by_name('.imports:symbol_by_name', package='kombu.utils') is symbol_by_name
    assert symbol_by_name('.imports', package='kombu.utils').symbol_by_name is symbol_by_name
    assert symbol_by_name(':join', package='os.path') is os.path.join


def test_other_separator() -> None:
    assert symbol_by_name('os/path', sep='/') is os.path


@pytest.mark.parametrize('thing', [None, 3, dict, os])
def test_objects_are_returned(thing: Any) -> None:
    assert symbol_by_name(thing) is thing


@pytest.mark.parametrize('name', ['no_such_module.x', 'no_such_module:x', 'os.nothing', 'os:a.b'])
def test_missing(name: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        symbol_by_name(name)
    assert symbol_by_name(name, default=4) == 4


@pytest.mark.parametrize('name', ['', ':x'])
def test_no_module(name: str) -> None:
    with pytest.raises(ValueError, match='names no module'):
        symbol_by_name(name)


def test_import_function() -> None:
    calls = []

    def imp(module: str, package: str | None = None, **kwargs: Any) -> Any:
        calls.append((module, package, kwargs))
        return os

    assert symbol_by_name('a.b:path', imp=imp, package='c', d=1) is os.path
    assert calls == [('a.b', 'c', {'d': 1})]
