"""What README.rst says the transports can do is what they declare."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace

import pytest

from t.architecture.tree import ROOT


@pytest.fixture(scope='module')
def script() -> ModuleType:
    """Return the script that makes the table; it is no part of a package."""
    spec = spec_from_file_location('transport_table', ROOT / 'docs' / '_ext' / 'transport_table.py')
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_up_to_date(script: ModuleType) -> None:
    _, block, _ = script.split((ROOT / 'README.rst').read_text('utf-8'))
    assert block.strip('\n') == script.table(), (
        f'{sys.executable} docs/_ext/transport_table.py --write'
    )


def test_every_transport_has_a_column(script: ModuleType) -> None:
    """A column for every module of a built-in transport."""
    from_aliases = {path.partition(':')[0] for path in script.TRANSPORT_ALIASES.values()}
    assert {cls.__module__ for cls in script.transports().values()} <= from_aliases
    assert len(script.transports()) == len(from_aliases)


def test_transports_claim_only_what_is_defined(script: ModuleType) -> None:
    """A misspelt capability would be a claim that nothing checks."""
    known = {*script.CAPABILITIES, 'exchange_type'}
    for name, cls in script.transports().items():
        assert not set(cls.implements) - known, name


def test_render(script: ModuleType) -> None:
    """The table is plain reStructuredText, readable as it stands."""
    plain = {'exchange_type': frozenset({'direct'}), 'priority': True}
    fake = SimpleNamespace(implements=Implements(plain))
    lines = script.render(script.rows({'fake': fake})).splitlines()
    assert lines[1].split() == ['feature', 'fake']
    assert lines[3].split() == ['direct', 'exchange', 'yes']
    assert any(line.split() == ['priority', 'yes'] for line in lines)
    assert any(line.split() == ['dead', 'letter', '—'] for line in lines)


class Implements(dict[str, object]):
    """As much of `kombu.transport.base.Implements` as the script reads."""

    exchange_type = frozenset({'direct'})
