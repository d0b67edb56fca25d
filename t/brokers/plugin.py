"""Fixtures with real brokers.

A broker is started when the first test asks for it, and serves the whole run.  Tests that kill,
freeze or starve it ask for the `_victim`, which is a second one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from .rabbitmq import Broker, Node, rabbitmq_broker
from .server import Unavailable

T = TypeVar('T')

#: Brokers that have to be there: their absence is an error instead of a reason to skip.
REQUIRED = frozenset(filter(None, os.environ.get('KOMBU_TEST_REQUIRE', '').split(',')))


def found_or_started(name: str, start: Callable[[], T]) -> T:
    """Return what `start` returns; without it skip, or fail where `name` is required."""
    try:
        return start()
    except Unavailable as exc:
        text = f'no {name} on this machine ({exc})'
        if name in REQUIRED:
            pytest.fail(text, pytrace=False)
        pytest.skip(text)


@pytest.fixture(scope='session')
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """RabbitMQ, for everything that leaves it in peace."""
    broker = found_or_started('amqp', lambda: rabbitmq_broker(tmp_path_factory.mktemp('rabbitmq')))
    yield broker
    broker.stop()


@pytest.fixture(scope='session')
def rabbitmq_victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of our own that tests may kill and freeze; they leave it running."""

    def start() -> Node:
        node = Node(tmp_path_factory.mktemp('rabbitmq-victim'))
        try:
            node.start()
        except BaseException:
            node.stop()
            raise
        return node

    node = found_or_started('amqp', start)
    yield node
    node.stop()


@pytest.fixture
def amqp_url(rabbitmq: Broker) -> Iterator[str]:
    """The URL of an empty virtual host."""
    url = rabbitmq.new_vhost()
    yield url
    rabbitmq.delete_vhost(url)
