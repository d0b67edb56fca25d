"""The source tree: modules and what they import, read without running any of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'kombu'

#: `compression` is a package of the standard library from Python 3.14 on.
STDLIB = sys.stdlib_module_names | {'compression'}

#: Calls that import what their first argument names.
IMPORTING_CALLS = frozenset(
    {'__import__', 'import_module', 'importlib.import_module', 'symbol_by_name'}
)


@dataclass(frozen=True)
class Import:
    """One module name that a module imports, wherever in the file that happens."""

    target: str
    line: int
    #: Inside a function: paid for at call time, and easily overlooked.
    deferred: bool
    #: Inside `try`: allowed to fail.
    guarded: bool
    #: Inside `if TYPE_CHECKING`: never executed.
    typing_only: bool

    @property
    def top(self) -> str:
        return self.target.partition('.')[0]


@dataclass(frozen=True)
class Module:
    """A module of the package."""

    name: str
    path: Path
    source: str

    def __repr__(self) -> str:
        return self.where()

    def where(self, line: int = 1) -> str:
        """Return `path:line`, the way editors like it."""
        return f'{self.path.relative_to(ROOT)}:{line}'

    @property
    def is_package(self) -> bool:
        return self.path.name == '__init__.py'

    @property
    def is_public(self) -> bool:
        return not any(part.startswith('_') for part in self.name.split('.'))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, filename=str(self.path))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import of the file, those by name (`import_module('kombu.x')`) included."""
        return tuple(self._imports(self.tree, deferred=False, guarded=False, typing_only=False))

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call whose function is a plain or dotted name, with that name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                yield name, node

    def _imports(
        self, node: ast.AST, *, deferred: bool, guarded: bool, typing_only: bool
    ) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom, ast.Call)):
                for target in self._targets(child):
                    yield Import(target, child.lineno, deferred, guarded, typing_only)
            inside_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            inside_typing = isinstance(child, ast.If) and dotted(child.test) in {
                'TYPE_CHECKING',
                'typing.TYPE_CHECKING',
            }
            yield from self._imports(
                child,
                deferred=deferred or inside_function,
                guarded=guarded or isinstance(child, ast.Try),
                typing_only=typing_only or inside_typing,
            )

    def _targets(self, node: ast.Import | ast.ImportFrom | ast.Call) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(node.module, node.level)
            for alias in node.names:
                submodule = f'{base}.{alias.name}'
                yield submodule if submodule in names() else base
        elif (
            dotted(node.func) in IMPORTING_CALLS
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).partition(':')[0]

    def _absolute(self, module: str | None, level: int) -> str:
        if not level:
            return module or ''
        here = self.name.split('.')
        base = here[: len(here) - level + self.is_package]
        return '.'.join([*base, *([module] if module else [])])


def dotted(node: ast.AST) -> str:
    """Return 'a.b.c' for a name or an attribute chain, '' for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f'{base}.{node.attr}'
    return ''


@cache
def paths() -> dict[str, Path]:
    """Return where each module of the package lives, by its dotted name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


@cache
def names() -> frozenset[str]:
    """Return the dotted name of every module of the package."""
    return frozenset(paths())


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package, parsed once for all tests."""
    return tuple(Module(name, path, path.read_text('utf-8')) for name, path in paths().items())


def matches(name: str, pattern: str) -> bool:
    """Tell whether `pattern` names `name` itself or a package around it."""
    return name == pattern or name.startswith(f'{pattern}.')
