"""Measure kombu beside the released kombu, alternating, each time in a fresh process.

::

    python t/benchmarks/run.py                          every case
    python t/benchmarks/run.py topic publish            some
    python t/benchmarks/run.py --peer PYTHON            with an interpreter that has kombu 5.x

Without `--peer` (or `KOMBU_PEER_PYTHON`) an environment with the released kombu is made in a
temporary folder.  The figures
are medians of processor time; on a shared machine only the ratio means anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEER = 'kombu==5.7.0'

#: Case and the sizes it is measured at.
SIZES: dict[str, tuple[int, ...]] = {
    'direct': (10, 1_000, 10_000, 100_000),
    'topic': (10, 1_000, 10_000, 100_000),
    'fanout': (10, 100),
    'publish': (20_000,),
    'consume': (20_000,),
    'as_celery': (5_000,),
    'json_codec': (50_000,),
}

#: Beyond these sizes the released kombu takes minutes.
PEER_LIMIT = {'direct': 10_000, 'topic': 1_000}


def measure(python: str, case: str, size: int, path: str) -> float:
    """Return seconds an operation, measured in a process of its own."""
    done = subprocess.run(
        [python, str(HERE / 'cases.py'), case, str(size)],
        env={**os.environ, 'PYTHONPATH': path, 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f'{case} {size} failed under {python}:\n{done.stderr}')
    return float(done.stdout)


def make_peer(folder: str) -> str:
    """Install the released kombu into an environment below `folder`."""
    venv.create(folder, with_pip=True)
    python = str(Path(folder) / 'bin' / 'python')
    subprocess.run([python, '-m', 'pip', 'install', '-q', PEER], check=True)
    return python


def report(cases: list[str], peer: str, rounds: int) -> None:
    """Print a line for each case and size."""
    print(f'{"case":12} {"size":>8} {"kombu 6":>10} {"kombu 5":>10}   ratio (lowest to highest)')
    for case in cases:
        for size in SIZES[case]:
            with_peer = size <= PEER_LIMIT.get(case, size)
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(measure(sys.executable, case, size, str(ROOT)))
                if with_peer:
                    theirs.append(measure(peer, case, size, ''))
            line = f'{case:12} {size:8} {median(ours) * 1e6:7.2f} µs'
            if with_peer:
                ratios = sorted(t / o for t, o in zip(theirs, ours, strict=True))
                line += (
                    f' {median(theirs) * 1e6:7.2f} µs   {median(ratios):.1f}x '
                    f'({ratios[0]:.1f} to {ratios[-1]:.1f})'
                )
            print(line, flush=True)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('cases', nargs='*', default=list(SIZES), metavar='CASE')
    parser.add_argument('--peer', default=os.environ.get('KOMBU_PEER_PYTHON'))
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    unknown = set(args.cases) - set(SIZES)
    if unknown:
        parser.error(f'unknown: {", ".join(unknown)}; there are {", ".join(SIZES)}')
    if args.peer:
        report(args.cases, args.peer, args.rounds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(args.cases, make_peer(folder), args.rounds)


if __name__ == '__main__':
    main()
