"""The code in the README and in the documentation works, run over `memory://`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from t.unit import docs_runner
from t.unit.docs_runner import Block, blocks

ROOT = Path(__file__).resolve().parents[2]
#: Folders of `docs` that a build writes.
BUILT = {'_build', 'api'}
PAGES = [
    ROOT / 'README.rst',
    *(page for page in sorted((ROOT / 'docs').rglob('*.rst')) if not BUILT & {*page.parts}),
]

#: Seconds for one page.
TIME_LIMIT = 40


def run(page: Path) -> subprocess.CompletedProcess[str]:
    """Run the code of `page` in an interpreter of its own, where warnings are errors."""
    return subprocess.run(
        [sys.executable, '-W', 'error', docs_runner.__file__, str(page)],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1'},
        cwd=page.parent,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path) -> None:
    """Every block runs, in order, each going on where the one above it ended."""
    if not any(blocks(page.read_text('utf-8'))):
        return
    done = run(page)
    assert done.returncode == 0, done.stdout + done.stderr


class TestBlocks:
    """Finding the code of a page."""

    def test_directives(self) -> None:
        text = (
            'Title\n=====\n\n'
            '.. code-block:: python\n    :caption: a.py\n\n    a = 1\n\n    b = 2\n\n'
            'Text.\n\n.. code:: python\n\n  c = 3\n'
        )
        assert [(block.line, block.source.rstrip()) for block in blocks(text)] == [
            (7, 'a = 1\n\nb = 2'),
            (15, 'c = 3'),
        ]

    def test_other_languages_are_left_alone(self) -> None:
        assert not list(blocks('.. code-block:: console\n\n    $ >>> ls\n'))

    def test_prompts_in_text(self) -> None:
        assert list(blocks('Text.\n\n    >>> 1 + 1\n    2\n\nMore.\n')) == [
            Block(3, '>>> 1 + 1\n2')
        ]

    def test_not_run_holds_for_the_next_block_only(self) -> None:
        text = (
            '.. not-run: needs a broker\n\n.. code:: python\n\n  a\n\n'
            'Text.\n\n.. code:: python\n\n  b\n'
        )
        assert [block.not_run for block in blocks(text)] == ['needs a broker', '']

    @pytest.mark.parametrize(
        'text',
        ['.. not-run:\n\n.. code:: python\n\n  a\n', '.. not-run: why\n\nText.\n'],
        ids=['no reason', 'no block'],
    )
    def test_not_run_is_checked(self, text: str) -> None:
        with pytest.raises(ValueError, match='line 1'):
            list(blocks(text))


class TestRunner:
    """Running it: a page that is wrong is found out, at the line where it is."""

    def page(self, tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / 'page.rst'
        path.write_text(text, 'utf-8')
        return run(path)

    def test_one_namespace(self, tmp_path: Path) -> None:
        done = self.page(
            tmp_path,
            '.. code:: python\n\n  a = 1\n\n'
            '>>> b = a + 1\n>>> b\n2\n\n'
            '.. code:: python\n\n  assert b == 2\n',
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == '3 blocks of code run\n'

    def test_failure_names_the_line(self, tmp_path: Path) -> None:
        done = self.page(tmp_path, 'Text.\n\n.. code:: python\n\n  a = 1\n  a.nothing\n')
        assert 'page.rst", line 6' in done.stderr
        assert 'AttributeError' in done.stderr

    def test_wrong_result(self, tmp_path: Path) -> None:
        done = self.page(tmp_path, 'Text.\n\n>>> 1 + 1\n3\n')
        assert 'line 3' in done.stderr
        assert done.returncode == 1

    def test_warning(self, tmp_path: Path) -> None:
        done = self.page(tmp_path, ".. code:: python\n\n  import warnings; warnings.warn('x')\n")
        assert 'UserWarning' in done.stderr

    def test_not_run_is_compiled(self, tmp_path: Path) -> None:
        done = self.page(tmp_path, '.. not-run: why\n.. code:: python\n\n  a b\n')
        assert 'SyntaxError' in done.stderr
        assert 'page.rst", line 4' in done.stderr

    def test_memory_everywhere(self, tmp_path: Path) -> None:
        done = self.page(
            tmp_path,
            '.. code:: python\n\n'
            '  from kombu import Connection\n'
            "  with Connection('amqp://guest:guest@localhost//') as connection:\n"
            "      assert connection.transport.driver_type == 'memory'\n",
        )
        assert done.returncode == 0, done.stderr
