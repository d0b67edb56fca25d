"""Several hosts for one connection."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import pytest

from kombu._failover import failover_strategies, find_strategy, host_cycle, split_hosts


class TestSplitHosts:
    @pytest.mark.parametrize(
        ('hostname', 'alternates', 'expected'),
        [
            ('amqp://a', None, ('amqp://a', [])),
            ('amqp://a;', None, ('amqp://a', [])),
            ('amqp://a;amqp://b', None, ('amqp://a', ['amqp://a', 'amqp://b'])),
            (' a ; b ;; c;', None, ('a', ['a', 'b', 'c'])),
            (['a', 'b'], None, ('a', ['a', 'b'])),
            (('a;b', 'c'), None, ('a', ['a', 'b', 'c'])),
            ('a', ['b'], ('a', ['b'])),
            ('a', 'b;c', ('a', ['b', 'c'])),
            ('a;c', ['b'], ('a', ['a', 'c', 'b'])),
            (None, None, (None, [])),
            ('', None, ('', [])),
        ],
    )
    def test_hosts(self, hostname: Any, alternates: Any, expected: Any) -> None:
        assert split_hosts(hostname, alternates) == expected

    def test_generator(self) -> None:
        assert split_hosts((host for host in 'ab'), None) == ('a', ['a', 'b'])

    @pytest.mark.parametrize('hostname', [[], ';', ' ; ', ['', ';']])
    def test_nothing(self, hostname: Any) -> None:
        with pytest.raises(ValueError, match='no host to connect to'):
            split_hosts(hostname, None)

    @pytest.mark.parametrize('hosts', [5, b'amqp://u:secret@h', [None], ['a', 5]])
    def test_no_text(self, hosts: Any) -> None:
        with pytest.raises(TypeError, match=r'^hostname .* host name') as caught:
            split_hosts(hosts, None)
        with pytest.raises(TypeError, match=r'^alternates .* host name'):
            split_hosts('a', hosts)
        assert 'secret' not in str(caught.value)


class TestFindStrategy:
    def test_none_is_round_robin(self) -> None:
        assert find_strategy(None, failover_strategies) is cycle

    def test_by_name(self) -> None:
        shuffle = find_strategy('shuffle', failover_strategies)
        assert sorted(islice(shuffle('abc'), 3)) == ['a', 'b', 'c']

    def test_callable(self) -> None:
        assert find_strategy(reversed, failover_strategies) is reversed

    @pytest.mark.parametrize(
        ('name', 'hint'),
        [('roundrobin', "did you mean 'round-robin'?"), (42, 'known are round-robin, shuffle')],
    )
    def test_unknown(self, name: Any, hint: str) -> None:
        with pytest.raises(ValueError, match=r'unknown failover strategy') as caught:
            find_strategy(name, failover_strategies)
        assert hint in str(caught.value)


class TestHostCycle:
    def test_goes_on_after_the_current_one(self) -> None:
        assert list(islice(host_cycle(cycle, 'abc', 1), 4)) == ['c', 'a', 'b', 'c']

    def test_from_the_beginning(self) -> None:
        assert list(islice(host_cycle(cycle, 'abc', None), 3)) == ['a', 'b', 'c']

    def test_strategy_that_ends(self) -> None:
        assert list(host_cycle(iter, 'abc', 0)) == ['b', 'c']
