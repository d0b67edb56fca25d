"""Who may import whom.

A module imports from its own layer or below; imports inside functions and under TYPE_CHECKING count
like any other, and so does `import_module` with a literal name.  There are no circles.  The table
below is the architecture: a new module has to find its place in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from t.architecture.tree import STDLIB, Import, Module, matches, modules, names

#: Bottom to top: name of the layer, and the modules in it.  The longest pattern that names a module
#: or a package around it wins.
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('errors', ('kombu._version', 'kombu.exceptions')),
    (
        'foundation',
        ('kombu.utils', 'kombu.clocks', 'kombu.log', 'kombu.matcher', 'kombu.resource'),
    ),
    ('codec', ('kombu.compression', 'kombu.message', 'kombu.serialization')),
    ('event loop', ('kombu.asynchronous',)),
    (
        'contract',
        ('kombu._late', 'kombu.transport', 'kombu.transport._options', 'kombu.transport.base'),
    ),
    ('virtual broker', ('kombu.transport.virtual',)),
    ('drivers', ('kombu.transport.*',)),
    ('abstract', ('kombu.abstract',)),
    ('entities', ('kombu.entity',)),
    ('common', ('kombu.common',)),
    ('messaging', ('kombu.messaging',)),
    ('simple', ('kombu.simple',)),
    (
        'connection',
        (
            'kombu._description',
            'kombu._failover',
            'kombu._link',
            'kombu._retry',
            'kombu._target',
            'kombu.connection',
        ),
    ),
    ('pools', ('kombu.pools',)),
    ('helpers', ('kombu.compat', 'kombu.mixins', 'kombu.pidbox')),
    ('facade', ('kombu',)),
    ('testing', ('kombu.testing',)),
)

#: Imports that look up, as (importer, imported) with the reason.
UPWARD: dict[tuple[str, str], str] = {
    (
        'kombu._late',
        'kombu.messaging',
    ): 'channel.Consumer() and channel.Producer() are public API of the transports',
}

#: Imports inside a function of what is always there, as (importer, imported) with the reason.
DEFERRED: dict[tuple[str, str], str] = {
    ('kombu._late', 'kombu.messaging'): 'the one upward reference has to wait until it is called',
    ('kombu.transport', 'importlib.metadata'): 'slow to import, and only unknown names need it',
}

#: The pure core of the virtual layer decides with what it is given: it has no sockets, threads,
#: clocks, logging or randomness.
PURE_PACKAGE = 'kombu.transport.virtual'
IMPURE = frozenset(
    {
        'asyncio', 'logging', 'multiprocessing', 'os', 'queue', 'random', 'secrets', 'select',
        'selectors', 'socket', 'subprocess', 'threading', 'time', 'uuid',
    }
)  # fmt: skip
#: Modules of it with a leading underscore that do touch the world, with the reason.
NOT_PURE: dict[str, str] = {}


def layer_of(name: str) -> int | None:
    """Return the rank of the layer that `name` is in."""
    best, rank = -1, None
    for index, (_, patterns) in enumerate(LAYERS):
        for pattern in patterns:
            if pattern.endswith('.*'):
                fits = name.startswith(pattern[:-1])
            else:
                # The facade is one module: were it a pattern for all, nothing would lack a layer.
                fits = name == pattern or (pattern != 'kombu' and matches(name, pattern))
            if fits and len(pattern) > best:
                best, rank = len(pattern), index
    return rank


def internal_imports() -> Iterator[tuple[Module, Import]]:
    """Yield every import of one module of the package by another."""
    for module in modules():
        for imported in module.imports:
            if imported.top == 'kombu':
                yield module, imported


def describe(module: Module, imported: Import) -> str:
    return f'{module.where(imported.line)}: {module.name} imports {imported.target}'


def test_every_module_has_a_layer() -> None:
    homeless = [module.where() for module in modules() if layer_of(module.name) is None]
    assert not homeless, 'add them to LAYERS'


def test_imports_look_down() -> None:
    """A module imports from its own layer or below."""
    wrong = []
    for module, imported in internal_imports():
        mine, theirs = layer_of(module.name), layer_of(imported.target)
        if mine is None or theirs is None or (module.name, imported.target) in UPWARD:
            continue
        if theirs > mine:
            wrong.append(
                f'{describe(module, imported)}: {LAYERS[mine][0]} looks up to {LAYERS[theirs][0]}'
            )
    assert not wrong, '\n'.join(wrong)


def test_imports_name_modules_that_exist() -> None:
    """A name that is imported by text would otherwise go unnoticed until it is used."""
    wrong = [describe(m, i) for m, i in internal_imports() if i.target not in names()]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('layer', ['drivers', 'helpers'])
def test_siblings_do_not_import_each_other(layer: str) -> None:
    """A driver knows nothing of another driver, nor a helper of another helper.

    A module named `_...` is a part of a driver, not a driver.
    """
    rank = [name for name, _ in LAYERS].index(layer)
    depth = 3 if layer == 'drivers' else 2

    def unit(name: str) -> str:
        return '.'.join(name.split('.')[:depth])

    wrong = [
        describe(module, imported)
        for module, imported in internal_imports()
        if layer_of(module.name) == layer_of(imported.target) == rank
        and unit(module.name) != unit(imported.target)
        and not unit(imported.target).rpartition('.')[2].startswith('_')
    ]
    assert not wrong, '\n'.join(wrong)


def test_no_import_circles() -> None:
    """The graph of imports, of every kind, has no cycles."""
    graph: dict[str, set[str]] = {name: set() for name in names()}
    for module, imported in internal_imports():
        if (module.name, imported.target) not in UPWARD and imported.target in graph:
            graph[module.name].add(imported.target)
    circles = [sorted(component) for component in components(graph) if len(component) > 1]
    circles += [[name] for name, targets in graph.items() if name in targets]
    assert not circles


def components(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """Yield the strongly connected components of `graph` (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> Iterator[set[str]]:
        number[node] = low[node] = len(number)
        stack.append(node)
        for target in graph[node]:
            if target not in number:
                yield from visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], number[target])
        if low[node] == number[node]:
            cut = stack.index(node)
            yield set(stack[cut:])
            del stack[cut:]

    for node in graph:
        if node not in number:
            yield from visit(node)


