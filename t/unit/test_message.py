"""Messages as consumers see them."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import weakref
import zlib
from typing import Any

import pytest

import kombu.compression
import kombu.message
from kombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    MessageStateError,
    SerializerNotInstalled,
)
from kombu.message import ACK_STATES, Message

JSON = 'application/json'
PICKLE = 'application/x-python-serialize'

PACKED = zlib.compress(b'{"a": 1}')
GZIP = {'compression': 'application/x-gzip'}


class Channel:
    """Records what a message asks of it."""

    def __init__(self, *no_ack: str | None, fail: Exception | None = None) -> None:
        self.no_ack_consumers = set(no_ack)
        self.calls: list[Any] = []
        self.fail = fail

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        self._called('ack', delivery_tag, multiple)

    def basic_reject(self, delivery_tag: Any, requeue: bool) -> None:
        self._called('reject', delivery_tag, requeue)

    def _called(self, *call: Any) -> None:
        if self.fail is not None:
            raise self.fail
        self.calls.append(call)


def message(body: Any = b'[1]', **kwargs: Any) -> Message:
    kwargs = {'content_type': JSON, 'content_encoding': 'utf-8', 'delivery_tag': 7, **kwargs}
    return Message(body, **kwargs)


class TestConstruction:
    def test_defaults(self) -> None:
        empty = Message()
        assert empty.body is None
        assert empty.delivery_tag is None
        assert empty.content_type is None
        assert empty.content_encoding is None
        assert empty.accept is None
        assert empty.channel is None
        assert (empty.delivery_info, empty.properties, empty.headers) == ({}, {}, {})
        assert empty.errors == []
        assert empty._state == 'RECEIVED'
        assert not empty.acknowledged
        assert empty.payload is None

    def test_positional(self) -> None:
        info, properties, headers, channel = {'i': 1}, {'p': 1}, {'h': 1}, Channel()
        full = Message(
            b'1', 7, JSON, 'utf-8', info, properties, headers, None, {JSON}, channel, extra=1
        )
        assert (full.body, full.delivery_tag, full.content_type) == (b'1', 7, JSON)
        assert full.content_encoding == 'utf-8'
        assert full.delivery_info is info
        assert full.properties is properties
        assert full.headers is headers
        assert full.accept == {JSON}
        assert full.channel is channel

    def test_nothing_is_shared_between_messages(self) -> None:
        first, second = Message(), Message()
        for name in ('delivery_info', 'properties', 'headers', 'errors'):
            assert getattr(first, name) is not getattr(second, name)
            assert getattr(first, name) is getattr(first, name)

    def test_attributes_of_ones_own(self) -> None:
        own = Message()
        own.note = 'x'  # type: ignore[attr-defined]
        assert vars(own) == {'note': 'x'}

    def test_subclass(self) -> None:
        class Own(Message):
            def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
                super().__init__(payload['body'], channel=channel, **kwargs)
                self.raw = payload

        own = Own({'body': b'1'}, delivery_tag=3)
        assert (own.body, own.delivery_tag, own.raw) == (b'1', 3, {'body': b'1'})

    def test_weakly_referable_and_copyable(self) -> None:
        original = message(b'[1]')
        assert weakref.ref(original)() is original
        assert copy.copy(original).payload == [1]
        assert pickle.loads(pickle.dumps(original)).payload == [1]

    def test_postencode(self) -> None:
        assert message('h\xe9', postencode='latin-1').body == b'h\xe9'
        assert message(b'x', postencode='utf-8').body == b'x'

    @pytest.mark.parametrize('encoding', ['no-such-encoding', 'ascii'])
    def test_postencode_that_fails(self, encoding: str) -> None:
        broken = message('h\xe9', postencode=encoding)
        assert broken.body == 'h\xe9'
        with pytest.raises(DecodeError, match=encoding):
            broken.decode()


class TestRepr:
    def test_says_what_matters(self) -> None:
        info = {'exchange': 'logs', 'routing_key': 'a.b', 'redelivered': True, 'x': 'y'}
        shown = repr(message(b'secret', delivery_info=info, properties={'correlation_id': 'c'}))
        assert shown == (
            "<Message 7 RECEIVED application/json 6 bytes exchange='logs' routing_key='a.b' "
            "redelivered=True correlation_id='c'>"
        )

    def test_of_nothing(self) -> None:
        assert repr(Message()) == '<Message None RECEIVED>'
        assert repr(Message('text')) == '<Message None RECEIVED 4 characters>'

    def test_does_not_decompress(self) -> None:
        shown = repr(message(PACKED, headers=GZIP))
        assert f'{len(PACKED)} bytes' in shown


class TestDecode:
    def test_is_done_once(self) -> None:
        decoded = message(b'{"a": 1}')
        first = decoded.payload
        assert first == {'a': 1}
        assert decoded.decode() is first
        assert decoded.payload is first

    @pytest.mark.parametrize('body', [b'[]', b'{}', b'""', b'0', b'false'])
    def test_once_for_what_is_false_too(self, body: bytes) -> None:
        decoded = message(body)
        first = decoded.payload
        decoded.body = b'"changed"'
        assert decoded.payload is first

    def test_accept(self) -> None:
        with pytest.raises(ContentDisallowed):
            message(b'1', accept={PICKLE}).decode()
        with pytest.raises(ContentDisallowed):
            message(b'1', accept=set()).payload  # noqa: B018
        assert message(b'1', accept={JSON}).payload == 1

    def test_accept_may_be_set_later(self) -> None:
        late = message(b'1', accept=set())
        with pytest.raises(ContentDisallowed):
            late.decode()
        late.accept = None
        assert late.payload == 1

    def test_what_cannot_be_read(self) -> None:
        broken = message(b'{')
        for _ in range(2):
            with pytest.raises(DecodeError):
                broken.decode()
        assert broken.body == b'{'

    def test_a_hook_for_subclasses(self) -> None:
        class Own(Message):
            def _decode(self) -> Any:
                return 'mine'

        assert Own(b'{').payload == 'mine'

    def test_errors_found_by_a_transport(self) -> None:
        for error in (KeyError('k'), (KeyError, KeyError('k'), None)):
            broken = message()
            broken.errors.append(error)
            with pytest.raises(KeyError):
                broken.decode()

    def test_errors_can_be_replaced(self) -> None:
        broken = message()
        broken.errors.append(KeyError('k'))
        broken.errors = []
        assert broken.payload == [1]


class TestCompressed:
    @pytest.fixture(autouse=True)
    def _count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        real = kombu.message.decompress

        def counting(*args: Any, **kwargs: Any) -> bytes:
            self.calls += 1
            return real(*args, **kwargs)

        monkeypatch.setattr('kombu.message.decompress', counting)

    @pytest.mark.parametrize('name', ['application/x-gzip', 'gzip', 'zlib'])
    def test_body_and_payload(self, name: str) -> None:
        headers = {'compression': name, 'other': 1}
        packed = message(PACKED, headers=headers)
        assert self.calls == 0
        assert packed.body == b'{"a": 1}'
        assert packed.payload == {'a': 1}
        assert packed.errors == []
        assert headers == {'compression': name, 'other': 1}
        assert self.calls == 1

    def test_payload_alone(self) -> None:
        assert message(PACKED, headers=GZIP).payload == {'a': 1}

    @pytest.mark.parametrize('name', [None, '', 0])
    def test_a_header_that_names_none(self, name: Any) -> None:
        assert message(b'1', headers={'compression': name}).payload == 1
        assert self.calls == 0

    def test_accept_comes_first(self) -> None:
        for accept, content_type in ((set(), JSON), ({PICKLE}, JSON), (None, PICKLE)):
            refused = message(PACKED, headers=GZIP, accept=accept, content_type=content_type)
            with pytest.raises(ContentDisallowed):
                refused.decode()
        assert self.calls == 0

    def test_nor_is_anything_done_without_a_content_type(self) -> None:
        with pytest.raises(DecodeError, match='not a text'):
            message(PACKED, headers=GZIP, content_type=['x'], accept={JSON}).decode()
        assert self.calls == 0

    def test_errors_of_what_is_not_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A consumer with `on_message` looks at them: that must not unpack what is refused."""
        monkeypatch.setattr('kombu.message.decompress', lambda *args: pytest.fail('unpacked'))
        refused = message(PACKED, headers=GZIP, accept={'application/x-yaml'})
        assert refused.errors == []
        with pytest.raises(ContentDisallowed):
            refused.decode()

    def test_what_cannot_be_decompressed(self) -> None:
        broken = message(b'garbage', headers=GZIP)
        [(cls, error, _)] = broken.errors
        assert cls is DecodeError
        assert broken.body == b'garbage'
        for _ in range(2):
            with pytest.raises(DecodeError, match='application/x-gzip') as caught:
                broken.decode()
            assert caught.value is error
            assert isinstance(error.__cause__, zlib.error)
        assert self.calls == 1

    def test_an_unknown_compression(self) -> None:
        broken = message(b'garbage', headers={'compression': 'zap'})
        with pytest.raises(SerializerNotInstalled, match='zap'):
            broken.decode()
        assert broken.body == b'garbage'

    @pytest.mark.parametrize('name', [['gzip'], {'a': 1}, b'gzip'])
    def test_a_header_that_is_nonsense(self, name: Any) -> None:
        broken = message(b'x', headers={'compression': name})
        assert broken.body == b'x'
        assert len(broken.errors) == 1
        with pytest.raises(SerializerNotInstalled, match='no compression'):
            broken.decode()

    def test_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kombu.compression, 'DEFAULT_MAX_SIZE', 5)
        broken = message(PACKED, headers=GZIP)
        with pytest.raises(DecodeError, match='limit of 5 bytes'):
            broken.decode()
        assert broken.body == PACKED

    def test_a_new_body_is_taken_as_it_is(self) -> None:
        changed = message(PACKED, headers=GZIP)
        changed.body = b'[2]'
        assert changed.body == b'[2]'
        assert changed.payload == [2]
        assert self.calls == 0

    def test_text_is_encoded_first(self) -> None:
        text = zlib.compress(b'[1]').decode('latin-1')
        assert message(text, headers=GZIP, postencode='latin-1').payload == [1]

    def test_two_errors(self) -> None:
        broken = message('\xff', headers=GZIP, postencode='ascii')
        assert len(broken.errors) == 2
        with pytest.raises(DecodeError, match='ascii'):
            broken.decode()

    def test_errors_do_not_keep_the_message_alive(self) -> None:
        gc.disable()
        try:
            broken = message(b'garbage', headers=GZIP)
            assert broken.errors
            reference = weakref.ref(broken)
            del broken
            assert reference() is None
        finally:
            gc.enable()


