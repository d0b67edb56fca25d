"""Transports by name."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest

from kombu import Connection, transport
from kombu.transport import (
    TRANSPORT_ALIASES,
    get_transport_cls,
    memory,
    resolve_transport,
    supports_librabbitmq,
)


class EntryPoint:
    """What importlib.metadata has for an installed transport."""

    def __init__(self, name, value):
        self.name = name
        self.value = value

    def load(self):
        return self.value


@pytest.fixture
def installed(monkeypatch):
    """Entry points of the group `kombu.transports`."""
    points = []

    def entry_points(*, group):
        assert group == 'kombu.transports'
        return points

    monkeypatch.setattr(importlib.metadata, 'entry_points', entry_points)
    return points


@pytest.mark.parametrize('name', sorted(TRANSPORT_ALIASES))
def test_every_alias_leads_somewhere(name):
    target = TRANSPORT_ALIASES[name]
    module, _, attribute = target.partition(':')
    assert attribute
    try:
        found = importlib.import_module(module)
    except ImportError:
        pytest.skip('its client library is not installed')
    assert hasattr(found, attribute)


@pytest.mark.parametrize(
    'name', ['memory', 'kombu.transport.memory:Transport', 'kombu.transport.memory.Transport']
)
def test_a_name_or_a_path(name):
    assert resolve_transport(name) is memory.Transport
    assert get_transport_cls(name) is memory.Transport


def test_a_class_is_what_it_is():
    assert resolve_transport(memory.Transport) is memory.Transport


@pytest.mark.parametrize('result', ['memory', memory.Transport])
def test_a_function_is_called(result):
    assert resolve_transport(lambda: result) is memory.Transport


def test_the_default_is_amqp():
    assert get_transport_cls().driver_type == 'amqp'
    assert get_transport_cls(None) is get_transport_cls('amqp')


@pytest.mark.parametrize(
    ('name', 'text'),
    [('memry', "Did you mean 'memory'"), ('amqpp', 'Did you mean'), ('zzzzzz', 'There are: amqp')],
)
def test_an_unknown_name_says_what_is_near(name, text):
    with pytest.raises(KeyError, match=text) as caught:
        resolve_transport(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize('path', ['no.such.module:Transport', 'kombu.transport.memory:Nope'])
def test_a_path_that_leads_nowhere(path):
    with pytest.raises((ImportError, AttributeError), match=r'no|Nope'):
        resolve_transport(path)


class TestInstalledTransports:
    def test_are_found_by_name(self, installed):
        class Mine:
            pass

        installed.append(EntryPoint('mine', Mine))
        assert resolve_transport('mine') is Mine

    def test_do_not_replace_ours(self, installed):
        installed.append(EntryPoint('memory', object))
        assert resolve_transport('memory') is memory.Transport

    def test_are_among_the_suggestions(self, installed):
        installed.append(EntryPoint('brandnew', object))
        with pytest.raises(KeyError, match="Did you mean 'brandnew'"):
            resolve_transport('brandnow')

    def test_serve_urls(self, installed):
        class Mine(memory.Transport):
            driver_type = 'mine'

        installed.append(EntryPoint('mine', Mine))
        with Connection('mine://host/v') as connection:
            assert connection.transport.driver_type == 'mine'


class TestAliases:
    """A plain dict that third parties change when they are imported."""

    @pytest.mark.parametrize(
        'target', ['kombu.transport.memory:Transport', 'kombu.transport.memory.Transport']
    )
    def test_one_more(self, monkeypatch, target):
        monkeypatch.setitem(TRANSPORT_ALIASES, 'mine', target)
        assert type(TRANSPORT_ALIASES) is dict
        assert resolve_transport('mine') is memory.Transport
        assert Connection('mine://').transport.driver_type == 'memory'

    def test_another_in_the_place_of_ours(self, monkeypatch):
        monkeypatch.setitem(TRANSPORT_ALIASES, 'amqp', 'kombu.transport.memory:Transport')
        assert Connection('amqp://').transport.driver_type == 'memory'


@pytest.mark.parametrize(
    ('environment', 'installed', 'supported'),
    [('default', True, True), ('default', False, False), ('gevent', True, False)],
)
def test_the_c_client_needs_real_sockets(monkeypatch, environment, installed, supported):
    monkeypatch.setattr(transport, 'detect_environment', lambda: environment)
    monkeypatch.setattr(transport, 'find_spec', lambda name: object() if installed else None)
    assert supports_librabbitmq() is supported
