"""What every module of the package looks like."""

from __future__ import annotations

import ast

import pytest

from t.architecture.tree import Module, modules

MAX_LINES = 600

#: Modules that may read the wall clock, with the reason.  Waiting is by the monotonic clock; wall
#: time is only for what leaves the process.
WALL_CLOCK: dict[str, str] = {
    'kombu.asynchronous.timer': 'a date to wait for is wall time',
    'kombu.pidbox._mailbox': 'when a command expires travels with it',
    'kombu.transport._memory_broker': 'expiry times in envelopes count from the epoch; read once',
    'kombu.transport.virtual.declaring': 'times of messages are seconds since the epoch: other '
    'processes read them from the store, and `x-death` shows them',
}

#: Programs, which answer on standard output.
PROGRAMS = frozenset({'kombu.testing.__main__', 'kombu.testing.child'})

every_module = pytest.mark.parametrize('module', modules(), ids=lambda module: module.name)


@every_module
def test_has_a_docstring(module: Module) -> None:
    assert ast.get_docstring(module.tree), f'{module.where()}: say in a line what it is for'


@every_module
def test_is_small(module: Module) -> None:
    """A module that wants to grow past this is telling of a second responsibility."""
    lines = module.source.count('\n')
    assert lines <= MAX_LINES, f'{module.where(MAX_LINES)}: {lines} lines'


@every_module
def test_annotations_cost_nothing(module: Module) -> None:
    """Annotations are not evaluated at import."""
    typed = any(
        isinstance(node, (ast.AnnAssign, ast.FunctionDef)) for node in ast.walk(module.tree)
    )
    future = any(imported.target == '__future__' for imported in module.imports)
    assert future or not typed, f'{module.where()}: from __future__ import annotations'


@every_module
def test_imports_names_one_by_one(module: Module) -> None:
    wrong = [
        module.where(node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == '*' for alias in node.names)
    ]
    assert not wrong, 'import *'


@every_module
def test_does_not_print(module: Module) -> None:
    """A library logs or warns; standard output belongs to the application.

    Writing to a file that the caller gave (`print(..., file=file)`) is not printing.
    """
    wrong = [
        module.where(call.lineno)
        for name, call in module.calls()
        if name in {'print', 'pprint', 'sys.stdout.write'}
        and not any(keyword.arg == 'file' for keyword in call.keywords)
    ]
    assert not wrong or module.name in PROGRAMS


@every_module
def test_waits_by_the_monotonic_clock(module: Module) -> None:
    wrong = [
        module.where(call.lineno)
        for name, call in module.calls()
        if name in {'time.time', 'time.time_ns', 'datetime.now', 'datetime.utcnow'}
    ]
    wrong += [
        module.where(node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == 'time'
        and any(alias.name in {'time', 'time_ns'} for alias in node.names)
    ]
    assert not wrong or module.name in WALL_CLOCK, 'use monotonic(), or say why not in WALL_CLOCK'


def test_exceptions_name_modules_that_exist() -> None:
    """An exception that nothing needs any more is taken out."""
    assert not {*WALL_CLOCK, *PROGRAMS} - {module.name for module in modules()}
