"""The guarantee matrix: which transport was proved to give which guarantee.

A run of the suite gives a `Report`; reports of several transports go side by side into one table,
as text, JSON or reStructuredText.  The tables of the documentation are made here.
"""

from __future__ import annotations

import enum
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ('Outcome', 'Report', 'Result', 'as_json', 'as_rst', 'as_text', 'from_json', 'summary')


class Outcome(enum.Enum):
    """How a scenario ended."""

    PASSED = 'passed'
    FAILED = 'failed'
    ERROR = 'error'
    HUNG = 'hung'
    NOT_CLAIMED = 'not claimed'
    NOT_APPLICABLE = 'not applicable'

    @property
    def bad(self) -> bool:
        """Whether the transport did not keep what it claims."""
        return self in (Outcome.FAILED, Outcome.ERROR, Outcome.HUNG)

    @property
    def counted(self) -> bool:
        """Whether the scenario ran at all."""
        return self.bad or self is Outcome.PASSED


#: Cells of the tables.
MARKS: dict[Outcome | None, str] = {
    Outcome.PASSED: 'yes',
    Outcome.FAILED: 'NO',
    Outcome.ERROR: 'ERROR',
    Outcome.HUNG: 'HUNG',
    Outcome.NOT_CLAIMED: '-',
    Outcome.NOT_APPLICABLE: 'n/a',
    None: '',
}

LEGEND = (
    'yes: proved; NO: not so; ERROR: ended in an unexpected error; HUNG: did not end in time; '
    '-: not claimed; n/a: cannot be tried there.'
)


@dataclass(frozen=True)
class Result:
    """What became of one scenario.

    Attributes:
        id: of the guarantee, `group.name`.
        group: its group.
        title: the guarantee in a line.
        outcome: how it ended.
        detail: why it failed, or why it did not run.
        seconds: how long it took.
    """

    id: str
    group: str
    title: str
    outcome: Outcome
    detail: str = ''
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What became of all scenarios against one target.

    Attributes:
        name: of the target; heads its column.
        driver: client library and version.
        version: of this library.
        claims: what the transport claims.
        results: in the order in which they ran.
    """

    name: str
    driver: str
    version: str
    claims: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def failures(self) -> list[Result]:
        """The results that speak against the transport."""
        return [result for result in self.results if result.outcome.bad]

    def count(self, group: str | None = None) -> tuple[int, int]:
        """Return how many scenarios passed and how many ran, of `group` or of all."""
        ran = [
            result
            for result in self.results
            if result.outcome.counted and group in (None, result.group)
        ]
        return sum(result.outcome is Outcome.PASSED for result in ran), len(ran)


def as_json(reports: Iterable[Report]) -> str:
    """Write reports as JSON."""
    plain = [
        {
            **asdict(report),
            'results': [
                {**asdict(result), 'outcome': result.outcome.value} for result in report.results
            ],
        }
        for report in reports
    ]
    return json.dumps({'format': 1, 'reports': plain}, indent=1) + '\n'


def from_json(*texts: str) -> list[Report]:
    """Read reports from any number of JSON texts.

    Of two reports with one name, the results of the later replace those of the earlier.

    Raises:
        ValueError: a text is not what `as_json` writes.
    """
    reports: dict[str, Report] = {}
    for text in texts:
        plain = json.loads(text)
        if not isinstance(plain, dict) or plain.get('format') != 1:
            raise ValueError('not a report of the conformance suite (no "format": 1)')
        for report in map(_report, plain['reports']):
            known = reports.get(report.name)
            reports[report.name] = report if known is None else _updated(known, report)
    return list(reports.values())


def _report(plain: dict[str, Any]) -> Report:
    results = tuple(
        Result(**{**result, 'outcome': Outcome(result['outcome'])}) for result in plain['results']
    )
    return Report(**{**plain, 'claims': tuple(plain['claims']), 'results': results})


def _updated(old: Report, new: Report) -> Report:
    results = {result.id: result for result in old.results}
    results.update((result.id, result) for result in new.results)
    return Report(new.name, new.driver, new.version, new.claims, tuple(results.values()))


def summary(reports: Sequence[Report]) -> list[list[str]]:
    """Tabulate passed/ran by group: a heading, a row a group, a row of totals."""
    rows = [['group', *(report.name for report in reports)]]
    for group in dict.fromkeys(result.group for report in reports for result in report.results):
        rows.append([group, *(_fraction(report.count(group)) for report in reports)])
    rows.append(['all', *(_fraction(report.count()) for report in reports)])
    return rows


def _fraction(count: tuple[int, int]) -> str:
    return f'{count[0]}/{count[1]}' if count[1] else '-'


def rows(reports: Sequence[Report]) -> list[tuple[str, list[list[str]]]]:
    """Tabulate every guarantee: for each group its rows of title and a cell a report."""
    cells = [{result.id: result.outcome for result in report.results} for report in reports]
    groups: dict[str, dict[str, list[str]]] = {}
    for report in reports:
        for result in report.results:
            marks = [MARKS[column.get(result.id)] for column in cells]
            groups.setdefault(result.group, {}).setdefault(result.id, [result.title, *marks])
    return [(group, list(by_id.values())) for group, by_id in groups.items()]


def as_text(reports: Sequence[Report], *, details: bool = True) -> str:
    """Lay out the matrix as plain text, with the reason of each failure below."""
    wide = max([len(result.title) for report in reports for result in report.results] or [0])
    wide = min(max(wide, 20), 100)
    columns = [max(len(report.name), 7) for report in reports]

    def line(cells: Sequence[str]) -> str:
        first, *rest = cells
        *above, last = textwrap.wrap(first, wide) or ['']
        marks = '  '.join(cell.ljust(width) for cell, width in zip(rest, columns, strict=True))
        return '\n'.join([*above, f'{last.ljust(wide)}  {marks}'.rstrip()])

    out = []
    for group, guarantees in rows(reports):
        out += [line([group.upper(), *(report.name for report in reports)])]
        out += [*map(line, guarantees), '']
    out += [LEGEND, '']
    out += map(line, summary(reports))
    if details:
        for report in reports:
            for result in report.failures:
                out += ['', f'{report.name}: {result.id}: {result.outcome.value}']
                out += [textwrap.indent(result.detail, '    ')]
    return '\n'.join(out) + '\n'


def as_rst(reports: Sequence[Report], *, only_summary: bool = False) -> str:
    """Lay out the matrix as reStructuredText list tables."""
    tables = [('', summary(reports))]
    if not only_summary:
        heading = ['guarantee', *(report.name for report in reports)]
        tables += [(group, [heading, *guarantees]) for group, guarantees in rows(reports)]
    out = []
    for title, table in tables:
        out += [f'.. list-table:: {title}'.rstrip(), '   :header-rows: 1', '']
        for cells in table:
            marks = ('* -', *['  -'] * len(reports))
            # A hyphen alone would begin a list.
            shown = ['—' if cell == '-' else cell for cell in cells]
            out += [f'   {mark} {cell}'.rstrip() for mark, cell in zip(marks, shown, strict=True)]
        out += ['']
    return '\n'.join([*out, *([] if only_summary else [LEGEND, ''])])
