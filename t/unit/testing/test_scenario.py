"""Scenarios: metadata, conditions, time limits; and the suite as a whole."""

from __future__ import annotations

import inspect
import threading
import warnings

import pytest

from kombu.exceptions import UnsupportedFeatureWarning
from kombu.testing import MemoryBroker, Target, TransportSuite, scenario
from kombu.testing.checks import Broken, Hung, NotApplicable, NotClaimed
from kombu.testing.scenario import GROUPS, Scenarios, guarantees
from kombu.testing.target import NEEDS
from kombu.transport.base import CAPABILITIES

ALL = [guarantee for guarantee, _ in guarantees(TransportSuite)]


def suite_of(target, body, **marks):
    """Make a suite with one scenario and return its bound method."""
    body.__name__ = 'test_delivery_it'
    klass = type(
        'One',
        (Scenarios,),
        {'target': target, 'test_delivery_it': scenario('delivery', **marks)(body)},
    )
    return klass().test_delivery_it


@pytest.fixture
def target():
    with MemoryBroker() as broker:
        yield Target(broker.url, settle=0)


class TestScenario:
    def test_metadata(self):
        @scenario('queue', requires={'priority'}, needs={'kill'}, seconds=7)
        def test_queue_thing(self, bench):
            """A thing that is
            guaranteed

            With some detail.
            """

        guarantee = test_queue_thing.guarantee
        assert guarantee.id == 'queue.thing'
        assert guarantee.title == 'A thing that is guaranteed'
        assert guarantee.requires == {'priority'}
        assert guarantee.needs == {'kill'}
        assert guarantee.seconds == 7

    def test_frameworks_see_no_parameter(self):
        """pytest would take `bench` for a fixture."""
        method = next(guarantees(TransportSuite))[1]
        assert list(inspect.signature(method).parameters) == ['self']

    def test_misnamed(self):
        with pytest.raises(ValueError, match='unknown group'):
            scenario('queues')
        with pytest.raises(ValueError, match='unknown group or need'):
            scenario('queue', needs={'money'})

        def test_routing_x(self, bench):
            """Documented."""

        def test_queue_undocumented(self, bench): ...

        for body in (test_routing_x, test_queue_undocumented):
            with pytest.raises(ValueError, match='must be named test_queue_'):
                scenario('queue')(body)

    def test_runs_with_a_bench(self, target):
        def body(self, bench):
            """Documented."""
            queue = bench.queue(bench.channel())
            bench.publish(queue, 'x')
            assert bench.contents(queue, 1) == ['x']
            seen.append(queue.name)

        seen = []
        suite_of(target, body)()
        with (
            target.connection() as connection,
            connection.channel() as channel,
            pytest.raises(connection.channel_errors),
        ):
            channel.queue_declare(queue=seen[0], passive=True)

    def test_not_claimed(self, target):
        def body(self, bench):
            """Documented."""

        with pytest.raises(NotClaimed, match='not claimed: lease'):
            suite_of(target, body, requires={'lease', 'priority'})()

    def test_not_applicable(self, target):
        def body(self, bench):
            """Documented."""

        with pytest.raises(NotApplicable, match=r'no kill\(\)') as caught:
            suite_of(target, body, needs={'kill'})()
        assert not isinstance(caught.value, NotClaimed)

    def test_known_limits_are_told(self):
        def body(self, bench):
            """Documented."""

        limited = Target('memory://', limits={'delivery.it': 'the server cannot'})
        with pytest.raises(NotApplicable, match='the server cannot'):
            suite_of(limited, body)()

    def test_hanging_ends(self, target):
        release = threading.Event()

        def body(self, bench):
            """Documented."""
            release.wait(10)

        with pytest.raises(Hung, match=r'delivery\.it: still running'):
            suite_of(target, body, seconds=0.02)()
        release.set()

    def test_the_first_error_counts(self, target):
        """A failure is not hidden by trouble with putting away."""

        def body(self, bench):
            """Documented."""
            bench.finally_(lambda: 1 / 0)
            raise Broken('first')

        with pytest.raises(Broken, match='first'):
            suite_of(target, body)()

    def test_trouble_with_putting_away_counts_too(self, target):
        def body(self, bench):
            """Documented."""
            bench.finally_(lambda: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            suite_of(target, body)()

    def test_a_claim_may_not_warn(self, target):
        def body(self, bench):
            """Documented."""
            warnings.warn(UnsupportedFeatureWarning('no priority here'), stacklevel=1)

        with pytest.raises(UnsupportedFeatureWarning):
            suite_of(target, body)()


class TestSuite:
    def test_three_lines_are_enough(self):
        class TestMine(TransportSuite):
            url = 'memory://'

        assert TestMine.target == Target('memory://')
        TestMine().test_delivery_get_empty()

    def test_no_method_hides_another(self):
        """Groups are mixed into one class, so every name may occur once."""
        names = [
            name
            for klass in TransportSuite.__mro__
            for name in vars(klass)
            if not name.startswith('__')
        ]
        assert sorted({name for name in names if names.count(name) > 1}) == []

    def test_ids_are_unique(self):
        ids = [guarantee.id for guarantee in ALL]
        assert len(ids) == len(set(ids)) > 200

    def test_groups_in_order(self):
        seen = list(dict.fromkeys(guarantee.group for guarantee in ALL))
        assert seen == list(GROUPS)

    @pytest.mark.parametrize('guarantee', ALL, ids=lambda guarantee: guarantee.id)
    def test_marks(self, guarantee):
        known = {*CAPABILITIES, 'exchange:topic', 'exchange:fanout', 'exchange:headers'}
        assert guarantee.requires <= known
        assert guarantee.needs <= set(NEEDS)
        assert guarantee.seconds <= 50
        assert not guarantee.title.endswith('.')
        assert len(guarantee.title) <= 110


class TestTarget:
    def test_claims_of_the_transport(self):
        claims = Target('memory://').claims()
        assert {'priority', 'exchange:topic', 'exchange:headers'} <= claims
        assert not {'lease', 'processes'} & claims

    def test_capabilities_given_win(self):
        target = Target('memory://', capabilities=frozenset({'priority'}))
        assert target.claims() == {'priority'}
        assert target.unclaimed({'priority', 'lease', 'delay'}) == ['delay', 'lease']

    def test_options_are_added_up(self):
        target = Target('memory://', transport_options={'a': 1}, connect_args={'heartbeat': 3})
        connection = target.connection(transport_options={'b': 2})
        assert connection.transport_options == {'a': 1, 'b': 2}
        assert connection.heartbeat == 3
        assert target.transport_options == {'a': 1}

    def test_titles(self):
        assert Target('memory://').title == 'memory'
        assert Target('amqp://host', name='RabbitMQ').title == 'RabbitMQ'

    def test_processes_are_the_transports_to_claim(self):
        assert not Target('memory://').has('processes')
        assert Target('memory://', processes=True).has('processes')

    @pytest.mark.parametrize('need', NEEDS)
    def test_every_need_can_be_asked_for(self, need):
        assert Target('memory://').has(need) in (True, False)
