"""A Sphinx extension: a page for each public module, written when the build begins.

The pages go to `docs/api`, which is not kept in the repository: what the modules say of themselves is
said once, in their docstrings.
"""

from __future__ import annotations

from pathlib import Path
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
    """Return the dotted names of the modules in `package` whose names have no underscore in front."""
    found = []
    for path in package.rglob('*.py'):
        parts = path.relative_to(package.parent).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        if not any(part.startswith('_') for part in parts):
            found.append('.'.join(parts))
    return sorted(found)


def write_pages(app: Any) -> None:
    """Write the pages that changed, so that a second build is a short one; remove those of modules that went."""
    folder = Path(app.srcdir) / 'api'
    folder.mkdir(exist_ok=True)
    modules = public_modules(Path(app.srcdir).parent / 'kombu')
    texts = {
        f'{module}.rst': PAGE.format(title=f'``{module}``', rule='=' * (len(module) + 4), module=module)
        for module in modules
    }
    lines = '\n'.join(f'   {module}' for module in modules)
    texts['index.rst'] = INDEX.format(title=TITLE, rule='=' * len(TITLE), pages=lines)
    for path in folder.glob('*.rst'):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text('utf-8') != text:
            path.write_text(text, 'utf-8')


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for its sources."""
    app.connect('builder-inited', write_pages)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
