"""Routing tables against a brute-force reading of the rules."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kombu.transport.virtual._routing import (
    CACHE_LIMIT,
    DirectTable,
    FanoutTable,
    HeadersTable,
    TopicTable,
    words,
)


def topic_matches(pattern: list[str], key: list[str]) -> bool:
    """AMQP 0-9-1 section 3.1.3.3, word by word."""
    if not pattern:
        return not key
    if pattern[0] == '#':
        return any(topic_matches(pattern[1:], key[skip:]) for skip in range(len(key) + 1))
    return bool(key) and pattern[0] in ('*', key[0]) and topic_matches(pattern[1:], key[1:])


def headers_match(arguments: dict, headers: dict) -> bool:
    """RabbitMQ's reading: presence for None, else type and value; `x-` only with `-with-x`."""
    mode = arguments.get('x-match', 'all')
    tests = [
        name in headers
        and (value is None or (type(headers[name]) is type(value) and headers[name] == value))
        for name, value in arguments.items()
        if name != 'x-match' and (mode.endswith('-with-x') or not name.startswith('x-'))
    ]
    return any(tests) if mode.startswith('any') else all(tests)


def expected(bindings, matches):
    return tuple(dict.fromkeys(queue for *binding, queue in bindings if matches(*binding)))


WORDS = st.sampled_from(['a', 'b', 'ab', '', '.', 'a+b', 'ü'])
KEYS = st.lists(WORDS, max_size=4).map('.'.join)
PATTERNS = st.lists(WORDS | st.sampled_from(['*', '#', '#']), max_size=5).map('.'.join)
QUEUES = st.sampled_from(['q1', 'q2', 'q3'])


@given(st.lists(st.tuples(PATTERNS, QUEUES)), st.lists(KEYS, min_size=1, max_size=5))
def test_topic_routes_as_the_rules_say(bindings, keys):
    table = TopicTable((pattern, None, queue) for pattern, queue in bindings)
    for key in keys * 2:  # the second time from the cache
        assert set(table.match(key)) == set(
            expected(bindings, lambda p, key=key: topic_matches(words(p), words(key)))
        )
        assert len(set(table.match(key))) == len(table.match(key))


def test_topic_routes_every_short_pattern_and_key_as_the_rules_say():
    """All patterns of up to four words from {a, b, *, #} with all keys of up to four."""
    patterns = ['.'.join(p) for n in range(5) for p in product('ab*#', repeat=n)]
    keys = ['.'.join(k) for n in range(5) for k in product('ab', repeat=n)]
    table = TopicTable((pattern, None, pattern) for pattern in patterns)
    for key in keys:
        assert set(table.match(key)) == {p for p in patterns if topic_matches(words(p), words(key))}


def test_topic_is_not_slowed_by_many_hashes():
    table = TopicTable([('.'.join('#' * 12) + '.z', None, 'q')])
    assert table.match('.'.join('a' * 200)) == ()


@given(st.lists(st.tuples(KEYS, QUEUES)), st.lists(KEYS, min_size=1, max_size=3))
def test_direct_routes_by_equality_in_order_of_binding(bindings, keys):
    table = DirectTable((key, None, queue) for key, queue in bindings)
    for key in keys:
        assert table.match(key) == expected(bindings, lambda bound, key=key: bound == key)


@given(st.lists(st.tuples(KEYS, QUEUES)))
def test_fanout_routes_everywhere_once(bindings):
    table = FanoutTable((key, None, queue) for key, queue in bindings)
    assert set(table.match('anything')) == {queue for _, queue in bindings}


NAMES = st.sampled_from(['h1', 'h2', 'x-h', 'x-match-not'])
VALUES = st.sampled_from([1, 1.0, True, '1', None, 0, False, b'1', [1, {'a': 2}], {'a': [1]}])
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=3).flatmap(
    lambda arguments: st.sampled_from([None, *HeadersTable.MODES]).map(
        lambda mode: arguments if mode is None else {**arguments, 'x-match': mode}
    )
)
HEADERS = st.dictionaries(NAMES | st.just('x-match'), VALUES, max_size=4)


@given(st.lists(st.tuples(ARGUMENTS, QUEUES), max_size=6), st.lists(HEADERS, max_size=4))
def test_headers_route_as_the_rules_say(bindings, messages):
    table = HeadersTable()
    for arguments, queue in bindings:
        table.add(('', None, queue), arguments)
    for headers in messages:
        assert set(table.match('', headers)) == set(
            expected(bindings, lambda a, headers=headers: headers_match(a, headers))
        )


@settings(max_examples=200)
@given(
    st.sampled_from([DirectTable, FanoutTable, TopicTable, HeadersTable]),
    st.lists(st.tuples(st.booleans(), PATTERNS, QUEUES, ARGUMENTS), max_size=12),
    KEYS,
    HEADERS,
)
def test_a_table_that_changed_is_like_one_made_afresh(kind, steps, key, headers):
    table, left = kind(), {}
    for add, pattern, queue, arguments in steps:
        row = (pattern, None, queue)
        identity = (row, repr(sorted(arguments.items(), key=repr)))
        if add:
            assert table.add(row, arguments) is (identity not in left)
            left.setdefault(identity, (row, arguments))
        else:
            assert table.discard(row, arguments) is (left.pop(identity, None) is not None)
        table.match(key, headers)
    fresh = kind()
    for row, arguments in left.values():
        fresh.add(row, arguments)
    assert set(table.match(key, headers)) == set(fresh.match(key, headers))
    assert sorted(table) == sorted(fresh)
    assert len(table) == len(left)
    for queue in set(table.destinations):
        table.discard_destination(queue)
    assert not table
    assert not table.match(key, headers)


@pytest.mark.parametrize('kind', [DirectTable, FanoutTable, TopicTable])
def test_keys_that_never_repeat_do_not_fill_the_memory(kind):
    table = kind([('#', None, 'q')])
    for n in range(CACHE_LIMIT + 10):
        table.match(str(n))
    assert len(table._cache) <= CACHE_LIMIT
