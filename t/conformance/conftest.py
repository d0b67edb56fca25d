"""Write down which guarantees were proved.

With KOMBU_TEST_GUARANTEES naming a folder, each transport leaves a report there, from which
`python -m kombu.testing --merge` makes the tables of the documentation.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from kombu.testing import TransportSuite
from kombu.testing.matrix import Result, as_json
from kombu.testing.runner import report_of, result_of
from kombu.testing.scenario import guarantees

RESULTS = pytest.StashKey[dict[type[TransportSuite], list[Result]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the result of each scenario."""
    guarantee: Any = getattr(getattr(item, 'obj', None), 'guarantee', None)
    if guarantee is not None and call.when == 'call' and isinstance(item, pytest.Function):
        # Before pytest makes a skip of its own of a reason not to run.
        error = None if call.excinfo is None else call.excinfo.value
        results = item.config.stash.setdefault(RESULTS, {})
        results.setdefault(item.cls, []).append(result_of(guarantee, error, call.duration))
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports."""
    folder = os.environ.get('KOMBU_TEST_GUARANTEES')
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    order = [guarantee.id for guarantee, _ in guarantees(TransportSuite)]
    for suite, results in session.config.stash.get(RESULTS, {}).items():
        results.sort(key=lambda result: order.index(result.id))
        report = report_of(suite.target, results)
        (Path(folder) / f'{report.name}.json').write_text(as_json([report]), encoding='utf-8')
