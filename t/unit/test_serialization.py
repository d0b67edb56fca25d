"""Encoding, refusing and decoding bodies."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import kombu.serialization as serialization
from kombu.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    SerializerNotInstalled,
)
from kombu.serialization import (
    SerializerRegistry,
    disable_insecure_serializers,
    dumps,
    enable_insecure_serializers,
    loads,
    prepare_accept_content,
    register,
    registry,
    unregister,
)

JSON = 'application/json'
PICKLE = 'application/x-python-serialize'
YAML = 'application/x-yaml'
MSGPACK = 'application/x-msgpack'
TABLES = ('_encoders', '_decoders', 'name_to_type', 'type_to_name')


@pytest.fixture(autouse=True)
def _registry_is_as_before() -> Iterator[None]:
    before = [dict(getattr(registry, table)) for table in TABLES]
    disabled, default = set(registry._disabled_content_types), registry._default
    yield
    for table, was in zip(TABLES, before, strict=True):
        getattr(registry, table).clear()
        getattr(registry, table).update(was)
    registry._disabled_content_types = disabled
    registry._default = default


class Exploding:
    """Unpickling it shows that something was unpickled."""

    exploded = False

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    Exploding.exploded = True


class TestDumps:
    def test_text(self) -> None:
        assert dumps('h\xe9llo') == ('text/plain', 'utf-8', b'h\xc3\xa9llo')

    def test_bytes(self) -> None:
        body = b'\xff'
        assert dumps(body) == ('application/data', 'binary', b'\xff')
        assert dumps(body)[2] is body

    @pytest.mark.parametrize('kind', [bytearray, memoryview])
    def test_buffers_are_copied(self, kind: Any) -> None:
        buffer = bytearray(b'ab')
        content_type, encoding, payload = dumps(kind(buffer))
        buffer[:] = b'xx'
        assert (content_type, encoding, payload) == ('application/data', 'binary', b'ab')

    @pytest.mark.parametrize('body', [None, 5, False, {'a': 1}, [1], ()])
    def test_anything_else_is_json(self, body: Any) -> None:
        content_type, encoding, payload = dumps(body)
        assert (content_type, encoding) == (JSON, 'utf-8')
        assert isinstance(payload, str)

    @pytest.mark.parametrize('name', [None, ''])
    def test_no_serializer_is_the_default(self, name: str | None) -> None:
        assert dumps([1], name) == (JSON, 'utf-8', '[1]')

    @pytest.mark.parametrize(
        ('name', 'content_type', 'encoding'),
        [
            ('json', JSON, 'utf-8'),
            ('pickle', PICKLE, 'binary'),
            ('yaml', YAML, 'utf-8'),
            ('msgpack', MSGPACK, 'binary'),
        ],
    )
    def test_labels(self, name: str, content_type: str, encoding: str) -> None:
        assert dumps({'a': 1}, serializer=name)[:2] == (content_type, encoding)

    def test_text_is_not_left_alone_where_a_serializer_is_named(self) -> None:
        assert dumps('x', 'json') == (JSON, 'utf-8', '"x"')

    def test_raw(self) -> None:
        assert dumps('\xe9', 'raw') == ('application/data', 'utf-8', b'\xc3\xa9')
        assert dumps(b'\xe9', 'raw') == ('application/data', 'binary', b'\xe9')
        with pytest.raises(EncodeError, match='text or bytes, not int'):
            dumps(5, 'raw')

    @pytest.mark.parametrize('name', ['jsno', 'application/json', 'text', 'x' * 100_000])
    def test_unknown_name(self, name: str) -> None:
        with pytest.raises(SerializerNotInstalled, match='msgpack, pickle, yaml'):
            dumps(1, name)

    def test_unknown_name_suggests_a_known_one(self) -> None:
        with pytest.raises(SerializerNotInstalled, match="did you mean 'json'"):
            dumps(1, 'jsno')

    @pytest.mark.parametrize(
        ('name', 'body'),
        [
            ('json', {1, 2}),
            (None, object()),
            ('json', {b'key': 1}),
            ('pickle', lambda: None),
            ('yaml', object()),
            ('msgpack', object()),
        ],
    )
    def test_what_cannot_be_expressed(self, name: str | None, body: Any) -> None:
        with pytest.raises(EncodeError, match=type(body).__name__) as caught:
            dumps(body, name)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize('name', [None, 'raw'])
    def test_text_without_utf8_form(self, name: str | None) -> None:
        with pytest.raises(EncodeError, match='UTF-8') as caught:
            dumps('\ud800', name)
        assert isinstance(caught.value.__cause__, UnicodeEncodeError)

    def test_too_deep(self) -> None:
        deep: list[Any] = []
        for _ in range(200_000):
            deep = [deep]
        with pytest.raises(EncodeError) as caught:
            dumps(deep)
        assert isinstance(caught.value.__cause__, RecursionError)

    @pytest.mark.parametrize('error', [EncodeError('mine'), SerializerNotInstalled('mine')])
    def test_errors_of_ours_are_not_wrapped(self, error: Exception) -> None:
        def fail(body: Any) -> Any:
            raise error

        register('failing', fail, fail, 'application/x-failing')
        with pytest.raises(type(error)) as caught:
            dumps(1, 'failing')
        assert caught.value is error

    def test_exits_pass(self) -> None:
        def leave(body: Any) -> Any:
            raise SystemExit

        register('leaving', leave, leave, 'application/x-leaving')
        with pytest.raises(SystemExit):
            dumps(1, 'leaving')
        with pytest.raises(SystemExit):
            loads(b'1', 'application/x-leaving', 'utf-8')


class TestLoads:
    @pytest.mark.parametrize('kind', [bytes, bytearray, memoryview])
    @pytest.mark.parametrize('name', ['json', 'pickle', 'yaml', 'msgpack'])
    def test_what_was_encoded(self, name: str, kind: Any) -> None:
        body = {'args': [1, 'h\xe9', None, True, 1.5], 'kwargs': {'a': {'b': []}}}
        content_type, encoding, payload = dumps(body, name)
        wire = kind(payload.encode() if isinstance(payload, str) else payload)
        assert loads(wire, content_type, encoding, accept={content_type}) == body

    @pytest.mark.parametrize('body', ['', 'text', 'h\xe9', b'', b'\xff'])
    def test_text_and_bytes_come_back(self, body: Any) -> None:
        content_type, encoding, payload = dumps(body)
        assert loads(payload, content_type, encoding) == body

    @pytest.mark.parametrize('encoding', ['binary', 'BINARY', 'ascii-8bit'])
    def test_binary_is_left_alone(self, encoding: str) -> None:
        for body in (b'\xff', bytearray(b'\xff'), 'text'):
            assert loads(body, 'application/data', encoding) is body

    def test_text_in_another_encoding(self) -> None:
        assert loads(b'\xe9', 'text/plain', 'Latin-1') == '\xe9'

    @pytest.mark.parametrize('content_type', [None, '', 'application/x-unheard-of'])
    @pytest.mark.parametrize('encoding', [None, '', 'utf-8'])
    def test_unknown_content_is_text(self, content_type: str | None, encoding: str | None) -> None:
        assert loads(b'h\xc3\xa9', content_type, encoding) == 'h\xe9'

    @pytest.mark.parametrize('content_type', [None, JSON, 'text/plain'])
    def test_nothing_is_nothing(self, content_type: str | None) -> None:
        assert loads(None, content_type, 'utf-8') is None

    def test_an_empty_body_is_not_decoded(self) -> None:
        assert loads(b'', JSON, 'utf-8') == b''

    @pytest.mark.parametrize(
        ('body', 'encoding'),
        [(b'\xff', 'utf-8'), (b'\xff', None), (b'x', 'no-such-encoding'), ({'a': 1}, 'utf-8')],
    )
    def test_what_is_no_text(self, body: Any, encoding: str | None) -> None:
        with pytest.raises(DecodeError) as caught:
            loads(body, 'text/plain', encoding)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize('content_type', [5, ['x'], {'a': 1}, b'text/plain'])
    @pytest.mark.parametrize('accept', [None, {JSON}, [JSON]])
    def test_a_content_type_that_is_none(self, content_type: Any, accept: Any) -> None:
        """Envelopes are JSON: what a foreign sender calls a content type can be anything."""
        with pytest.raises(DecodeError, match='not a text'):
            loads(b'1', content_type, 'utf-8', accept=accept)

    @pytest.mark.parametrize('encoding', [5, ['x'], b'utf-8', '\x00', 'u' * 10_000])
    def test_an_encoding_that_is_none(self, encoding: Any) -> None:
        with pytest.raises(DecodeError, match='not text in'):
            loads(b'1', 'text/plain', encoding)

    @pytest.mark.parametrize('encoding', ['zlib', 'bz2', 'hex', 'rot13'])
    def test_encodings_that_are_no_text_encodings(self, encoding: str) -> None:
        """The sender names the encoding; 'zlib' would make gigabytes of a few bytes."""
        with pytest.raises(DecodeError, match='not a text encoding'):
            loads(b'x', 'text/plain', encoding)

    @pytest.mark.parametrize(
        ('body', 'content_type'),
        [
            (b'{', JSON),
            (b'"\xff"', JSON),
            (b'{"__type__": "nope", "__value__": 1}', JSON),
            (b'[' * 200_000, JSON),
            ({'a': 1}, JSON),
            (b'xx', PICKLE),
            (b'cno_such_module\nx\n.', PICKLE),
            (b'a: [', YAML),
            (b'!!python/object/apply:os.getcwd []', YAML),
            (b'\x81\xa1a', MSGPACK),
            (b'\x01\x01', MSGPACK),
        ],
    )
    def test_malformed(self, body: Any, content_type: str) -> None:
        with pytest.raises(DecodeError, match=content_type) as caught:
            loads(body, content_type, 'utf-8', accept={content_type})
        assert caught.value.__cause__ is not None

    def test_errors_of_ours_are_not_wrapped(self) -> None:
        error = DecodeError('mine')

        def fail(body: Any) -> Any:
            raise error

        register('failing', None, fail, 'application/x-failing')
        with pytest.raises(DecodeError) as caught:
            loads(b'1', 'application/x-failing', 'utf-8')
        assert caught.value is error


class TestAccept:
    body = pickle.dumps(Exploding())

    @pytest.fixture(autouse=True)
    def _not_exploded(self) -> Iterator[None]:
        Exploding.exploded = False
        yield
        assert not Exploding.exploded

    @pytest.mark.parametrize('name', ['pickle', 'yaml', 'msgpack'])
    def test_disabled_by_default(self, name: str) -> None:
        content_type = registry.name_to_type[name]
        with pytest.raises(ContentDisallowed, match=rf"'{content_type}' \({name}\).*'{name}'"):
            loads(self.body, content_type, 'binary')

    @pytest.mark.parametrize('accept', [set(), {JSON}, {'pickle'}, [YAML, JSON]])
    def test_not_in_the_list(self, accept: Any) -> None:
        with pytest.raises(ContentDisallowed, match='accepted here: '):
            loads(self.body, PICKLE, 'binary', accept=accept)

    def test_the_error_says_what_is_accepted(self) -> None:
        with pytest.raises(ContentDisallowed, match='accepted here: a/b, application/json'):
            loads(self.body, PICKLE, 'binary', accept={JSON, 'a/b'})
        with pytest.raises(ContentDisallowed, match='accepted here: nothing'):
            loads(self.body, PICKLE, 'binary', accept=())

    def test_force_does_not_overrule_the_list(self) -> None:
        with pytest.raises(ContentDisallowed):
            loads(self.body, PICKLE, 'binary', accept={JSON}, force=True)

    @pytest.mark.parametrize('content_type', ['text/plain', 'application/x-unheard-of', JSON])
    def test_the_list_holds_for_everything(self, content_type: str) -> None:
        with pytest.raises(ContentDisallowed):
            loads(b'1', content_type, 'utf-8', accept={YAML})

    @pytest.mark.parametrize('content_type', [None, '', 'application/data', 'application/text'])
    def test_plain_data_needs_no_mention(self, content_type: str | None) -> None:
        assert loads(b'1', content_type, 'binary', accept=set()) == b'1'

    def test_in_the_list(self) -> None:
        payload = dumps([1], 'pickle')[2]
        assert loads(payload, PICKLE, 'binary', accept=[PICKLE]) == [1]

    def test_forced(self) -> None:
        payload = dumps([1], 'pickle')[2]
        assert loads(payload, PICKLE, 'binary', force=True) == [1]

    def test_trusted_content_of_the_caller(self) -> None:
        assert loads(b'1', JSON, 'utf-8', accept=set(), _trusted_content={JSON}) == 1

    @pytest.mark.parametrize(
        ('content_type', 'accept'), [(PICKLE, None), (PICKLE, {JSON}), ('text/plain', {JSON})]
    )
    def test_check_accepted(self, content_type: str, accept: Any) -> None:
        with pytest.raises(ContentDisallowed):
            registry.check_accepted(content_type, accept)
        registry.check_accepted(None, accept)


class TestEnabling:
    @staticmethod
    def disabled() -> set[str]:
        return registry._disabled_content_types

    def test_at_first(self) -> None:
        assert self.disabled() == {PICKLE, YAML, MSGPACK}

    def test_enable_all(self) -> None:
        enable_insecure_serializers()
        assert self.disabled() == set()
        assert loads(dumps([1], 'pickle')[2], PICKLE, 'binary') == [1]

    def test_enable_some(self) -> None:
        enable_insecure_serializers(['pickle', MSGPACK])
        assert self.disabled() == {YAML}

    def test_enable_none(self) -> None:
        enable_insecure_serializers(None)
        enable_insecure_serializers([])
        assert self.disabled() == {PICKLE, YAML, MSGPACK}

    def test_disable_all_but_json(self) -> None:
        register('other', str, str, 'application/x-other')
        enable_insecure_serializers()
        disable_insecure_serializers()
        assert self.disabled() == {PICKLE, YAML, MSGPACK, 'application/x-other'}

    def test_disable_all_but_some(self) -> None:
        disable_insecure_serializers(allowed=['pickle', YAML])
        assert self.disabled() == {JSON, MSGPACK}

    @pytest.mark.parametrize('allowed', [None, [], ()])
    def test_disable_all(self, allowed: Any) -> None:
        disable_insecure_serializers(allowed)
        assert self.disabled() == {JSON, PICKLE, YAML, MSGPACK}
        with pytest.raises(ContentDisallowed):
            loads(b'1', JSON, 'utf-8')
        assert loads(b'1', JSON, 'utf-8', accept={JSON}) == 1

    @pytest.mark.parametrize('change', [enable_insecure_serializers, disable_insecure_serializers])
    def test_unknown_names_change_nothing(self, change: Any) -> None:
        enable_insecure_serializers(['yaml'])
        before = set(self.disabled())
        with pytest.raises(KeyError, match=r"no serializer 'pikle'.*did you mean 'pickle'"):
            change(['json', 'pikle'])
        assert self.disabled() == before

    @pytest.mark.parametrize('change', [enable_insecure_serializers, disable_insecure_serializers])
    def test_a_text_is_no_list(self, change: Any) -> None:
        with pytest.raises(TypeError, match=r"\['pickle'\]"):
            change('pickle')

    def test_one_by_one(self) -> None:
        registry.enable('pickle')
        registry.enable(YAML)
        registry.disable('json')
        assert self.disabled() == {JSON, MSGPACK}

    @pytest.mark.parametrize('method', ['enable', 'disable'])
    def test_one_that_is_unknown(self, method: str) -> None:
        for error in (KeyError, SerializerNotInstalled):
            with pytest.raises(error, match="no serializer 'nope'"):
                getattr(registry, method)('nope')

    def test_enabling_what_is_enabled(self) -> None:
        registry.enable('json')
        registry.enable('json')


class TestPrepareAcceptContent:
    def test_names_and_types(self) -> None:
        accept = prepare_accept_content(['json', 'pickle', 'image/png'])
        assert accept == {JSON, PICKLE, 'image/png'}

    def test_none_is_no_list(self) -> None:
        assert prepare_accept_content(None) is None

    def test_an_empty_list_accepts_nothing(self) -> None:
        assert prepare_accept_content([]) == set()

    def test_the_argument_is_left_alone(self) -> None:
        given = {'json'}
        assert prepare_accept_content(given) is not given
        assert given == {'json'}

    def test_unknown_name(self) -> None:
        with pytest.raises(SerializerNotInstalled, match="did you mean 'json'"):
            prepare_accept_content(['jsn'])

    @pytest.mark.parametrize('wrong', ['json', [None], [5]])
    def test_wrong_types(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match='accept'):
            prepare_accept_content(wrong)

    def test_a_table_of_the_caller(self) -> None:
        assert prepare_accept_content(['x'], {'x': 'a/b'}) == {'a/b'}
        with pytest.raises(SerializerNotInstalled):
            prepare_accept_content(['json'], {'x': 'a/b'})


class TestRegister:
    def test_used_by_name_and_type(self) -> None:
        register('rev', lambda o: o[::-1], lambda s: s[::-1], 'application/x-rev', 'binary')
        assert dumps('abc', 'rev') == ('application/x-rev', 'binary', 'cba')
        assert loads(b'cba', 'application/x-rev', 'binary') == b'abc'
        assert registry.name_to_type['rev'] == 'application/x-rev'
        assert registry.type_to_name['application/x-rev'] == 'rev'

    def test_by_keyword(self) -> None:
        register(
            name='up',
            encoder=str.upper,
            decoder=bytes.lower,
            content_type='application/x-up',
            content_encoding='utf-8',
        )
        assert dumps('a', 'up')[2] == 'A'

    def test_entries_are_triples(self) -> None:
        content_type, content_encoding, encoder = registry._encoders['json']
        assert (content_type, content_encoding, encoder([1])) == (JSON, 'utf-8', '[1]')
        assert registry._encoders['json'].content_type == JSON

    def test_decoder_alone(self) -> None:
        register('reader', None, lambda s: 'read', 'application/x-reader')
        assert loads(b'1', 'application/x-reader', 'utf-8') == 'read'
        with pytest.raises(SerializerNotInstalled):
            dumps(1, 'reader')

    def test_encoder_alone(self) -> None:
        register('writer', lambda o: 'written', None, 'application/x-writer')
        assert dumps(1, 'writer')[2] == 'written'
        assert loads(b'1', 'application/x-writer', 'utf-8') == '1'

    def test_decoders_get_the_bytes_of_the_wire(self) -> None:
        register('same', lambda o: o, lambda s: s, 'application/x-same')
        for body in (b'\xff', bytearray(b'x'), 'text'):
            assert loads(body, 'application/x-same', 'utf-8') is body

    def test_unregister(self) -> None:
        register('gone', str, str, 'application/x-gone')
        unregister('gone')
        assert 'gone' not in registry.name_to_type
        assert 'application/x-gone' not in registry.type_to_name
        assert 'gone' not in registry._encoders
        assert 'application/x-gone' not in registry._decoders
        with pytest.raises(SerializerNotInstalled):
            unregister('gone')

    def test_unregister_half_of_one(self) -> None:
        register('reader', None, str, 'application/x-reader')
        unregister('reader')
        assert 'reader' not in registry.name_to_type

    def test_default_serializer(self) -> None:
        registry._set_default_serializer('yaml')
        assert dumps({'a': 1}) == (YAML, 'utf-8', 'a: 1\n')
        assert dumps('text')[0] == 'text/plain'
        with pytest.raises(SerializerNotInstalled):
            registry._set_default_serializer('nope')
        assert dumps([1])[0] == YAML

    def test_a_registry_of_ones_own_is_empty(self) -> None:
        own = SerializerRegistry()
        with pytest.raises(SerializerNotInstalled):
            own.dumps({})
        assert own.loads(b'x', JSON, 'utf-8') == 'x'
        own.register('json', str, int, JSON)
        assert own.dumps(5, 'json') == (JSON, 'utf-8', '5')
        assert repr(own) == '<SerializerRegistry: json>'


class TestPlugins:
    """Entry points, as a registry is given them."""

    arguments = ('plugin', str, int, 'application/x-plugin', 'utf-8')

    def registry(self, *found: Any) -> tuple[SerializerRegistry, list[str]]:
        calls: list[str] = []

        def plugins() -> Any:
            calls.append('loaded')
            yield from found or (self.arguments,)

        own = SerializerRegistry(plugins=plugins)
        own.register('known', str, float, 'application/x-known')
        return own, calls

    def test_not_loaded_without_need(self) -> None:
        own, calls = self.registry()
        own.dumps(1, 'known')
        own.dumps('text')
        own.loads(b'1', 'application/x-known', 'utf-8')
        own.loads(b'1', 'text/plain', 'utf-8')
        own.loads(b'1', None, None)
        assert calls == []

    @pytest.mark.parametrize(
        'look_up',
        [
            lambda r: r.dumps(5, 'plugin') == ('application/x-plugin', 'utf-8', '5'),
            lambda r: r.loads(b'5', 'application/x-plugin', 'utf-8') == 5,
            lambda r: r._encoders['plugin'].encoder(5) == '5',
            lambda r: r._decoders['application/x-plugin'](b'5') == 5,
            lambda r: r.name_to_type['plugin'] == 'application/x-plugin',
            lambda r: r.type_to_name['application/x-plugin'] == 'plugin',
            lambda r: prepare_accept_content(['plugin'], r.name_to_type),
            lambda r: not r.disable('plugin'),
            lambda r: not r._set_default_serializer('plugin'),
        ],
    )
    def test_loaded_by_looking_one_up(self, look_up: Any) -> None:
        own, calls = self.registry()
        assert look_up(own)
        with pytest.raises(SerializerNotInstalled):
            own.dumps(1, 'nope')
        assert calls == ['loaded']

    def test_none_takes_the_place_of_what_was_registered(self) -> None:
        own, _ = self.registry(('known', repr, repr, 'application/x-stolen'), self.arguments)
        assert own.dumps(5, 'plugin')[2] == '5'
        assert own.name_to_type['known'] == 'application/x-known'

    def test_a_broken_one_is_named_each_time(self) -> None:
        def plugins() -> Any:
            raise ImportError('no module named gone')
            yield

        own = SerializerRegistry(plugins=plugins)
        for _ in range(2):
            with pytest.raises(SerializerNotInstalled, match='gone') as caught:
                own.dumps(1, 'plugin')
            assert isinstance(caught.value.__cause__, ImportError)

    def test_one_that_looks_something_up_while_it_is_loaded(self) -> None:
        def plugins() -> Any:
            with pytest.raises(SerializerNotInstalled):
                own.dumps(1, 'nope')
            yield self.arguments

        own = SerializerRegistry(plugins=plugins)
        assert own.dumps(5, 'plugin')[2] == '5'

    def test_another_thread_waits_until_they_are_loaded(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        results = []

        def plugins() -> Any:
            begun.set()
            assert go_on.wait(10)
            yield self.arguments

        own = SerializerRegistry(plugins=plugins)

        def look_up() -> None:
            results.append(own.dumps(5, 'plugin')[2])

        threads = [threading.Thread(target=look_up) for _ in range(2)]
        threads[0].start()
        assert begun.wait(10)
        threads[1].start()
        go_on.set()
        for thread in threads:
            thread.join(10)
        assert results == ['5', '5']

    def test_insecure_ones_are_disabled_with_the_rest(self, tmp_path: Path) -> None:
        """A plug-in found later must not be accepted because it was not there yet."""
        module, info = tmp_path / 'one_plugin.py', tmp_path / 'one_plugin-1.0.dist-info'
        module.write_text("register_args = ('one', str, int, 'application/x-one', 'utf-8')\n")
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: one-plugin\nVersion: 1.0\n')
        (info / 'entry_points.txt').write_text(
            '[kombu.serializers]\none = one_plugin:register_args\n'
        )
        script = (
            'from kombu.serialization import *; from kombu.serialization import registry\n'
            'import kombu.serialization as s, sys\n'
            'assert "one_plugin" not in sys.modules\n'
            's.disable_insecure_serializers()\n'
            'try: loads(b"5", "application/x-one", "utf-8")\n'
            'except s.registry.check_accepted.__globals__["ContentDisallowed"]: print("refused")\n'
            'print(dumps(5, "one"), loads(b"5", "application/x-one", None, force=True))\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', script],
            cwd=Path(__file__).parents[2],
            env={'PYTHONPATH': f'{tmp_path}'},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stdout == "refused\n('application/x-one', 'utf-8', '5') 5\n", done.stderr


class TestPickle:
    def test_protocol_4(self) -> None:
        assert serialization.pickle_protocol == 4
        assert dumps(1, 'pickle')[2].startswith(b'\x80\x04')

    def test_protocol_can_be_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serialization, 'pickle_protocol', 2)
        assert dumps(1, 'pickle')[2].startswith(b'\x80\x02')

    @pytest.mark.parametrize(('given', 'protocol'), [('2', 2), ('5', 5)])
    def test_protocol_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, given: str, protocol: int
    ) -> None:
        monkeypatch.setenv('PICKLE_PROTOCOL', given)
        assert serialization._pickle_protocol() == protocol

    @pytest.mark.parametrize('given', ['x', '', '-1', '99', '4.0'])
    def test_protocol_of_the_environment_is_checked(
        self, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        monkeypatch.setenv('PICKLE_PROTOCOL', given)
        with pytest.raises(ValueError, match='PICKLE_PROTOCOL'):
            serialization._pickle_protocol()

    def test_helpers(self) -> None:
        pickled = pickle.dumps({'a': 1})
        assert serialization.unpickle(pickled) == {'a': 1}
        assert serialization.unpickle(pickle.dumps(1, 0).decode()) == 1
        assert serialization.pickle_loads(pickled) == {'a': 1}
        assert serialization.pickle_loads(b'x', load=lambda f: f.read()) == b'x'
        assert serialization.pickle is pickle


class TestYaml:
    def test_dates_and_bytes(self) -> None:
        body = {'at': date(2024, 1, 1), 'raw': b'\xff'}
        content_type, encoding, payload = dumps(body, 'yaml')
        assert loads(payload, content_type, encoding, accept={YAML}) == body

    @pytest.mark.parametrize('opening', ['[', '{a: ', '- ', '? ', '- a: '])
    @pytest.mark.parametrize('kind', [str, str.encode])
    def test_deep_nesting_is_an_error(self, opening: str, kind: Any) -> None:
        """libyaml's binding would overflow the C stack: a crash, by a message of 100 kB."""
        with pytest.raises(DecodeError):
            loads(kind(opening * 100_000 + '1'), YAML, 'utf-8', accept={YAML})

    def test_wide_is_not_deep(self) -> None:
        body = [{'a-b': ['x: y', {'c': -1}]} for _ in range(1000)]
        assert loads(dumps(body, 'yaml')[2], YAML, 'utf-8', accept={YAML}) == body

    def test_nesting_that_is_allowed(self) -> None:
        text = '[' * 900 + ']' * 900 + ' # -' + '-' * 500
        nested = loads(text, YAML, 'utf-8', accept={YAML})
        assert isinstance(nested, list)

    def test_types_that_were_added_to_the_safe_classes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        yaml = pytest.importorskip('yaml')
        for cls, table in (
            (yaml.SafeDumper, 'yaml_representers'),
            (yaml.SafeLoader, 'yaml_constructors'),
        ):
            monkeypatch.setattr(cls, table, dict(getattr(cls, table)), raising=False)
        yaml.SafeDumper.add_representer(complex, lambda d, o: d.represent_scalar('!c', str(o)))
        yaml.SafeLoader.add_constructor('!c', lambda loader, node: complex(node.value))
        assert loads(dumps([1j], 'yaml')[2], YAML, 'utf-8', accept={YAML}) == [1j]

    def test_without_libyaml(self, monkeypatch: pytest.MonkeyPatch) -> None:
        yaml = pytest.importorskip('yaml')
        monkeypatch.delattr(yaml, 'CSafeLoader', raising=False)
        monkeypatch.delattr(yaml, 'CSafeDumper', raising=False)
        assert loads(dumps([1], 'yaml')[2], YAML, 'utf-8', accept={YAML}) == [1]
        with pytest.raises(DecodeError):
            loads('[' * 2_000, YAML, 'utf-8', accept={YAML})


class TestMsgpack:
    def test_bytes_stay_bytes(self) -> None:
        payload = dumps([b'x', 'x'], 'msgpack')[2]
        assert loads(payload, MSGPACK, 'binary', accept={MSGPACK}) == [b'x', 'x']

    def test_text_must_be_utf8(self) -> None:
        with pytest.raises(DecodeError):
            loads(b'\xa1\xff', MSGPACK, 'binary', accept={MSGPACK})


@pytest.mark.parametrize('name', ['yaml', 'msgpack'])
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SerializerNotInstalled, match=rf'pip install "kombu\[{name}\]"'):
        dumps([1], name)
    content_type = registry.name_to_type[name]
    with pytest.raises(SerializerNotInstalled, match=rf'pip install "kombu\[{name}\]"'):
        loads(b'1', content_type, 'utf-8', accept={content_type})
    assert prepare_accept_content([name]) == {content_type}


def test_parenthesize_alias() -> None:
    assert serialization.parenthesize_alias('a', 'b') == 'a (b)'
