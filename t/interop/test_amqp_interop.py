"""This kombu and kombu 5.x over one RabbitMQ, in each direction, as while an upgrade rolls out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from t.brokers.rabbitmq import Broker
from t.interop import amqp_programs as programs
from t.interop.sides import Ours, Side

Pair = tuple[Side, Side]


@pytest.fixture
def other_url(rabbitmq: Broker) -> Iterator[str]:
    """A second empty virtual host."""
    url = rabbitmq.new_vhost()
    yield url
    rabbitmq.delete_vhost(url)


def topology_of(broker: Broker, url: str) -> dict[str, Any]:
    """List exchanges, queues and bindings, as the broker has them."""
    vhost = urlsplit(url).path[1:]

    def listed(kind: str, *fields: str) -> list[tuple[Any, ...]]:
        found = broker.api('GET', f'{kind}/{vhost}')
        return sorted(tuple(str(entry[field]) for field in fields) for entry in found)

    shared = ('name', 'durable', 'auto_delete', 'arguments')
    return {
        'exchanges': listed('exchanges', 'type', 'internal', *shared),
        'queues': listed('queues', 'type', 'exclusive', *shared),
        'bindings': listed(
            'bindings', 'source', 'destination_type', 'destination', 'routing_key', 'arguments'
        ),
    }


@pytest.fixture(scope='module')
def codecs(released: Side) -> dict[str, list[str]]:
    """The serializers and compressions that both have."""
    here = Ours().run(programs, 'codecs')
    there = released.run(programs, 'codecs')
    return {kind: sorted(set(here[kind]) & set(there[kind])) for kind in here}


def test_both_have_the_usual_codecs(codecs: dict[str, list[str]]) -> None:
    """The tests below are worth something."""
    assert {'json', 'pickle'} <= set(codecs['serializers'])
    assert {'application/x-gzip', 'application/x-bz2'} <= set(codecs['compressions'])


def test_messages(amqp_url: str, pair: Pair, codecs: dict[str, list[str]]) -> None:
    """Bodies, headers and properties are the same to both, and what was sent."""
    sender, receiver = pair
    receiver.run(programs, 'bind_fanout', url=amqp_url, exchange='f', queues=['one', 'two'])
    count = sender.run(programs, 'publish', url=amqp_url, exchange='f', **codecs)
    got = receiver.run(programs, 'receive', url=amqp_url, queue='one', count=count)
    assert got == sender.run(programs, 'receive', url=amqp_url, queue='two', count=count)
    payloads = {message['case']: message['payload'] for message in got}
    expected = programs.expected_bodies(**codecs)
    assert {case: payloads[case] for case in expected} == expected
    assert len(payloads) == count


def test_returned_messages(amqp_url: str, pair: Pair) -> None:
    """What is mandatory comes back from an exchange of the other side."""
    declaring, publishing = pair
    declaring.run(programs, 'declare', url=amqp_url)
    found = publishing.run(programs, 'returned', url=amqp_url, exchange='transient')
    assert found == [[312, 'transient', 'nowhere', 'lost']]


def test_topology(rabbitmq: Broker, amqp_url: str, other_url: str, pair: Pair) -> None:
    """The same declarations make the same topology; the other side can redeclare and use it."""
    first, second = pair
    names = first.run(programs, 'declare', url=amqp_url)
    topology = topology_of(rabbitmq, amqp_url)
    second.run(programs, 'declare', url=other_url)
    assert topology_of(rabbitmq, other_url) == topology

    second.run(programs, 'declare', url=amqp_url)
    assert topology_of(rabbitmq, amqp_url) == topology
    second.run(programs, 'send', url=amqp_url)
    wanted = {
        'limits': ['priority 5', 'priority 3', 'priority 1'],
        'plain': ['nobody asked'],
        'headers all': ['urgent'],
        'headers any': ['urgent', 'half as urgent'],
        'default exchange': ['by name'],
        'everybody.1': ['all'],
        'lost': ['unroutable', 'copy', 'soon dead (expired)'],
    }
    counts = {name: len(bodies) for name, bodies in wanted.items()}
    assert first.run(programs, 'fetch', url=amqp_url, counts=counts) == wanted
    # What was not fetched: the copies of the lost, and what a binding without arguments lets pass.
    left = dict(zip(names, first.run(programs, 'delete', url=amqp_url, names=names), strict=True))
    assert {name: count for name, count in left.items() if count} == {'several': 3, 'passing': 3}


def test_delayed_delivery(rabbitmq: Broker, amqp_url: str, other_url: str, pair: Pair) -> None:
    """The topology for delays is the same, and carries messages of either side."""
    first, second = pair
    first.run(programs, 'declare_delayed', url=amqp_url)
    topology = topology_of(rabbitmq, amqp_url)
    second.run(programs, 'declare_delayed', url=other_url)
    assert topology_of(rabbitmq, other_url) == topology
    second.run(programs, 'declare_delayed', url=amqp_url)
    assert topology_of(rabbitmq, amqp_url) == topology
    keys = second.run(programs, 'send_delayed', url=amqp_url)
    assert keys == first.run(programs, 'send_delayed', url=other_url)
    found = second.run(programs, 'fetch', url=amqp_url, counts={'delayed': 2})
    assert found == {'delayed': ['0 (expired)', '2 (expired)']}


@pytest.mark.parametrize('kind', ['direct', 'fanout'])
def test_remote_control(amqp_url: str, pair: Pair, kind: str) -> None:
    """A node of one side answers the mailbox of the other."""
    calling, called = pair
    to = {'url': amqp_url, 'kind': kind, 'hostname': 'node'}
    with called.serving(programs, 'serve_node', **to) as said:
        answers = calling.run(programs, 'control', **to)
    echo = {'from': 'node', 'x': [1, 'h\xe9', None]}
    assert answers.pop('failed')[0]['node'].keys() == {'error'}
    assert answers == {
        'call': [{'node': echo}],
        'all': [{'node': {'from': 'node', 'n': 1}}],
        'glob': [{'node': {'from': 'node'}}],
        'nobody': [],
    }
    assert said[-1] == [
        ['echo', {'x': [1, 'h\xe9', None]}],
        ['echo', {'n': 1}],
        ['echo', {}],
        ['note', {'cast': 1}],
        ['note', {'abcast': 1}],
        ['echo', {'last': True}],
    ]


def test_simple_queues(amqp_url: str, pair: Pair) -> None:
    """One side puts, the other gets."""
    putting, getting = pair
    putting.run(programs, 'put', url=amqp_url, queue='simple')
    found = getting.run(programs, 'get', url=amqp_url, queue='simple')
    assert found == [3, {'n': 0}, {'n': 1}, {'n': 2}, 0]


@pytest.mark.parametrize('producing', [False, True])
def test_requests(amqp_url: str, pair: Pair, producing: bool) -> None:
    """A consumer of one side answers the requests of the other, what it requeued included."""
    asking, answering = pair
    with answering.serving(programs, 'serve_worker', url=amqp_url, producing=producing) as said:
        answers = asking.run(programs, 'request', url=amqp_url)
    bodies = ['one', {'two': 2}, 'again']
    assert answers == [{'done': body} for body in bodies]
    assert said[-1] == bodies
