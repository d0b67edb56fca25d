"""The suite notices what is wrong: transports with one fault each, and what must fail."""

from __future__ import annotations

import warnings

import pytest

from kombu.exceptions import UnsupportedFeatureWarning
from kombu.testing import Target
from kombu.testing.matrix import Outcome
from kombu.testing.runner import run
from kombu.transport import TRANSPORT_ALIASES, memory


class LosesOnClose(memory.Channel):
    """Forgets what it holds when it is closed."""

    def close(self):
        self.qos._delivered.clear()
        super().close()


class RequeuesAtTheEnd(memory.Channel):
    """Puts a requeued message behind all others."""

    def _requeue(self, queue, message):
        self._put(queue, message)


class DeliversTwice(memory.Channel):
    """Stores a message twice now and then."""

    count = 0

    def _put(self, queue, message, **kwargs):
        super()._put(queue, message, **kwargs)
        self.count += 1
        if not self.count % 10:
            tag = self._next_delivery_tag()
            again = {**message, 'properties': {**message['properties'], 'delivery_tag': tag}}
            super()._put(queue, again, **kwargs)


class LosesEveryTenth(memory.Channel):
    """Drops a message now and then."""

    count = 0

    def _put(self, queue, message, **kwargs):
        self.count += 1
        if self.count % 10:
            super()._put(queue, message, **kwargs)


class IgnoresAck(memory.Channel):
    """Takes acknowledgements and forgets them."""

    def basic_ack(self, delivery_tag, multiple=False): ...


class RaisesItsOwn(memory.Channel):
    """Lets an error of its client library out."""

    def queue_delete(self, *args, **kwargs):
        raise ZeroDivisionError('from the client library')


class IgnoresFeatures(memory.Channel):
    """Takes everything it does not support, in silence."""

    def _unsupported(self, what): ...


class HangsOnPurge(memory.Channel):
    """Never comes back from purge."""

    def _purge(self, queue):
        while True:
            self.broker.wait(self.broker.progress, 1)


def results_of(channel, *only, **fields):
    """Run scenarios against a memory transport with another channel class."""
    transport = type(
        'Transport', (memory.Transport,), {'Channel': channel, 'global_state': memory.Brokers()}
    )
    TRANSPORT_ALIASES['faulty'] = transport
    try:
        target = Target('faulty://', settle=0.01, patience=0.05, **fields)
        return {result.id: result.outcome for result in run(target, only=only).results}
    finally:
        del TRANSPORT_ALIASES['faulty']


CATCHES = {
    LosesOnClose: ('delivery.back_on_channel_close', 'delivery.back_on_release'),
    RequeuesAtTheEnd: ('delivery.requeue_head',),
    DeliversTwice: ('delivery.all',),
    LosesEveryTenth: ('delivery.fifo_prefetch', 'confirm.many'),
    IgnoresAck: ('delivery.ack', 'consumer.recover'),
    RaisesItsOwn: ('queue.if_empty', 'hygiene.closed_channel'),
}


@pytest.mark.parametrize('channel', CATCHES, ids=lambda channel: channel.__name__)
def test_caught(channel):
    results = results_of(channel, *CATCHES[channel])
    assert set(results) == set(CATCHES[channel])
    assert all(outcome.bad for outcome in results.values()), results


def test_sound_transport_passes():
    """What each of them is caught by, the reference broker passes."""
    only = {name for names in CATCHES.values() for name in names}
    results = results_of(memory.Channel, *only)
    assert set(results.values()) == {Outcome.PASSED}


def test_hanging_is_reported_and_the_run_goes_on():
    results = results_of(HangsOnPurge, 'delivery.purge', 'delivery.get_empty')
    assert results == {'delivery.purge': Outcome.HUNG, 'delivery.get_empty': Outcome.PASSED}


def test_silence_about_unclaimed_features_is_caught():
    claims = frozenset({'passive', 'exchange:direct'})
    names = ('claims.refused_priority', 'claims.refused_dead_letter', 'claims.refused_message_ttl')
    assert set(results_of(IgnoresFeatures, *names, capabilities=claims).values()) == {
        Outcome.FAILED
    }


def test_a_warning_about_a_claim_is_caught():
    class Warns(memory.Channel):
        """Claims priority, and warns that it has none."""

        def _new_queue(self, queue, **kwargs):
            warnings.warn(UnsupportedFeatureWarning('no priority'), stacklevel=2)
            super()._new_queue(queue, **kwargs)

    assert results_of(Warns, 'queue.priority') == {'queue.priority': Outcome.ERROR}
