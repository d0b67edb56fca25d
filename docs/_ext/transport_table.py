"""The table of what each transport can do, made from the `implements` of the transports themselves.

As a script:

    python docs/_ext/transport_table.py            print the table
    python docs/_ext/transport_table.py --check    exit with 1 where README.rst holds another one
    python docs/_ext/transport_table.py --write    put it into README.rst, between its markers

The documentation shows it, and what its rows mean, by the directive of `transport_directive.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.base import CAPABILITIES
from kombu.utils.imports import symbol_by_name

README = Path(__file__).resolve().parents[2] / 'README.rst'
BEGIN, END = '.. transports-begin', '.. transports-end'

YES, NO = 'yes', '—'


def transports() -> dict[str, Any]:
    """Return the built-in transports by name: the first alias of each, in the order of the aliases.

    An alias for the same thing over TLS is left out: the class says the same of itself.
    """
    found: dict[str, Any] = {}
    modules = set()
    for alias, path in TRANSPORT_ALIASES.items():
        module = path.partition(':')[0]
        if module not in modules:
            modules.add(module)
            found[alias] = symbol_by_name(path)
    return found


def rows(classes: Mapping[str, Any]) -> list[list[str]]:
    """Return the table as lists of cells, the heading first."""
    table = [['feature', *classes]]
    kinds = sorted({kind for cls in classes.values() for kind in cls.implements.exchange_type})
    for kind in kinds:
        cells = (kind in cls.implements.exchange_type for cls in classes.values())
        table.append([f'{kind} exchange', *(YES if cell else NO for cell in cells)])
    for capability in CAPABILITIES:
        cells = (bool(cls.implements.get(capability)) for cls in classes.values())
        table.append([capability.replace('_', ' '), *(YES if cell else NO for cell in cells)])
    return table


def render(table: list[list[str]]) -> str:
    """Return `table` as a simple table of reStructuredText."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = '  '.join('=' * width for width in widths)
    heading, *body = ['  '.join(map(str.ljust, line, widths)).rstrip() for line in table]
    return '\n'.join([rule, heading, rule, *body, rule])


def legend() -> str:
    """Return what each capability means, as a definition list."""
    return '\n'.join(
        f'{name.replace("_", " ")}\n    {sentence[0].upper()}{sentence[1:]}.'.replace('`', '``')
        for name, sentence in CAPABILITIES.items()
    )


def table() -> str:
    """Return the table of the built-in transports."""
    return render(rows(transports()))


def split(text: str) -> tuple[str, str, str]:
    """Cut `text` into what is before, between and after the marker comments.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(f'{BEGIN}\n')
    block, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f'no block between {BEGIN!r} and {END!r}')
    return before + begin, block, end + after


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the script.

    Returns:
        0, or 1 where `--check` found another table.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group()
    action.add_argument('--check', action='store_true', help='compare with README.rst')
    action.add_argument('--write', action='store_true', help='put it into README.rst')
    options = parser.parse_args(arguments if arguments is None else list(arguments))
    if not (options.check or options.write):
        print(table())
        return 0
    before, block, after = split(README.read_text('utf-8'))
    wanted = f'\n{table()}\n\n'
    if options.write:
        README.write_text(before + wanted + after, 'utf-8')
        return 0
    if block != wanted:
        print('README.rst: the table of transports is stale; run this with --write')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
