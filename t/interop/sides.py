"""Programs that run under this kombu and under kombu 5.x, to let the two talk to each other.

A module of programs is a script as well: `python programs.py NAME ARGUMENTS`, with the arguments in
JSON, prints what the function of that name returns.  Programs named `serve_...` are generators:
what they yield first is printed when they are ready, and they go on until their standard input is
closed.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]

#: Seconds that a program may take.
LIMIT = 20


def main() -> None:
    """Run the program that the command line names, for at most `LIMIT` seconds."""
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    module, name, arguments = sys.argv[1:]
    program = getattr(import_module(module), name)
    if name.startswith('serve_'):
        waiting = threading.Thread(target=sys.stdin.read, daemon=True)
        waiting.start()
        steps = program(lambda: not waiting.is_alive(), **json.loads(arguments))
        print(json.dumps(next(steps)), flush=True)
        print(json.dumps(next(steps)), flush=True)
    else:
        print(json.dumps(program(**json.loads(arguments))))


class Side:
    """An interpreter with one of the two.

    Args:
        name: for messages, and the names of what it declares.
        python: the interpreter.
        path: what it imports kombu from; None for what is installed.
    """

    def __init__(self, name: str, python: str, path: Path | None = None) -> None:
        self.name = name
        self.python = python
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
        if path is not None:
            self.environment['PYTHONPATH'] = str(path)

    def __repr__(self) -> str:
        return self.name

    def _command(self, programs: ModuleType, name: str, arguments: dict[str, Any]) -> list[str]:
        module = programs.__name__.rpartition('.')[2]
        return [self.python, __file__, module, name, json.dumps(arguments)]

    def run(self, programs: ModuleType, name: str, **arguments: Any) -> Any:
        """Run a program and return what it returned."""
        done = subprocess.run(
            self._command(programs, name, arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT + 5,
        )
        assert done.returncode == 0, f'{self} failed in {name}:\n{done.stderr}'
        return json.loads(done.stdout)

    @contextmanager
    def serving(self, programs: ModuleType, name: str, **arguments: Any) -> Iterator[list[Any]]:
        """Have a program serve while the block runs.

        Yields:
            what it said when it was ready; what it said in the end is appended after the block.
        """
        child = subprocess.Popen(
            self._command(programs, name, arguments),
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said: list[Any] = []
        try:
            assert child.stdout is not None
            line = child.stdout.readline()  # ends at its limit
            if line:
                said.append(json.loads(line))
                yield said
            output, errors = child.communicate(timeout=LIMIT + 5)
            assert line, f'{self} failed in {name}:\n{errors}'
            assert child.returncode == 0, f'{self} failed in {name}:\n{errors}'
            said.append(json.loads(output))
        finally:
            child.kill()
            child.communicate()


class Ours(Side):
    """This kombu; its programs run in this process, except for servers."""

    def __init__(self) -> None:
        super().__init__('ours', sys.executable, ROOT)

    def run(self, programs: ModuleType, name: str, **arguments: Any) -> Any:
        """Run a program and return what it returned, as it looks after JSON."""
        return json.loads(json.dumps(getattr(programs, name)(**arguments)))


if __name__ == '__main__':
    main()
