"""The facade."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kombu

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    """Return what `code` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize('name', kombu.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(kombu, name) is getattr(kombu, name)


def test_version() -> None:
    assert kombu.__version__ == '6.0.0'
    assert kombu.VERSION == kombu.version_info == (6, 0, 0, '', '')
    assert (kombu.VERSION.major, kombu.VERSION.minor, kombu.VERSION.micro) == (6, 0, 0)
    assert type(kombu.VERSION).__name__ == 'version_info_t'


def test_submodules_are_attributes() -> None:
    """oslo.messaging reaches for them after a bare import."""
    assert (
        run('import kombu; print(kombu.exceptions.OperationalError.__name__)') == 'OperationalError'
    )
    assert run('import kombu; print(kombu.connection.BrokerConnection.__name__)') == 'Connection'


def test_names_do_not_hide_each_other() -> None:
    """`kombu.connections` are pools, `kombu.uuid` a function, `kombu.connection` a module."""
    code = (
        'import kombu.connection, kombu.utils.uuid; from kombu import uuid, connections; '
        'print(type(connections).__name__, len(uuid()), kombu.connection.__name__)'
    )
    assert run(code) == 'Connections 36 kombu.connection'


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'kombu' has no attribute 'nonsense'"):
        kombu.nonsense  # noqa: B018
    assert getattr(kombu, '_datadog_patch', False) is False


def test_dir() -> None:
    assert {'Connection', 'exceptions', 'VERSION', '__version__'} <= set(dir(kombu))


def test_names_can_be_replaced() -> None:
    """Agents assign to `kombu.Producer`, and expect to find what they assigned."""
    assert run('import kombu; kombu.Producer = 3; print(kombu.Producer)') == '3'