class TestReraiseError:
    def test_raises_the_first(self) -> None:
        broken = message()
        broken.errors.extend([KeyError('first'), KeyError('second')])
        with pytest.raises(KeyError, match='first'):
            broken._reraise_error()

    def test_hands_the_first_to_a_callback(self) -> None:
        broken, seen = message(), []
        broken.errors.extend([(KeyError, KeyError('first'), None), KeyError('second')])
        broken._reraise_error(lambda *args: seen.append(args))
        [(of, error)] = seen
        assert of is broken
        assert error.args == ('first',)

    def test_of_nothing(self) -> None:
        message()._reraise_error()
        message()._reraise_error(lambda *args: pytest.fail('called'))


SETTLED = [
    ('ack', {}, ('ack', 7, False), 'ACK'),
    ('ack', {'multiple': True}, ('ack', 7, True), 'ACK'),
    ('reject', {}, ('reject', 7, False), 'REJECTED'),
    ('reject', {'requeue': True}, ('reject', 7, True), 'REJECTED'),
    ('requeue', {}, ('reject', 7, True), 'REQUEUED'),
]
each_way = pytest.mark.parametrize(('method', 'kwargs', 'call', 'state'), SETTLED)


class TestSettling:
    @each_way
    @pytest.mark.parametrize(
        ('no_ack', 'info'),
        [
            ((), {'consumer_tag': 't'}),
            (('other',), {'consumer_tag': 't'}),
            (('t',), {}),
            ((None,), {}),
        ],
    )
    def test_once(
        self, method: str, kwargs: Any, call: Any, state: str, no_ack: Any, info: Any
    ) -> None:
        channel = Channel(*no_ack)
        settled = message(channel=channel, delivery_info=info)
        assert getattr(settled, method)(**kwargs) is None
        assert channel.calls == [call]
        assert settled.acknowledged
        assert settled._state == state
        assert state in ACK_STATES
        for again in ('ack', 'reject', 'requeue'):
            with pytest.raises(MessageStateError, match=f'message 7 .* {state} already'):
                getattr(settled, again)()
        assert channel.calls == [call]

    @each_way
    def test_channels_without_a_set(self, method: str, kwargs: Any, call: Any, state: str) -> None:
        channel = Channel()
        channel.no_ack_consumers = None  # type: ignore[assignment]
        getattr(message(channel=channel), method)(**kwargs)
        assert channel.calls == [call]

    @each_way
    def test_no_channel(self, method: str, kwargs: Any, call: Any, state: str) -> None:
        lost = message()
        with pytest.raises(MessageStateError, match='came by no channel'):
            getattr(lost, method)(**kwargs)
        assert not lost.acknowledged

    @each_way
    def test_a_failure_leaves_it_unsettled(
        self, method: str, kwargs: Any, call: Any, state: str
    ) -> None:
        channel = Channel(fail=OSError('gone'))
        unsettled = message(channel=channel)
        with pytest.raises(OSError, match='gone'):
            getattr(unsettled, method)(**kwargs)
        assert not unsettled.acknowledged
        channel.fail = None
        getattr(unsettled, method)(**kwargs)
        assert channel.calls == [call]

    @pytest.mark.parametrize('method', ['ack', 'reject'])
    def test_nothing_to_settle_without_acknowledgements(self, method: str) -> None:
        """The broker forgot the delivery; told about it, RabbitMQ would close the channel."""
        channel = Channel('t')
        free = message(channel=channel, delivery_info={'consumer_tag': 't'})
        getattr(free, method)()
        assert channel.calls == []
        assert not free.acknowledged

    @pytest.mark.parametrize(('method', 'kwargs'), [('requeue', {}), ('reject', {'requeue': True})])
    def test_nothing_to_requeue_without_acknowledgements(self, method: str, kwargs: Any) -> None:
        channel = Channel('t')
        free = message(channel=channel, delivery_info={'consumer_tag': 't'})
        with pytest.raises(MessageStateError, match='no_ack'):
            getattr(free, method)(**kwargs)
        assert channel.calls == []

    def test_the_error_is_an_attribute_of_the_class(self) -> None:
        assert Message.MessageStateError is MessageStateError


