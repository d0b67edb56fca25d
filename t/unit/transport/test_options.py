from __future__ import annotations

import pytest

from kombu import Connection
from kombu.exceptions import UnknownArgumentWarning
from kombu.transport._options import COMMON, Option, boolean, mapping, read_options, seconds, text

DECLARED = {'pause': Option(seconds, 1.0, 'seconds to pause'), 'fast': Option(boolean, False, '')}


def test_values_are_converted_and_only_those_given():
    assert read_options('x', {'pause': '2.5'}, DECLARED) == {'pause': 2.5}
    assert read_options('x', {'fast': 'no'}, DECLARED) == {'fast': False}
    assert read_options('x', {}, DECLARED) == {}


def test_those_of_the_connection_are_left_alone():
    assert read_options('x', dict.fromkeys(COMMON, 3), DECLARED) == {}


def test_a_misspelt_name_is_told_with_what_was_meant():
    with pytest.warns(UnknownArgumentWarning, match=r"of x: .*'pauze'.*did you mean 'pause'"):
        read_options('x', {'pauze': 1}, DECLARED)


@pytest.mark.parametrize(
    ('convert', 'value'),
    [(seconds, 'soon'), (seconds, -1), (seconds, 0), (boolean, 'maybe'), (text, 5), (mapping, 5)],
)
def test_a_value_that_makes_no_sense_is_named(convert, value):
    with pytest.raises(ValueError, match='option thing='):
        read_options('x', {'thing': value}, {'thing': Option(convert, None, '')})


@pytest.mark.parametrize('convert', [seconds, text])
def test_none_means_the_default(convert):
    assert convert(None) is None


def test_memory_warns_of_options_it_does_not_know():
    with (
        Connection('memory://', transport_options={'polling_intervall': 1}) as connection,
        pytest.warns(UnknownArgumentWarning, match="did you mean 'polling_interval'"),
    ):
        connection.connect()