def test_components_finds_circles() -> None:
    """The circle test would notice one."""
    found = {frozenset(c) for c in components({'a': {'b'}, 'b': {'c'}, 'c': {'b'}, 'd': {'a'}})}
    assert found == {frozenset('a'), frozenset('bc'), frozenset('d')}


def test_deferred_imports_are_for_optional_packages() -> None:
    """Inside a function only a third-party package is imported: one that is not always there."""
    wrong = [
        describe(module, imported)
        for module in modules()
        for imported in module.imports
        if imported.deferred
        and (imported.top == 'kombu' or imported.top in STDLIB)
        and (module.name, imported.target) not in DEFERRED
    ]
    assert not wrong, '\n'.join(wrong)


def test_optional_packages_are_not_imported_outright() -> None:
    """At module level there are the standard library and the dependencies; others are guarded."""
    always = STDLIB | {'kombu', 'amqp', 'vine'}
    wrong = [
        describe(module, imported)
        for module in modules()
        for imported in module.imports
        if imported.top not in always
        and not (imported.deferred or imported.guarded or imported.typing_only)
    ]
    assert not wrong, '\n'.join(wrong)


def test_the_core_of_the_virtual_layer_is_pure() -> None:
    """Modules named `_…` in the virtual layer get time and ids as arguments."""
    wrong = [
        describe(module, imported)
        for module in modules()
        if module.name.startswith(f'{PURE_PACKAGE}._') and module.name not in NOT_PURE
        for imported in module.imports
        if imported.top in IMPURE
    ]
    assert not wrong, '\n'.join(wrong)


def test_the_pure_core_builds_on_pure_modules() -> None:
    """Of the virtual layer, the core imports nothing but itself."""
    core = f'{PURE_PACKAGE}._'
    wrong = [
        describe(module, imported)
        for module, imported in internal_imports()
        if module.name.startswith(core)
        and module.name not in NOT_PURE
        and matches(imported.target, PURE_PACKAGE)
        and (not imported.target.startswith(core) or imported.target in NOT_PURE)
    ]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('table', [UPWARD, DEFERRED], ids=['UPWARD', 'DEFERRED'])
def test_exceptions_are_used(table: dict[tuple[str, str], str]) -> None:
    """An exception that nothing needs any more is taken out."""
    used = {(module.name, imported.target) for module in modules() for imported in module.imports}
    assert not set(table) - used
