"""Messages made of envelopes, and what goes back to the store."""

from __future__ import annotations

import copy

import pytest

from kombu.transport.virtual import Base64, Message


class FakeChannel:
    """Decodes bodies."""

    no_ack_consumers = None

    def decode_body(self, body, encoding=None):
        return Base64().decode(body) if encoding == 'base64' else body


@pytest.fixture
def envelope():
    return {
        'body': 'eyJhIjogMX0=',
        'content-type': 'application/json',
        'content-encoding': 'utf-8',
        'headers': {'h': 1},
        'properties': {
            'body_encoding': 'base64',
            'delivery_tag': 'tag',
            'priority': 3,
            'correlation_id': 'c',
            'delivery_info': {'exchange': 'e', 'routing_key': 'k'},
        },
    }


def test_it_has_what_the_envelope_has(envelope):
    message = Message(envelope, channel=FakeChannel())
    assert message.body == b'{"a": 1}'
    assert message.payload == {'a': 1}
    assert message.content_type == 'application/json'
    assert message.content_encoding == 'utf-8'
    assert message.headers == {'h': 1}
    assert message.delivery_tag == 'tag'
    assert message.delivery_info == {'exchange': 'e', 'routing_key': 'k'}
    assert message.properties['correlation_id'] == 'c'
    assert message.properties['priority'] == 3


def test_the_least_there_is():
    """What foreign writers leave out."""
    message = Message({'properties': {}, 'body': None}, channel=FakeChannel())
    assert message.headers == {}
    assert message.delivery_info == {}
    assert message.delivery_tag is None
    assert message.content_type is None


@pytest.mark.parametrize('envelope', [{}, 'text', 5, None, {'properties': None}])
def test_what_is_no_envelope_is_refused(envelope):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        Message(envelope, channel=FakeChannel())


def test_a_body_that_is_not_base64_is_refused(envelope):
    envelope['body'] = '!'
    with pytest.raises(ValueError, match=r'.'):
        Message(envelope, channel=FakeChannel())


def test_without_a_channel_the_body_stays_as_it_is(envelope):
    assert Message(envelope).body == b'eyJhIjogMX0='


def test_what_a_consumer_changes_does_not_reach_the_envelope(envelope):
    before = copy.deepcopy(envelope)
    message = Message(envelope, channel=FakeChannel())
    message.headers['mine'] = 1
    message.properties['mine'] = 1
    message.delivery_info['mine'] = 1
    assert envelope == before
    assert message.serializable() == before


def test_what_a_consumer_changes_deep_down_does_not_reach_the_envelope(envelope):
    envelope['headers']['nested'] = [1]
    Message(envelope, channel=FakeChannel()).headers['nested'].append(2)
    assert envelope['headers']['nested'] == [1]


def test_it_goes_back_as_it_came(envelope):
    message = Message(envelope, channel=FakeChannel())
    back = message.serializable()
    assert back == envelope
    assert back is not envelope


def test_subclasses_read_more_of_the_envelope(envelope):
    """As drivers do to keep a receipt."""

    class WithReceipt(Message):
        def __init__(self, payload, channel=None, **kwargs):
            super().__init__(payload, channel=channel, **kwargs)
            self.receipt = payload['properties'].get('receipt')

    envelope['properties']['receipt'] = 'r'
    message = WithReceipt(envelope, FakeChannel())
    assert message.receipt == 'r'
    assert message.queue is None
    assert message.consumer is None
