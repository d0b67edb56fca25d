"""The transport that `docs/internals/writing-a-transport.rst` builds keeps what it claims."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kombu.testing import Target, TransportSuite

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'
NAME = 'sqlite_transport'


class TestTutorialTransport(TransportSuite):
    """All scenarios, each with a file of its own."""

    @pytest.fixture(autouse=True)
    def _broker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(EXAMPLES)  # also that of the processes it starts
        self.target = Target(
            f'sqlite:///{tmp_path}/one.db',
            connect_args={'transport': f'{NAME}:Transport'},
            other_vhost_url=f'sqlite:///{tmp_path}/two.db',
        )


def test_it_is_small() -> None:
    """The page promises less than 200 lines of code."""
    tree = ast.parse((EXAMPLES / f'{NAME}.py').read_text('utf-8'))
    code = ast.unparse([node for node in tree.body if not isinstance(node, ast.If)])
    assert len(code.splitlines()) < 200
