"""What virtual transports store, against what kombu 5.x was recorded to store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kombu import Connection
from kombu.transport.virtual import Message
from t.golden.record_envelopes import MESSAGES, Transport, record

GOLDEN = json.loads(Path(__file__).with_name('envelopes.json').read_text('utf-8'))


@pytest.fixture(scope='module')
def recorded():
    return record()


@pytest.mark.parametrize('name', MESSAGES)
def test_we_store_what_kombu_5_stores(recorded, name):
    envelope = recorded[name]
    if name == 'expiration':
        # New in 6.0, where kombu 5.x keeps what it does not know.
        assert envelope['properties']['delivery_info'].pop('expires_at') > 0
    assert envelope == GOLDEN[name]


@pytest.mark.parametrize('name', MESSAGES)
def test_we_read_what_kombu_5_stored(name):
    with Connection(transport=Transport) as connection:
        message = Message(GOLDEN[name], channel=connection.channel())
        message.accept = {GOLDEN[name]['content-type']}
        payload = message.decode()
    assert payload == MESSAGES[name][0]
    assert message.delivery_info['routing_key'] == 'a.b'
