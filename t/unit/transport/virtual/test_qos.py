"""The delivery ledger, with a channel that only notes what it is told."""

from __future__ import annotations

import gc
import io
import weakref

import pytest
from amqp.exceptions import PreconditionFailed

from kombu.transport.virtual import QoS
from kombu.transport.virtual import qos as qos_module


class FakeConsumer:
    def __init__(self, limit=0, unacked=0):
        self.limit = limit
        self.unacked = unacked

    def has_room(self):
        return not self.limit or self.unacked < self.limit

    def prefetch_limit(self):
        return self.limit


class FakeChannel:
    """Notes what becomes of messages; fails when told to."""

    do_restore = False

    def __init__(self):
        self._consumers = {}
        self.log = []
        self.failing = False

    def note(self, what, message):
        if self.failing:
            raise OSError('store down')
        self.log.append((what, message))

    def _finished(self, message):
        self.note('finished', message)

    def _died(self, message, reason):
        self.note(reason, message)

    def _restore_at_beginning(self, message):
        self.note('restored', message)


@pytest.fixture
def channel():
    return FakeChannel()


@pytest.fixture
def qos(channel):
    return QoS(channel)


def fill(qos, *tags):
    for tag in tags:
        qos.append(f'message {tag}', tag)


class TestLimits:
    def test_there_is_none_at_first(self, qos):
        fill(qos, *range(100))
        assert qos.can_consume()
        assert qos.can_consume_max_estimate() is None

    @pytest.mark.parametrize('apply_global', [True, False])
    def test_of_the_channel(self, channel, apply_global):
        qos = QoS(channel, prefetch_count=2)
        qos.apply_global = apply_global
        seen = []
        for tag in range(3):
            seen.append((qos.can_consume(), qos.can_consume_max_estimate()))
            fill(qos, tag)
        assert seen == [(True, 2), (True, 1), (False, 0)]
        qos.ack(0)
        assert not qos.can_consume()
        qos.ack(1)
        assert qos.can_consume()

    def test_none_means_none(self, channel):
        assert QoS(channel, prefetch_count=None).can_consume_max_estimate() is None

    def test_what_basic_get_took_is_not_counted(self, channel):
        qos = QoS(channel, prefetch_count=1)
        fill(qos, 'got')
        qos._uncounted.add('got')
        assert qos.can_consume()
        fill(qos, 'delivered')
        assert not qos.can_consume()
        qos.ack('got')
        assert not qos.can_consume()

    @pytest.mark.parametrize(
        ('consumers', 'can', 'estimate'),
        [
            ([(1, 0), (2, 1)], True, 2),
            ([(1, 1), (2, 2)], False, 0),
            ([(1, 1), (0, 9)], True, None),
            ([(1, 5)], False, 0),
        ],
    )
    def test_of_each_consumer(self, channel, qos, consumers, can, estimate):
        qos.prefetch_count = 1
        channel._consumers = {n: FakeConsumer(*c) for n, c in enumerate(consumers)}
        assert qos.can_consume() is can
        assert qos.can_consume_max_estimate() == estimate

    def test_the_limit_of_the_channel_does_not_look_at_consumers(self, channel, qos):
        qos.prefetch_count, qos.apply_global = 1, True
        channel._consumers = {1: FakeConsumer(1, 1)}
        assert qos.can_consume()

    def test_can_be_replaced_on_the_object(self, qos):
        """A task queue does it to stop consuming."""
        qos.can_consume = lambda: False
        assert qos.can_consume() is False


class TestSettling:
    def test_ack(self, channel, qos):
        fill(qos, 1, 2)
        qos.ack(1)
        assert channel.log == [('finished', 'message 1')]
        assert list(qos._delivered) == [2]

    def test_reject(self, channel, qos):
        fill(qos, 1, 2)
        qos.reject(1)
        qos.reject(2, requeue=True)
        assert channel.log == [('rejected', 'message 1'), ('restored', 'message 2')]
        assert not qos._delivered

    def test_get(self, qos):
        fill(qos, 1)
        assert qos.get(1) == 'message 1'
        with pytest.raises(KeyError):
            qos.get(2)

    @pytest.mark.parametrize('settle', ['ack', 'reject'])
    def test_what_is_not_held_cannot_be_settled(self, qos, settle):
        fill(qos, 1)
        qos.ack(1)
        with pytest.raises(PreconditionFailed, match='unknown delivery tag 1'):
            getattr(qos, settle)(1)

    @pytest.mark.parametrize(
        'settle', [lambda q: q.ack(1), lambda q: q.reject(1), lambda q: q.reject(1, requeue=True)]
    )
    def test_what_the_store_did_not_do_leaves_it_held(self, channel, qos, settle):
        fill(qos, 1)
        channel.failing = True
        with pytest.raises(OSError, match='store down'):
            settle(qos)
        assert list(qos._delivered) == [1]
        channel.failing = False
        settle(qos)
        assert not qos._delivered


class TestRestoring:
    def test_the_last_goes_back_first(self, channel, qos):
        fill(qos, 1, 2, 3)
        qos.ack(2)
        channel.log.clear()
        qos.restore_unacked()
        assert channel.log == [('restored', 'message 3'), ('restored', 'message 1')]
        assert not qos._delivered

    def test_what_is_settled_but_listed_does_not_go_back(self, channel, qos):
        fill(qos, 1, 2)
        qos._dirty.add(1)
        assert qos.can_consume_max_estimate() is None
        qos.restore_unacked()
        assert channel.log == [('restored', 'message 2')]
        assert not qos._dirty

    def test_what_did_not_go_back_stays_held(self, channel, qos):
        fill(qos, 1)
        channel.failing = True
        with pytest.raises(OSError, match='store down'):
            qos.restore_unacked()
        assert list(qos._delivered) == [1]


class TestTheEndOfTheProcess:
    @pytest.fixture
    def channel(self, channel):
        channel.do_restore = True
        return channel

    def test_what_is_held_goes_back_and_is_told(self, channel, qos):
        fill(qos, 1, 2)
        told = io.StringIO()
        qos.restore_unacked_once(stderr=told)
        assert len(channel.log) == 2
        assert '2 unacknowledged' in told.getvalue()

    def test_a_store_that_is_gone_is_told_and_not_raised(self, channel, qos):
        fill(qos, 1, 2)
        channel.failing = True
        told = io.StringIO()
        qos.restore_unacked_once(stderr=told)
        assert 'Unable to restore 2' in told.getvalue()
        assert 'store down' in told.getvalue()

    @pytest.mark.parametrize('why', ['nothing held', 'restore_at_shutdown', 'do_restore'])
    def test_or_nothing_is_done(self, channel, qos, why):
        if why != 'nothing held':
            fill(qos, 1)
        if why == 'restore_at_shutdown':
            qos.restore_at_shutdown = False
        if why == 'do_restore':
            channel.do_restore = False
        told = io.StringIO()
        qos.restore_unacked_once(stderr=told)
        assert not channel.log
        assert not told.getvalue()

    def test_it_does_not_keep_ledgers_alive(self, channel):
        ledger = QoS(channel)
        assert ledger in qos_module._restore_at_exit
        dead = weakref.ref(ledger)
        del ledger
        gc.collect()
        assert dead() is None


def test_leases_are_nothing_here(qos):
    assert qos.restore_visible(0, 10, interval=1) is None


def test_it_shows_what_it_holds(qos):
    fill(qos, 1)
    assert repr(qos) == '<QoS: 1 held, prefetch unlimited>'
    qos.prefetch_count = 5
    assert repr(qos) == '<QoS: 1 held, prefetch 5>'
