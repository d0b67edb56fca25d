"""Add up the counts of several runs of pytest, from their JUnit files: `summary.py FILE...`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def count(path: Path) -> Counter[str]:
    """Return the counts of one run.

    Raises:
        ValueError: the file is not what pytest writes.
    """
    suite = ElementTree.parse(path).getroot().find('testsuite')  # noqa: S314 - our own file
    if suite is None:
        raise ValueError(f'{path}: no test suite in it')
    tests, failures, errors, skipped = (
        int(suite.attrib[name]) for name in ('tests', 'failures', 'errors', 'skipped')
    )
    failed = failures + errors
    return Counter(passed=tests - failed - skipped, failed=failed, skipped=skipped)


def main(arguments: list[str]) -> int:
    """Print a line for each file and one for all; return 1 where a test failed or none was run."""
    total: Counter[str] = Counter()
    for path in map(Path, arguments):
        counts = count(path)
        total += counts
        print(f'{path.stem}: {counts["passed"]} passed, {counts["skipped"]} skipped')
    print(f'{total["passed"]} passed, {total["failed"]} failed, {total["skipped"]} skipped')
    return int(not total['passed'] or bool(total['failed']))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
