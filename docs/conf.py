"""How Sphinx builds the documentation: `make -C docs html`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / '_ext')]

from kombu._version import __version__  # noqa: E402 - found by the line above

project = 'kombu'
author = 'the kombu authors'
copyright = f'2026, {author}'
version = release = __version__

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.doctest',
    'sphinx.ext.napoleon',
    'api_pages',
    'transport_directive',
]
exclude_patterns = ['_build']
default_role = 'code'

html_theme = 'furo' if find_spec('furo') else 'alabaster'
html_title = f'kombu {release}'

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_numpy_docstring = False

# An annotation names a type as its module does, e.g. `type`; that another page has that name too is
# no fault.
suppress_warnings = ['ref.python']
nitpicky = True
nitpick_ignore_regex = [
    # No network at build time, so no inventories: only names of our own can be, and are, resolved.
    (r'py:.*', r'(?!kombu(\.|$)).*'),
    # Type variables, and private modules, have no page.
    (r'py:.*', r'kombu\.(.*\.)?([A-Z](\w*T)?|_.*)'),
]
# A base class that is not exported.
nitpick_ignore = [('py:class', 'kombu.simple.SimpleBase')]
