"""Prove a transport from the command line: `python -m kombu.testing URL`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kombu.connection import Connection
from kombu.utils.imports import symbol_by_name

from .matrix import Report, Result, as_json, as_rst, as_text, from_json
from .runner import run, selected
from .scenario import GROUPS
from .suite import TransportSuite
from .target import Target

FORMATS: dict[str, Callable[[Sequence[Report]], str]] = {
    'text': as_text,
    'json': as_json,
    'rst': as_rst,
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m kombu.testing',
        description='Run the conformance suite against a broker and print which guarantees hold.',
        epilog='groups: ' + ', '.join(GROUPS),
    )
    parser.add_argument('url', nargs='?', help='broker URL, as kombu.Connection takes it')
    parser.add_argument(
        '--target',
        metavar='MODULE:NAME',
        help='a kombu.testing.Target, or a function that makes one',
    )
    parser.add_argument(
        '--only',
        action='append',
        default=[],
        metavar='GROUP',
        help='a group or id, with wildcards; repeatable',
    )
    parser.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=JSON',
        help='a transport option; repeatable',
    )
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=JSON',
        help='a field of the Target; repeatable',
    )
    parser.add_argument('--name', help='heading of the column')
    parser.add_argument('--json', metavar='FILE', help='write the report to FILE')
    parser.add_argument('--format', choices=FORMATS, default='text', help='of what is printed')
    parser.add_argument(
        '--merge', nargs='+', metavar='FILE', help='print the table of these reports instead'
    )
    parser.add_argument('--list', action='store_true', help='list the scenarios and end')
    parser.add_argument('--quiet', action='store_true', help='no line for each scenario as it ends')
    given = parser.parse_args(argv)
    if not (given.list or given.merge or given.url or given.target):
        parser.error('a URL is needed, or --target, --merge or --list')
    return given


def pairs(items: Sequence[str]) -> dict[str, Any]:
    """Read NAME=JSON; a value that is not JSON is taken as a string."""
    found: dict[str, Any] = {}
    for item in items:
        name, _, text = item.partition('=')
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def target_of(given: argparse.Namespace) -> Target:
    """Make the target that the command line describes."""
    if given.target:
        found: Any = symbol_by_name(given.target)
        target = found if isinstance(found, Target) else found()
    elif Connection(given.url).transport.default_port:
        target = Target.tcp(given.url)
    else:
        target = Target(given.url)
    changes = pairs(given.set)
    if given.name:
        changes['name'] = given.name
    options = {**target.transport_options, **pairs(given.option)}
    return replace(target, transport_options=options, **changes)


def progress(result: Result) -> None:
    """Print a line about a scenario that has ended."""
    detail = ' '.join(result.detail.split())[:300]
    sys.stderr.write(
        f'{result.outcome.value:14} {result.seconds:6.2f} s  {result.id}  {detail}'.rstrip() + '\n'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 1 where a claimed guarantee does not hold."""
    given = arguments(argv)
    write = sys.stdout.write
    reports: list[Report]
    if given.list:
        for guarantee, _ in selected(TransportSuite, given.only):
            write(f'{guarantee.id:44} {guarantee.title}\n')
        return 0
    if given.merge:
        reports = from_json(*(Path(name).read_text(encoding='utf-8') for name in given.merge))
    else:
        reports = [
            run(target_of(given), only=given.only, progress=None if given.quiet else progress)
        ]
    if given.json:
        Path(given.json).write_text(as_json(reports), encoding='utf-8')
    write(FORMATS[given.format](reports))
    return int(any(report.failures for report in reports))


if __name__ == '__main__':
    sys.exit(main())
