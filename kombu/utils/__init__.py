"""What the package and its dependents share.

The names below live in the modules of this package; they are imported when they are first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# At once, because the name is that of its module: `kombu.utils.uuid` is the function.
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from kombu.utils.collections import EqualityDict
    from kombu.utils.compat import fileno, maybe_fileno, nested, register_after_fork
    from kombu.utils.div import emergency_dump_state
    from kombu.utils.functional import (
        fxrange,
        fxrangemax,
        maybe_list,
        reprcall,
        reprkwargs,
        retry_over_time,
    )
    from kombu.utils.imports import symbol_by_name
    from kombu.utils.objects import cached_property

__all__ = (
    'EqualityDict',
    'cached_property',
    'emergency_dump_state',
    'fileno',
    'fxrange',
    'fxrangemax',
    'maybe_fileno',
    'maybe_list',
    'nested',
    'register_after_fork',
    'reprcall',
    'reprkwargs',
    'retry_over_time',
    'symbol_by_name',
    'uuid',
)

#: Where each name comes from.
_HOME = {
    'EqualityDict': 'collections',
    'cached_property': 'objects',
    'emergency_dump_state': 'div',
    'fileno': 'compat',
    'fxrange': 'functional',
    'fxrangemax': 'functional',
    'maybe_fileno': 'compat',
    'maybe_list': 'functional',
    'nested': 'compat',
    'register_after_fork': 'compat',
    'reprcall': 'functional',
    'reprkwargs': 'functional',
    'retry_over_time': 'functional',
    'symbol_by_name': 'imports',
}

#: Modules that dependents reach as attributes after `import kombu.utils`.
_MODULES = frozenset({*_HOME.values(), 'encoding', 'json', 'url'})


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