LOGGED = [
    ('ack_log_error', {}, ('ack', 7, False)),
    ('ack_log_error', {'multiple': True}, ('ack', 7, True)),
    ('reject_log_error', {}, ('reject', 7, False)),
    ('reject_log_error', {'requeue': True}, ('reject', 7, True)),
]


class TestLogError:
    logger = logging.getLogger('t.unit.message')

    @pytest.mark.parametrize(('method', 'kwargs', 'call'), LOGGED)
    def test_settles(self, method: str, kwargs: Any, call: Any) -> None:
        channel = Channel()
        bound = getattr(message(channel=channel), method)
        bound(logger=self.logger, errors=(OSError,), **kwargs)
        assert channel.calls == [call]
        assert isinstance(bound.__self__, Message)
        assert bound.__func__.__name__ == method

    @pytest.mark.parametrize(('method', 'kwargs', 'call'), LOGGED)
    def test_logs(
        self, method: str, kwargs: Any, call: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        unsettled = message(channel=Channel(fail=OSError('gone')))
        getattr(unsettled, method)(self.logger, (OSError,), **kwargs)
        [record] = caplog.records
        assert record.levelno == logging.CRITICAL
        assert '7 not' in record.getMessage()
        assert "OSError('gone')" in record.getMessage()
        assert record.exc_info
        assert not unsettled.acknowledged

    @pytest.mark.parametrize(('method', 'kwargs', 'call'), LOGGED)
    def test_other_errors_pass(self, method: str, kwargs: Any, call: Any) -> None:
        with pytest.raises(KeyError):
            getattr(message(channel=Channel(fail=KeyError())), method)(
                self.logger, (OSError,), **kwargs
            )

    @pytest.mark.parametrize(('method', 'kwargs', 'call'), LOGGED)
    def test_settled_before(self, method: str, kwargs: Any, call: Any) -> None:
        settled = message(channel=Channel())
        settled.ack()
        with pytest.raises(MessageStateError):
            getattr(settled, method)(self.logger, (OSError,), **kwargs)


def test_what_celery_does_with_headers() -> None:
    """It copies and changes them, and tells old messages by what is missing."""
    headers = {'task': 'add'}
    assert message(headers=headers).headers.copy() == headers
    with pytest.raises(KeyError):
        message().headers['task']
    missing = message()
    missing.headers = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        missing.headers['task']  # type: ignore[index]
    body = json.dumps([[1], {}, None]).encode()
    assert message(body, headers=headers).payload == [[1], {}, None]
