from __future__ import annotations

from kombu.transport.virtual._deadletter import buried, deaths, is_cycle

NOW = 1_900_000_000


def envelope(**properties):
    headers = properties.pop('headers', {})
    info = {'exchange': 'e', 'routing_key': 'k', 'redelivered': True, 'expires_at': 1.0}
    return {'body': b'x', 'headers': headers, 'properties': {'delivery_info': info, **properties}}


def test_the_first_death_tells_all_about_it():
    dead = buried(envelope(), queue='q', reason='rejected', time=NOW)
    assert dead['headers'] == {
        'x-death': [
            {
                'count': 1,
                'reason': 'rejected',
                'queue': 'q',
                'time': NOW,
                'exchange': 'e',
                'routing-keys': ['k'],
            }
        ],
        'x-first-death-exchange': 'e',
        'x-first-death-queue': 'q',
        'x-first-death-reason': 'rejected',
    }


def test_the_next_life_starts_without_expiration_or_redelivery():
    dead = buried(
        envelope(expiration='500', headers={'x-delivery-count': 3}),
        queue='q',
        reason='expired',
        time=NOW,
    )
    assert 'expiration' not in dead['properties']
    assert dead['headers']['x-death'][0]['original-expiration'] == '500'
    assert dead['properties']['delivery_info'] == {'exchange': 'e', 'routing_key': 'k'}
    assert 'x-delivery-count' not in dead['headers']


def test_the_envelope_given_is_not_changed():
    before = envelope(expiration='1', headers={'h': 1, 'x-death': []})
    buried(before, queue='q', reason='expired', time=NOW)
    assert before == envelope(expiration='1', headers={'h': 1, 'x-death': []})


def test_dying_again_the_same_way_counts_up_and_comes_first():
    once = buried(envelope(), queue='q', reason='rejected', time=NOW)
    twice = buried(once, queue='other', reason='expired', time=NOW)
    thrice = buried(twice, queue='q', reason='rejected', time=NOW)
    assert [(d['queue'], d['count']) for d in thrice['headers']['x-death']] == [
        ('q', 2),
        ('other', 1),
    ]
    assert thrice['headers']['x-first-death-queue'] == 'q'


def test_a_history_a_publisher_made_up_is_not_believed():
    assert deaths({'x-death': 'nonsense'}) == []
    assert deaths({'x-death': [1, {'queue': 'q'}]}) == [{'queue': 'q'}]
    dead = buried(envelope(headers={'x-death': 7}), queue='q', reason='expired', time=NOW)
    assert len(dead['headers']['x-death']) == 1


def test_a_message_that_comes_back_by_itself_is_a_cycle():
    headers = {'x-death': [{'queue': 'b', 'reason': 'expired'}, {'queue': 'a', 'reason': 'maxlen'}]}
    assert is_cycle(headers, 'a')
    assert is_cycle(headers, 'b')
    assert not is_cycle(headers, 'c')


def test_a_rejection_on_the_way_makes_it_no_cycle():
    headers = {
        'x-death': [{'queue': 'b', 'reason': 'rejected'}, {'queue': 'a', 'reason': 'expired'}]
    }
    assert not is_cycle(headers, 'a')
    assert not is_cycle(headers, 'b')
