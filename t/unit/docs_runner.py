"""Run the Python code of one reStructuredText file, from top to bottom and in one namespace.

    python docs_runner.py README.rst

Blocks of `.. code-block:: python` and `.. code:: python` are executed; what is written with prompts
(`>>>`), in such a block or in running text, is a doctest.  A comment line `.. not-run: reason`
before a block has it compiled only.  Every URL scheme leads to the memory transport, so that a page
can show the URL that its reader will use.
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from kombu.transport import TRANSPORT_ALIASES

DIRECTIVE = re.compile(
    r'(?P<indent> *)\.\. '
    r'(?:(?P<kind>code-block|code|sourcecode)::(?P<language>.*)|not-run:(?P<reason>.*))'
)
PYTHON = frozenset({'python', 'python3', 'py', 'pycon'})
PROMPT = '>>>'
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A piece of code, as it stands in the file."""

    line: int
    source: str
    #: Why it is only compiled; empty: it is run.
    not_run: str = ''

    @property
    def has_prompts(self) -> bool:
        return self.source.lstrip().startswith(PROMPT)


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of Python code in `text`.

    Raises:
        ValueError: a `not-run` that gives no reason, or that no block follows.
    """
    lines = text.splitlines()
    number, reason, reason_line = 0, '', 0
    while number < len(lines):
        line = lines[number]
        found = DIRECTIVE.fullmatch(line)
        if found is None and line.lstrip().startswith(PROMPT):
            start, number = number, _end_of_paragraph(lines, number)
            yield Block(start + 1, dedent('\n'.join(lines[start:number])), reason)
        elif found is None:
            number += 1
            if line.strip() and reason:
                raise ValueError(f'line {reason_line}: not-run, but no block of code follows')
            continue
        elif found['kind'] is None:
            reason, reason_line = found['reason'].strip(), number + 1
            if not reason:
                raise ValueError(f'line {reason_line}: not-run needs a reason')
            number += 1
            continue
        else:
            start, end = _body(lines, number, len(found['indent']))
            number = end
            if found['language'].strip() not in PYTHON:
                continue
            yield Block(start + 1, dedent('\n'.join(lines[start:end])), reason)
        reason = ''


def _end_of_paragraph(lines: list[str], start: int) -> int:
    end = start
    while end < len(lines) and lines[end].strip():
        end += 1
    return end


def _body(lines: list[str], directive: int, indent: int) -> tuple[int, int]:
    """Return where the content of the directive begins and ends, its options left out."""
    end = directive + 1
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent
    ):
        end += 1
    start = directive + 1
    while start < end and lines[start].strip().startswith(':'):
        start += 1
    while start < end and not lines[start].strip():
        start += 1
    return start, end


def run(path: Path) -> int:
    """Run the code of the file `path`.

    Returns:
        The number of blocks that were run.

    Raises:
        AssertionError: a doctest printed something else.
        Exception: whatever the code raises, with the lines of the file in its traceback.
    """
    namespace: dict[str, Any] = {'__name__': '__main__'}
    count = 0
    for block in blocks(path.read_text('utf-8')):
        if block.has_prompts:
            _doctest(block, path, namespace)
        else:
            code = compile('\n' * (block.line - 1) + block.source, str(path), 'exec')
            if not block.not_run:
                exec(code, namespace)  # noqa: S102 - the code of our own pages
        count += not block.not_run
    return count


def _doctest(block: Block, path: Path, namespace: dict[str, Any]) -> None:
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.source, {}, path.name, str(path), block.line - 1)
    if block.not_run:
        for example in test.examples:
            ast.parse(example.source)
        return
    # A doctest copies the globals it is given; the page goes on with what it defined.
    test.globs = namespace
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS)
    if runner.run(test, out=report.append, clear_globs=False).failed:
        raise AssertionError(''.join(report))


def serve_everything_from_memory() -> None:
    """Point every name of a transport to the one that needs no broker."""
    for name in TRANSPORT_ALIASES:
        TRANSPORT_ALIASES[name] = 'kombu.transport.memory:Transport'


if __name__ == '__main__':
    serve_everything_from_memory()
    print(run(Path(sys.argv[1])), 'blocks of code run')
