from __future__ import annotations

from kombu.transport.virtual import BrokerState, binding_key_t, queue_binding_t
from kombu.transport.virtual._routing import DirectTable
from kombu.transport.virtual._topology import ExchangeEntry, QueueEntry


def exchange(name, **options):
    return ExchangeEntry(name, 'direct', True, False, options, DirectTable())


def test_bindings_are_found_from_both_sides():
    state = BrokerState()
    state.binding_declare('q', 'e', 'k1', {'a': 1})
    state.binding_declare('q', 'e', 'k2', None)
    state.binding_declare('q', 'e', 'k1', {'b': 2})
    assert state.has_binding('q', 'e', 'k1')
    assert not state.has_binding('q', 'e', 'k3')
    assert sorted(state.queue_bindings('q'), key=lambda b: b.routing_key) == [
        queue_binding_t('e', 'k1', {'a': 1}),
        queue_binding_t('e', 'k2', None),
    ]
    assert state.queue_index['q'] == {
        binding_key_t('q', 'e', 'k1'),
        binding_key_t('q', 'e', 'k2'),
    }


def test_a_deleted_binding_leaves_nothing_behind():
    state = BrokerState()
    state.binding_declare('q', 'e', 'k', None)
    state.binding_delete('q', 'e', 'k')
    state.binding_delete('q', 'e', 'k')
    assert not state.bindings
    assert 'q' not in state.queue_index


def test_a_forgotten_queue_is_unbound_everywhere():
    state = BrokerState()
    for name in ('e1', 'e2'):
        entry = exchange(name)
        state.add_exchange(entry)
        for queue in ('q', 'other'):
            entry.table.add(('k', None, queue))
            state.binding_declare(queue, name, 'k', None)
    state.queues['q'] = QueueEntry('q')
    assert sorted(state.forget_queue('q')) == ['e1', 'e2']
    assert 'q' not in state.queues
    for name in ('e1', 'e2'):
        assert list(state.exchanges[name]['table']) == [('k', None, 'other')]
    assert state.forget_queue('q') == []


def test_a_forgotten_exchange_leaves_its_queues():
    state = BrokerState()
    entry, source = exchange('e'), exchange('source')
    state.add_exchange(entry)
    state.add_exchange(source)
    source.exchanges = DirectTable([('k', None, 'e')])
    entry.table.add(('k', None, 'q'))
    state.binding_declare('q', 'e', 'k', None)
    state.queues['q'] = QueueEntry('q')
    assert state.forget_exchange('e') == ['source']
    assert 'q' in state.queues
    assert not state.bindings
    assert not source.exchanges


def test_records_read_like_the_dictionaries_they_once_were():
    entry = exchange('e', **{'alternate-exchange': 'ae'})
    assert entry['type'] == 'direct'
    assert entry.get('nonsense', 5) == 5
    assert entry.alternate == 'ae'
    assert entry.leads_on
    assert 'table' in entry.keys()  # noqa: SIM118 - not a mapping, only like one


def test_clear_forgets_everything():
    state = BrokerState()
    state.add_exchange(exchange('e'))
    state.binding_declare('q', 'e', 'k', None)
    state.clear()
    assert not any([state.exchanges, state.bindings, state.queue_index, state.queues])
    assert '0 exchanges' in repr(state)
