"""The metadata of the distribution says what the tree holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from t.architecture.tree import ROOT, modules

REQUIREMENTS = sorted((ROOT / 'requirements').rglob('*.txt'))
EXTRAS = frozenset(path.stem for path in (ROOT / 'requirements' / 'extras').glob('*.txt'))

#: Names that dependents put between the brackets of `kombu[...]`.
ASKED_FOR = frozenset(
    {
        'brotli', 'consul', 'etcd', 'librabbitmq', 'mongodb', 'msgpack', 'pyro', 'qpid', 'redis',
        'slmq', 'sqlalchemy', 'sqs', 'yaml', 'zookeeper', 'zstd',
    }
)  # fmt: skip


def test_extras_have_the_names_that_dependents_use() -> None:
    assert EXTRAS == ASKED_FOR


@pytest.mark.parametrize('path', REQUIREMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_requirements_say_why(path: Path) -> None:
    """A file begins with what it is for."""
    assert path.read_text('utf-8').startswith('# ')


def test_version_is_a_literal() -> None:
    """The build reads it from the source, without importing the package."""
    (module,) = (module for module in modules() if module.name == 'kombu._version')
    values = [
        node.value
        for node in module.tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__version__'
    ]
    assert len(values) == 1
    assert isinstance(values[0], ast.Constant)


def test_changelog_tells_of_this_version() -> None:
    (version,) = (
        line.partition("'")[2].rstrip("'")
        for line in (ROOT / 'kombu' / '_version.py').read_text('utf-8').splitlines()
        if line.startswith('__version__')
    )
    assert f'\n{version} ' in (ROOT / 'CHANGELOG.rst').read_text('utf-8')


def test_package_is_marked_as_typed() -> None:
    assert (ROOT / 'kombu' / 'py.typed').is_file()
