"""The two sides: this kombu, and the released one."""

from __future__ import annotations

import os
import subprocess

import pytest

from t.brokers.plugin import found_or_started
from t.brokers.server import Unavailable
from t.interop.sides import Ours, Side

VARIABLE = 'KOMBU_PEER_PYTHON'
HOW = (
    'python -m venv peer && '
    'peer/bin/pip install kombu==5.7.0 msgpack pyyaml brotli zstandard && '
    f'export {VARIABLE}=$PWD/peer/bin/python'
)


def _released() -> Side:
    python = os.environ.get(VARIABLE)
    if not python:
        raise Unavailable(HOW)
    side = Side('kombu 5', python)
    done = subprocess.run(
        [python, '-c', 'import kombu; print(kombu.__version__)'],
        env=side.environment,
        cwd='/',
        capture_output=True,
        text=True,
        timeout=20,
    )
    if not done.stdout.startswith('5.'):
        found = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
        raise Unavailable(f'{VARIABLE} has {found}; {HOW}')
    return side


@pytest.fixture(scope='session', autouse=True)
def released() -> Side:
    """The released kombu."""
    return found_or_started('kombu5', _released)


@pytest.fixture(params=['from kombu 5', 'to kombu 5'])
def pair(request: pytest.FixtureRequest, released: Side) -> tuple[Side, Side]:
    """The side that begins, and the other one."""
    return (released, Ours()) if request.param == 'from kombu 5' else (Ours(), released)
