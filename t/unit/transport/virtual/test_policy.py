from __future__ import annotations

import pytest

from kombu.transport.virtual._policy import NO_POLICY, QueuePolicy


def test_no_arguments_mean_no_policy():
    assert QueuePolicy.parse(None) is NO_POLICY
    assert QueuePolicy.parse({}) is NO_POLICY
    assert not NO_POLICY.limited


def test_arguments_become_fields_in_seconds():
    policy = QueuePolicy.parse(
        {
            'x-message-ttl': 1500,
            'x-expires': 60_000,
            'x-dead-letter-exchange': 'dlx',
            'x-dead-letter-routing-key': 'dead',
            'x-max-length': 3,
            'x-max-length-bytes': 100,
            'x-overflow': 'reject-publish',
            'x-max-priority': 9,
            'x-delivery-limit': 5,
            'x-queue-type': 'quorum',
        }
    )
    assert policy == QueuePolicy(1.5, 60.0, 'dlx', 'dead', 3, 100, 'reject-publish', 9, 5)
    assert policy.limited


def test_an_argument_of_none_is_not_set():
    assert QueuePolicy.parse({'x-message-ttl': None}).message_ttl is None


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('x-message-ttl', -1),
        ('x-message-ttl', 'soon'),
        ('x-message-ttl', True),
        ('x-message-ttl', 1.5),
        ('x-expires', 0),
        ('x-max-length', -1),
        ('x-max-priority', 0),
        ('x-max-priority', 256),
        ('x-overflow', 'explode'),
        ('x-dead-letter-exchange', 5),
        ('x-queue-type', 'stream'),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(argument, value):
    with pytest.raises(ValueError, match=argument):
        QueuePolicy.parse({argument: value})


@pytest.mark.parametrize(
    ('queue_ttl', 'expiration', 'seconds'),
    [
        (None, None, None),
        (None, '250', 0.25),
        (1000, None, 1.0),
        (1000, '250', 0.25),
        (1000, '2500', 1.0),
        (0, '5', 0.0),
    ],
)
def test_the_smaller_time_to_live_wins(queue_ttl, expiration, seconds):
    assert QueuePolicy.parse({'x-message-ttl': queue_ttl}).ttl_for(expiration) == seconds


def test_an_expiration_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match='invalid literal'):
        NO_POLICY.ttl_for('tomorrow')
