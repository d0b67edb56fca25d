"""Every public name is there, and says what it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import kombu


def public_modules() -> list[str]:
    """List the modules that others may import."""
    found = ['kombu']
    for module in pkgutil.walk_packages(kombu.__path__, 'kombu.', onerror=lambda name: None):
        parts = module.name.split('.')
        if not any(part.startswith('_') for part in parts):
            found.append(module.name)
    return found


MODULES = public_modules()

#: What is still missing; an entry that is not needed any more makes its test fail.
MISSING = {
    'names': {'kombu.testing.scenarios'},
    'methods': {
        'kombu.testing',
        'kombu.testing.scenarios',
        'kombu.testing.target',
        'kombu.transport.virtual.publishing',
        'kombu.utils.functional',
    },
}


def modules(what: str) -> list[object]:
    """List the modules as parameters, with those marked that miss something."""
    mark = pytest.mark.xfail(strict=True, reason='still missing')
    return [pytest.param(m, marks=mark) if m in MISSING[what] else m for m in MODULES]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        if exc.name is not None and exc.name.startswith('kombu'):
            raise
        pytest.skip(f'its client library is not installed ({exc})')


def names(module: ModuleType) -> list[tuple[str, object]]:
    return [(name, getattr(module, name)) for name in module.__all__]


@pytest.mark.parametrize('name', modules('names'))
def test_a_module_says_what_is_public(name: str) -> None:
    module = load(name)
    assert module.__doc__, 'no docstring'
    listed = module.__all__
    assert len(set(listed)) == len(listed), 'listed twice'
    missing = [entry for entry in listed if not hasattr(module, entry)]
    assert not missing


@pytest.mark.parametrize('name', modules('names'))
def test_what_is_public_has_a_docstring(name: str) -> None:
    silent = [
        entry
        for entry, thing in names(load(name))
        if (inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing))
        and (thing.__module__ if not inspect.ismodule(thing) else entry).startswith('kombu')
        and not (thing.__doc__ or '').strip()
    ]
    assert not silent


@pytest.mark.parametrize('name', modules('methods'))
def test_public_methods_have_a_docstring(name: str) -> None:
    """Their own, or that of what they override."""
    silent = [
        f'{entry}.{method}'
        for entry, thing in names(load(name))
        if inspect.isclass(thing) and thing.__module__.startswith('kombu')
        for method, function in vars(thing).items()
        if not method.startswith('_') and inspect.isfunction(function)
        if not inspect.getdoc(getattr(thing, method))
    ]
    assert not silent


def test_star_imports_work() -> None:
    namespace: dict[str, object] = {}
    exec('from kombu import *', namespace)  # noqa: S102
    assert {'Connection', 'Exchange', 'Queue', 'Producer', 'Consumer'} <= set(namespace)


def test_dir_lists_what_is_loaded_when_asked_for() -> None:
    assert set(kombu.__all__) <= set(dir(kombu))
