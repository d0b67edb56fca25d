"""Finding objects by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ('symbol_by_name',)


def symbol_by_name(
    name: Any,
    aliases: Mapping[str, Any] | None = None,
    imp: Callable[..., Any] | None = None,
    package: str | None = None,
    sep: str = '.',
    default: Any = None,
    **kwargs: Any,
) -> Any:
    """Import an object by its name.

    Args:
        name: `'package.module.attribute'`, `'package.module:attribute'` or `'package'`; anything
            but text is returned as it is.
        aliases: short names, and the names or objects that they stand for.
        imp: imports a module, instead of `importlib.import_module`; called with the module's name,
            `package` and the further keyword arguments.
        package: what a name with a leading dot is relative to.
        sep: what separates the attribute where there is no colon.
        default: returned instead of raising, unless it is None.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such attribute.
        ValueError: the name is empty.
    """
    if not isinstance(name, str):
        return name
    path = name if aliases is None else aliases.get(name, name)
    if not isinstance(path, str):
        return path
    if ':' in path:
        module, _, attribute = path.partition(':')
        module = module or package or ''
    else:
        module, _, attribute = path.rpartition(sep)
        if not module.strip('.'):  # 'os', '.sibling': all of it is the module
            module, attribute = path, ''
    if not module:
        raise ValueError(f'cannot import {name!r}: it names no module')
    try:
        found = (import_module if imp is None else imp)(module, package=package, **kwargs)
        for part in attribute.split('.') if attribute else ():
            found = getattr(found, part)
    except (ImportError, AttributeError):
        if default is None:
            raise
        return default
    return found
