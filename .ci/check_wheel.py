"""Look into a wheel: `check_wheel.py FILE`.  It holds the whole package, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
DATA = {'kombu/py.typed'}


def problems(wheel: Path) -> list[str]:
    """Return what is wrong with `wheel`, an item a file."""
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if '.dist-info/' not in name}
        licensed = any(name.endswith('/licenses/LICENSE') for name in archive.namelist())
    wanted = DATA | {str(path.relative_to(ROOT)) for path in (ROOT / 'kombu').rglob('*.py')}
    found = [f'missing: {name}' for name in sorted(wanted - names)]
    found += [f'does not belong here: {name}' for name in sorted(names - wanted)]
    if not licensed:
        found.append('missing: the license')
    return found


def main(arguments: list[str]) -> int:
    """Print what is wrong with the wheel; return 1 where something is."""
    (wheel,) = map(Path, arguments)
    found = problems(wheel)
    for problem in found:
        print(f'{wheel.name}: {problem}')
    if not found:
        print(f'{wheel.name}: complete, and nothing else in it')
    return int(bool(found))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
