from __future__ import annotations

import pytest

from kombu.transport.virtual._envelope import Base64, expires_at, redelivered, with_expiry


def envelope():
    return {
        'body': 'eA==',
        'headers': {'h': 1},
        'properties': {'priority': 3, 'delivery_info': {'exchange': 'e'}},
    }


@pytest.mark.parametrize('body', [b'', b'x', bytes(range(256)), 'grün'])
def test_base64_gives_back_the_bytes(body):
    text = Base64().encode(body)
    assert isinstance(text, str)
    assert Base64().decode(text) == (body.encode() if isinstance(body, str) else body)


def test_base64_refuses_what_is_none():
    with pytest.raises(ValueError, match=r'.'):
        Base64().decode('this is no base64!')


def test_an_expiry_is_written_into_a_copy():
    before = envelope()
    after = with_expiry(before, 12.5)
    assert expires_at(after) == 12.5
    assert expires_at(before) is None
    assert before == envelope()


def test_going_back_flags_and_counts_in_a_copy():
    before = envelope()
    once = redelivered(before)
    twice = redelivered(once)
    assert once['properties']['delivery_info'] == {'exchange': 'e', 'redelivered': True}
    assert once['properties']['priority'] == 3
    assert [e['headers'].get('x-delivery-count') for e in (before, once, twice)] == [None, 1, 2]
    assert before == envelope()


def test_foreign_envelopes_without_properties_are_read():
    assert expires_at({'body': 'x'}) is None
    assert redelivered({'body': 'x'})['headers'] == {'x-delivery-count': 1}
    assert redelivered({'headers': {'x-delivery-count': 'many'}})['headers'] == {
        'x-delivery-count': 1
    }
