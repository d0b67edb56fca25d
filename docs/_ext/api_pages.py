"""A Sphinx extension: a page for each public module, written when the build begins.

The pages go to `docs/api`, which is not kept in the repository: what the modules say of themselves
is said once, in their docstrings.  A name that several modules export is described where it is at
home, and the others refer to it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

TITLE = 'API reference'

PAGE = """\
{title}
{rule}

.. automodule:: {module}
   :members:
   :show-inheritance:
"""

INDEX = """\
{title}
{rule}

.. toctree::
   :maxdepth: 1

{pages}
"""


def public_modules(package: Path) -> list[str]:
    """Return the dotted names of the modules of `package` that have no underscore in front."""
    found = []
    for path in package.rglob('*.py'):
        parts = path.relative_to(package.parent).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        if not any(part.startswith('_') for part in parts):
            found.append('.'.join(parts))
    return sorted(found)


def exports(modules: list[str]) -> dict[str, dict[str, Any]]:
    """Return, by module, the names in its `__all__` with what they stand for."""
    return {
        module: {name: getattr(loaded, name) for name in getattr(loaded, '__all__', ())}
        for module in modules
        if (loaded := import_module(module))
    }


def homes(exported: dict[str, dict[str, Any]]) -> dict[Any, str]:
    """Return where classes and functions are described, as dotted names.

    That is the exporting module nearest to the definition, and their own name where it has that.
    """
    found: dict[Any, tuple[int, bool, str]] = {}
    for module, names in exported.items():
        for name, value in names.items():
            if isinstance(value, (type, FunctionType)):
                near = common_prefix(module.split('.'), value.__module__.split('.'))
                candidate = (-near, name != value.__name__, f'{module}.{name}')
                found[value] = min(found.get(value, candidate), candidate)
    return {value: where for value, (_, _, where) in found.items()}


def common_prefix(one: list[str], other: list[str]) -> int:
    """Return how many leading parts two dotted names share."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def page(module: str, names: dict[str, Any], home_of: dict[Any, str]) -> str:
    """Return the text of the page of `module`, which exports `names`."""
    text = PAGE.format(title=f'``{module}``', rule='=' * (len(module) + 4), module=module)
    elsewhere = {
        name: home_of[value]
        for name, value in names.items()
        if isinstance(value, (type, FunctionType)) and home_of[value] != f'{module}.{name}'
    }
    if elsewhere:
        text += f'   :exclude-members: {", ".join(elsewhere)}\n\nDescribed elsewhere:\n\n'
        for name, home in sorted(elsewhere.items()):
            text += f'- :py:obj:`{name} <{home}>`\n'
    return text


def skip_aliases(
    app: Any, what: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leave out attributes of classes that name another class: it has a description of its own."""
    is_alias = what == 'class' and isinstance(value, type) and '.' not in value.__qualname__
    return True if is_alias else None


def write_pages(app: Any) -> None:
    """Write the pages that changed, and remove those of modules that are gone."""
    folder = Path(app.srcdir) / 'api'
    folder.mkdir(exist_ok=True)
    modules = public_modules(Path(app.srcdir).parent / 'kombu')
    exported = exports(modules)
    home_of = homes(exported)
    texts = {f'{module}.rst': page(module, names, home_of) for module, names in exported.items()}
    lines = '\n'.join(f'   {module}' for module in modules)
    texts['index.rst'] = INDEX.format(title=TITLE, rule='=' * len(TITLE), pages=lines)
    for path in folder.glob('*.rst'):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        # An unchanged file keeps its time: the next build reads only what is new.
        if not path.exists() or path.read_text('utf-8') != text:
            path.write_text(text, 'utf-8')


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for its sources."""
    app.connect('builder-inited', write_pages)
    app.connect('autodoc-skip-member', skip_aliases)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
