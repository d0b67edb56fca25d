"""A Sphinx extension: the directive `transport-table` shows what each transport can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from transport_table import legend, table


class TransportTable(Directive):
    """Stand for the table and a definition list of its rows."""

    def run(self) -> list[nodes.Node]:
        lines = [*table().splitlines(), '', *legend().splitlines()]
        container = nodes.container()
        source = StringList(lines, source=Path(__file__).name)
        self.state.nested_parse(source, self.content_offset, container)
        return container.children


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive('transport-table', TransportTable)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}
