"""The guarantee matrix."""

from __future__ import annotations

import pytest

from kombu.testing.matrix import (
    Outcome,
    Report,
    Result,
    as_json,
    as_rst,
    as_text,
    from_json,
    summary,
)


def report(name, *outcomes):
    """Make a report with a result `g.<number>` for each outcome, even numbers in group g."""
    results = tuple(
        Result(
            f'{"gh"[number % 2]}.{number}', 'gh'[number % 2], f'Title {number}', outcome, 'why', 0.5
        )
        for number, outcome in enumerate(outcomes)
    )
    return Report(name, 'driver 1.0', '6.0.0', ('priority',), results)


MEMORY = report('memory', Outcome.PASSED, Outcome.FAILED, Outcome.HUNG, Outcome.NOT_CLAIMED)
REDIS = report('redis', Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.ERROR)


def test_json_round_trip():
    assert from_json(as_json([MEMORY, REDIS])) == [MEMORY, REDIS]


def test_reports_are_merged():
    """Reports of several files go side by side; later results of one name replace earlier ones."""
    again = report('memory', Outcome.FAILED)
    merged, other = from_json(as_json([MEMORY]), as_json([REDIS]), as_json([again]))
    assert other == REDIS
    assert [result.outcome for result in merged.results] == [
        Outcome.FAILED,
        *(result.outcome for result in MEMORY.results[1:]),
    ]


@pytest.mark.parametrize('text', ['[]', '{}', '{"format": 2, "reports": []}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match='not a report'):
        from_json(text)


def test_counts():
    """What did not run counts neither way."""
    assert MEMORY.count() == (1, 3)
    assert MEMORY.count('g') == (1, 2)
    assert MEMORY.count('h') == (0, 1)
    assert [result.id for result in MEMORY.failures] == ['h.1', 'g.2']


def test_summary():
    assert summary([MEMORY, REDIS]) == [
        ['group', 'memory', 'redis'],
        ['g', '1/2', '1/2'],
        ['h', '0/1', '-'],
        ['all', '1/3', '1/2'],
    ]


def test_text():
    text = as_text([MEMORY, REDIS])
    assert 'Title 0               yes      yes' in text
    assert 'Title 1               NO       n/a' in text
    assert 'Title 2               HUNG     ERROR' in text
    assert 'Title 3               -\n' in text
    assert 'memory: h.1: failed\n    why' in text
    assert 'h.1' not in as_text([MEMORY], details=False)


def test_rst_is_a_table():
    lines = as_rst([MEMORY, REDIS]).splitlines()
    assert lines.count('.. list-table::') == 1
    assert {'.. list-table:: g', '.. list-table:: h'} <= set(lines)
    start = lines.index('   * - Title 2')
    assert lines[start + 1 : start + 3] == ['     - HUNG', '     - ERROR']


def test_rst_summary_only():
    text = as_rst([MEMORY], only_summary=True)
    assert 'Title' not in text
    assert '     - 1/3' in text


def test_nothing_to_show():
    assert 'all' in as_text([])
    assert as_rst([])
