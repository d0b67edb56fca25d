"""What an import brings along, seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from t.architecture.tree import ROOT, STDLIB, matches

#: Loaded whatever is used: the distribution's own dependencies.
DEPENDENCIES = frozenset({'amqp', 'vine', 'typing_extensions'})

#: Of kombu.transport, what is there before a transport is chosen.
CONTRACT = frozenset({'kombu.transport', 'kombu.transport._options', 'kombu.transport.base'})

SCRIPT = """
import json, sys
before = set(sys.modules)
import {module}
json.dump(sorted(set(sys.modules) - before), sys.stdout)
"""


def loaded_by(module: str) -> set[str]:
    """Return the modules that `import module` loads."""
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT.format(module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize('module', ['kombu', 'kombu.connection', 'kombu.mixins', 'kombu.pools'])
def test_loads_nothing_optional(module: str) -> None:
    """Neither an optional package nor a transport that nobody asked for."""
    loaded = loaded_by(module)
    foreign = {name.partition('.')[0] for name in loaded} - STDLIB - DEPENDENCIES - {'kombu'}
    assert not foreign
    drivers = {name for name in loaded if matches(name, 'kombu.transport')} - CONTRACT
    assert not drivers


def test_the_facade_is_lazy() -> None:
    """`import kombu` itself loads the version only: the names come when they are used."""
    ours = {name for name in loaded_by('kombu') if matches(name, 'kombu')}
    assert ours <= {'kombu', 'kombu._version'}
