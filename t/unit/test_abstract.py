"""Objects with declared attributes, and binding them to channels."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from unittest.mock import Mock

import pytest

from kombu.abstract import MaybeChannelBound, Object, is_connection, maybe_channel, unpickle_dict
from kombu.connection import Connection
from kombu.exceptions import NotBoundError, UnknownArgumentWarning
from kombu.utils.functional import ChannelPromise
from t.unit.fake_channel import FakeChannel


class Thing(Object):
    attrs = (('name', None), ('size', int), ('inner', None))


class Sized(Thing):
    size = 7


class Entity(MaybeChannelBound):
    attrs = (('name', None),)

    bound_to: Any = None

    def when_bound(self) -> None:
        self.bound_to = self._channel


class TestObject:
    def test_attributes_are_converted(self) -> None:
        assert Thing(name='a', size='3').as_dict() == {'name': 'a', 'size': 3, 'inner': None}

    def test_default_of_the_class_stays(self) -> None:
        assert Sized().size == 7
        assert Sized(size=None).size == 7
        assert Sized(size=0).size == 0

    def test_as_dict_recurses_when_asked(self) -> None:
        inner = Thing(name='in')
        outer = Thing(inner=inner)
        assert outer.as_dict()['inner'] is inner
        assert outer.as_dict(recurse=True)['inner'] == inner.as_dict()

    def test_unknown_argument_warns_with_a_suggestion(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'size'"):
            Thing(sise=3)

    def test_pickle(self) -> None:
        thing = pickle.loads(pickle.dumps(Thing(name='a', size=3)))
        assert thing.as_dict() == {'name': 'a', 'size': 3, 'inner': None}

    def test_reduce_is_readable_by_kombu_5(self) -> None:
        """The function and the shape of its arguments are part of the pickles on the wire."""
        function, (cls, kwargs) = Thing(name='a').__reduce__()
        assert function is unpickle_dict
        assert cls is Thing
        assert kwargs == {'name': 'a', 'size': None, 'inner': None}

    def test_copy_keeps_what_was_set_later(self) -> None:
        thing = Thing(name='a')
        thing.extra = 1  # type: ignore[attr-defined]
        twin: Any = copy.copy(thing)
        assert (twin.name, twin.extra) == ('a', 1)
        assert twin is not thing


class TestBinding:
    def test_call_binds_a_copy(self) -> None:
        channel = FakeChannel()
        entity = Entity(name='a')
        bound = entity(channel)
        assert bound.is_bound
        assert bound.channel is channel
        assert bound.bound_to is channel
        assert not entity.is_bound

    def test_maybe_bind_binds_once(self) -> None:
        first, second = FakeChannel(), FakeChannel()
        entity = Entity(name='a')
        assert entity.maybe_bind(None) is entity
        assert not entity.is_bound
        entity.maybe_bind(first)
        entity.maybe_bind(second)
        assert entity.channel is first

    def test_revive_moves(self) -> None:
        first, second = FakeChannel(), FakeChannel()
        entity = Entity(name='a')(first)
        entity.revive(second)
        assert entity.channel is second
        assert entity.bound_to is second

    def test_copy_is_not_bound(self) -> None:
        assert not copy.copy(Entity(name='a')(FakeChannel())).is_bound

    def test_unbound_has_no_channel(self) -> None:
        with pytest.raises(NotBoundError, match=r'entity\(channel\)'):
            _ = Entity(name='a').channel

    def test_promised_channel_is_opened_when_it_is_asked_for(self) -> None:
        channel = FakeChannel()
        opened: list[int] = []

        def open_channel() -> FakeChannel:
            opened.append(1)
            return channel

        entity = Entity(name='a')(ChannelPromise(open_channel))
        assert entity.is_bound
        assert 'promise' in repr(entity)
        assert not opened, 'repr opens no channel'
        assert entity.channel is channel
        assert opened == [1]

    def test_repr(self) -> None:
        assert repr(Entity(name='a')) == '<unbound Entity>'
        assert repr(Entity(name='a')(FakeChannel(channel_id=4))) == '<Entity bound to chan:4>'


class TestConnections:
    def test_connection_given_for_a_channel(self) -> None:
        connection = Connection('memory://')
        entity = Entity(name='a')(connection)
        assert entity.channel is connection.default_channel
        connection.release()

    def test_is_connection_does_not_connect(self) -> None:
        connection = Connection('memory://')
        assert is_connection(connection)
        assert not connection.connected

    def test_what_is_no_connection(self) -> None:
        channel = FakeChannel()
        assert not is_connection(channel)
        assert not is_connection(Mock())
        assert maybe_channel(channel) is channel
        assert maybe_channel(None) is None

    def test_stand_in_with_the_class_of_a_connection(self) -> None:
        """Proxies and mocks tell their class by `__class__`."""
        assert is_connection(Mock(spec=Connection))
