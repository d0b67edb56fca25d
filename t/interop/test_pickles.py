"""Pickles of one kombu are read by the other: entities, errors, connections."""

from __future__ import annotations

import pickle

import pytest

from t.interop import pickle_programs as programs
from t.interop.sides import Side


@pytest.mark.parametrize('protocol', [2, pickle.HIGHEST_PROTOCOL])
def test_pickles(pair: tuple[Side, Side], protocol: int) -> None:
    """What is loaded looks like what was dumped."""
    dumping, loading = pair
    dumped = dumping.run(programs, 'dump', protocol=protocol)
    found = loading.run(
        programs, 'load', pickles={name: text for name, (text, _) in dumped.items()}
    )
    assert found == {name: description for name, (_, description) in dumped.items()}
