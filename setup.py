"""Tell setuptools what pyproject.toml cannot: each file of requirements/extras is an extra."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

EXTRAS = Path(__file__).resolve().parent / 'requirements' / 'extras'


def requirements(path: Path) -> list[str]:
    """Return the requirements that `path` lists, one a line, its comments left out."""
    lines = (line.partition(' #')[0].strip() for line in path.read_text('utf-8').splitlines())
    return [line for line in lines if line and not line.startswith('#')]


setup(extras_require={path.stem: requirements(path) for path in sorted(EXTRAS.glob('*.txt'))})
