from __future__ import annotations

import sys

import pytest

from kombu.utils.optional import import_optional


def test_imports() -> None:
    assert import_optional('json', 'json', 'a test') is sys.modules['json']


def test_missing() -> None:
    with pytest.raises(ImportError) as caught:
        import_optional('no_such_package.sub', 'redis', 'the redis transport')
    text = str(caught.value)
    assert 'the redis transport' in text
    assert "'no_such_package'" in text
    assert 'pip install "kombu[redis]"' in text
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert caught.value.name == 'no_such_package'
