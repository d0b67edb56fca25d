"""JSON with type tags."""

from __future__ import annotations

import collections.abc
import json as stdlib_json
import sys
import threading
import types
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kombu.utils import json
from t.golden import record_json_tags as golden

GOLDEN = Path(golden.__file__).with_name('json_tags.json')


@pytest.fixture(autouse=True)
def _what_tests_register_is_forgotten() -> Iterator[None]:
    before = dict(json._encoders), dict(json._decoders)
    yield
    for table, was in zip((json._encoders, json._decoders), before, strict=True):
        table.clear()
        table.update(was)


def tagged(marker: Any, value: Any) -> str:
    return stdlib_json.dumps({'__type__': marker, '__value__': value})


class TestWireFormat:
    """What kombu 5.x wrote, byte for byte."""

    recorded = stdlib_json.loads(GOLDEN.read_text())

    @pytest.mark.parametrize('name', golden.VALUES)
    def test_written_like_kombu_5(self, name: str) -> None:
        assert json.dumps(golden.VALUES[name]) == self.recorded[name]

    def test_every_value_was_recorded(self) -> None:
        assert set(self.recorded) == set(golden.VALUES)

    @pytest.mark.parametrize(
        'name', [name for name in golden.VALUES if name.startswith(('date', 'time', 'uuid'))]
    )
    def test_times_and_uuids_come_back(self, name: str) -> None:
        value = golden.VALUES[name]
        read = json.loads(self.recorded[name])
        assert read == value
        assert type(read) is type(value)

    @pytest.mark.parametrize('value', [b'', b'plain', 'h\xe9'.encode(), b'\xff\x00', bytes(256)])
    def test_bytes_come_back(self, value: bytes) -> None:
        assert json.loads(json.dumps([value])) == [value]

    def test_decimals_keep_their_digits(self) -> None:
        assert str(json.loads(json.dumps(Decimal('1.10')))) == '1.10'

    @pytest.mark.parametrize(
        ('text', 'value'),
        [
            (
                tagged('uuid', {'hex': '4b6e2a9e0f0e4b7c8a5d2f1e3c4b5a69', 'version': 4}),
                UUID('4b6e2a9e-0f0e-4b7c-8a5d-2f1e3c4b5a69'),
            ),
            (tagged('datetime', '2024-01-01T00:00:00Z'), datetime(2024, 1, 1, tzinfo=timezone.utc)),
            (tagged('date', '2024-01-01T00:00:00'), date(2024, 1, 1)),
            (tagged('time', '10:00'), time(10)),
        ],
    )
    def test_reads_what_older_releases_wrote(self, text: str, value: Any) -> None:
        assert json.loads(text) == value

    def test_subclasses_are_written_like_their_base(self) -> None:
        class Stamp(datetime):
            pass

        assert json.loads(json.dumps(Stamp(2024, 1, 1))) == datetime(2024, 1, 1)


class TestTags:
    @pytest.mark.parametrize('marker', ['os.system', 'nope', '', None, 5, ['bytes'], {'a': 1}])
    def test_unknown_ones_are_errors(self, marker: Any) -> None:
        with pytest.raises(ValueError, match='register_type'):
            json.loads(tagged(marker, 'true'))

    def test_unknown_ones_suggest_a_known_one(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'datetime'"):
            json.loads(tagged('date_time', ''))

    def test_huge_unknown_ones_are_not_compared_nor_repeated(self) -> None:
        with pytest.raises(ValueError, match='unknown JSON type tag') as caught:
            json.loads(tagged('x' * 100_000, ''))
        assert len(str(caught.value)) < 300

    def test_reading_one_imports_nothing(self) -> None:
        before = set(sys.modules)
        with pytest.raises(ValueError, match='unknown'):
            json.loads(tagged('antigravity.fly', ''))
        assert set(sys.modules) == before

    @pytest.mark.parametrize(
        'text',
        [
            '{"__type__": "bytes"}',
            '{"__value__": "x"}',
            '{"__type__": "bytes", "__value__": "x", "more": 1}',
            '{"type": "bytes", "value": "x"}',
        ],
    )
    def test_objects_with_other_keys_are_plain(self, text: str) -> None:
        assert json.loads(text) == stdlib_json.loads(text)

    @pytest.mark.parametrize(
        ('marker', 'value', 'error'),
        [
            ('datetime', 'x', ValueError),
            ('datetime', 5, TypeError),
            ('date', None, TypeError),
            ('time', '25:00', ValueError),
            ('uuid', 'x', TypeError),
            ('uuid', {'hex': 'x'}, ValueError),
            ('decimal', 'x', InvalidOperation),
            ('bytes', '\ud800', UnicodeEncodeError),
            ('bytes', 3, TypeError),
            ('base64', '!!', ValueError),
            ('base64', 'YQ', ValueError),
        ],
    )
    def test_wrong_values_are_errors(self, marker: str, value: Any, error: type) -> None:
        with pytest.raises(error):
            json.loads(tagged(marker, value))

    def test_a_key_spelt_with_escapes_is_the_same_key(self) -> None:
        """The search for tags looks at the text, where a key can be spelt in more than one way."""
        text = '{"\\u005f_type__": "bytes", "__v\\u0061lue__": "x"}'
        assert '__type__' not in text
        assert json.loads(text) == b'x'


class Money:
    def __init__(self, amount: Any) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.amount == self.amount

    __hash__ = None  # type: ignore[assignment]


class Euro(Money):
    pass


class TestRegisterType:
    def test_comes_back(self) -> None:
        json.register_type(Money, 'money', lambda o: o.amount, Money)
        assert json.loads(json.dumps([Money(b'1'), 2])) == [Money(b'1'), 2]

    def test_what_the_encoder_returns_may_need_encoding_too(self) -> None:
        json.register_type(Money, 'money', lambda o: {'amount': o.amount}, lambda v: v['amount'])
        assert json.loads(json.dumps(Money(Decimal('1.10')))) == Decimal('1.10')

    def test_subclasses_are_written_like_it(self) -> None:
        json.register_type(Money, 'money', lambda o: o.amount, Money)
        assert json.loads(json.dumps(Euro(1))) == Money(1)

    def test_the_nearest_class_counts_whenever_it_was_registered(self) -> None:
        json.register_type(Money, 'money', lambda o: o.amount, Money)
        json.register_type(Euro, 'euro', lambda o: o.amount, Euro)
        assert type(json.loads(json.dumps(Euro(1)))) is Euro

    def test_abstract_classes(self) -> None:
        json.register_type(collections.abc.Set, 'set', sorted, set)
        assert json.loads(json.dumps({2, 1})) == {1, 2}

    def test_without_marker_it_is_written_untagged(self) -> None:
        json.register_type(Money, None, lambda o: {'amount': o.amount})
        assert json.dumps(Money(1)) == '{"amount": 1}'

    def test_without_decoder_the_value_is_left(self) -> None:
        json.register_type(Money, 'money', lambda o: [o.amount])
        assert json.loads(json.dumps(Money(1))) == [1]

    def test_a_decoder_of_none_makes_it_write_only(self) -> None:
        json.register_type(Money, 'money', lambda o: o.amount, None)
        with pytest.raises(ValueError, match="'money'"):
            json.loads(json.dumps(Money(1)))

    def test_the_last_one_counts(self) -> None:
        json.register_type(Money, 'money', lambda o: o.amount, Money)
        json.register_type(Money, 'money', lambda o: 'new', str)
        assert json.loads(json.dumps(Money(1))) == 'new'


class TestEncoder:
    def test_json_method_comes_before_what_is_registered(self) -> None:
        class Own(Money):
            def __json__(self) -> Any:
                return date(2024, 1, 1)

        json.register_type(Own, 'own', lambda o: 'registered')
        assert json.loads(json.dumps(Own(1))) == date(2024, 1, 1)

    @pytest.mark.parametrize(
        'value', [object(), {1, 2}, 1j, bytearray(b'x'), timedelta(1), iter([])]
    )
    def test_other_types_are_errors_that_name_them(self, value: Any) -> None:
        with pytest.raises(TypeError, match=f'type {type(value).__name__} '):
            json.dumps([value])

    @pytest.mark.parametrize('key', [b'x', (1, 2), date(2024, 1, 1), UUID(int=1)])
    def test_keys_must_be_plain(self, key: Any) -> None:
        with pytest.raises(TypeError, match='keys must be'):
            json.dumps({key: 1})

    def test_a_cycle_is_said_to_be_one(self) -> None:
        cycle: list[Any] = []
        cycle.append({'again': cycle})
        with pytest.raises(ValueError, match='Circular'):
            json.dumps(cycle)

    def test_a_cycle_through_json_method(self) -> None:
        class Self:
            def __json__(self) -> Any:
                return [self]

        with pytest.raises(ValueError, match='Circular'):
            json.dumps(Self())

    def test_too_deep_is_an_error(self) -> None:
        deep: list[Any] = []
        for _ in range(200_000):
            deep = [deep]
        with pytest.raises(RecursionError):
            json.dumps(deep)

    def test_one_object_in_several_threads(self) -> None:
        """The prepared encoder is shared: it must not take another thread's work for a cycle."""
        failures = []
        meet = threading.Barrier(2, timeout=10)

        class Slow:
            def __json__(self) -> str:
                meet.wait()
                return 'x'

        shared = [[Slow()]]

        def work() -> None:
            try:
                assert json.dumps(shared) == '[["x"]]'
            except Exception as exc:
                failures.append(exc)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_options_of_the_standard_library(self) -> None:
        assert json.dumps({'b': b'x', 'a': 1}, sort_keys=True).startswith('{"a"')
        assert json.dumps('\xe9', default_kwargs={'ensure_ascii': False}) == '"\xe9"'
        assert json.dumps('\xe9', default_kwargs={'ensure_ascii': False}, ensure_ascii=True) == (
            '"\\u00e9"'
        )

    def test_default_kwargs_are_left_alone(self) -> None:
        options = {'indent': 1}
        json.dumps([1], default_kwargs=options, sort_keys=True)
        assert options == {'indent': 1}

    def test_another_encoder(self) -> None:
        class Upper(json.JSONEncoder):
            def default(self, o: Any) -> Any:
                return super().default(o) if isinstance(o, bytes) else 'OTHER'

        assert json.dumps([b'x', object()], cls=Upper) == f'[{tagged("bytes", "x")}, "OTHER"]'

    def test_another_function(self) -> None:
        assert json.dumps(1, _dumps=lambda s, cls: f'{s} {cls.__name__}') == '1 JSONEncoder'

    def test_default_may_be_replaced_on_the_class(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json.JSONEncoder, 'default', lambda self, o: 'patched')
        assert json.dumps([object()]) == '["patched"]'

    def test_usable_as_an_encoder_of_the_standard_library(self) -> None:
        assert stdlib_json.loads(stdlib_json.dumps(b'x', cls=json.JSONEncoder)) == {
            '__type__': 'bytes',
            '__value__': 'x',
        }

    def test_without_acceleration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stdlib_json.encoder, 'c_make_encoder', None)
        assert json._prepare_encode() is None
        monkeypatch.setattr(json, '_chunks', None)
        assert json.dumps({'a': b'x'}) == f'{{"a": {tagged("bytes", "x")}}}'

    def test_acceleration_of_another_make(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stdlib_json.encoder, 'c_make_encoder', lambda only_one: None)
        assert json._prepare_encode() is None


class TestLazyTexts:
    def test_textual_types(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Text:
            def __str__(self) -> str:
                return 'late'

        monkeypatch.setattr(json, 'textual_types', (Text,))
        assert json.dumps([Text()]) == '["late"]'

    def test_django(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Promise:
            def __str__(self) -> str:
                return 'translated'

        module = types.ModuleType('django.utils.functional')
        module.Promise = Promise  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, 'django.utils.functional', module)
        assert json.dumps([Promise()]) == '["translated"]'


class TestLoads:
    @pytest.mark.parametrize('kind', [str, str.encode, lambda s: bytearray(s.encode())])
    def test_text_and_bytes(self, kind: Any) -> None:
        assert json.loads(kind('{"a": "h\xe9", "b": []}')) == {'a': 'h\xe9', 'b': []}

    def test_memoryview(self) -> None:
        assert json.loads(memoryview(b'["x"]')) == ['x']

    @pytest.mark.parametrize('text', ['  1', '1 \r\n\t', '\n[1]\n', ' {"a": 1} '])
    def test_white_space_around(self, text: str) -> None:
        assert json.loads(text) == stdlib_json.loads(text)

    @pytest.mark.parametrize(
        'text',
        ['', ' ', '{', 'nul', '1 2', '[1,]', "{'a': 1}", '"\t"', '\ufeff1', '1\x0b', '[' * 10],
    )
    def test_malformed(self, text: str) -> None:
        with pytest.raises(stdlib_json.JSONDecodeError):
            json.loads(text)

    def test_the_error_tells_where(self) -> None:
        with pytest.raises(stdlib_json.JSONDecodeError, match='line 2 column 2'):
            json.loads('[1]\n x')

    def test_too_deep_is_an_error(self) -> None:
        with pytest.raises(RecursionError):
            json.loads('[' * 200_000)

    def test_not_utf8(self) -> None:
        with pytest.raises(UnicodeDecodeError):
            json.loads(b'"\xff"')

    def test_other_encodings_where_asked_for(self) -> None:
        assert json.loads('"h\xe9"'.encode('utf-16'), decode_bytes=False) == 'h\xe9'
        assert json.loads(memoryview(b'1'), decode_bytes=False) == 1

    @pytest.mark.parametrize('value', [None, 5, ['1'], {}])
    def test_neither_text_nor_bytes(self, value: Any) -> None:
        with pytest.raises(TypeError):
            json.loads(value)

    def test_another_hook(self) -> None:
        assert json.loads(b'{"a": 1}', object_hook=sorted) == ['a']
        assert json.loads(tagged('bytes', 'x'), object_hook=None)['__type__'] == 'bytes'

    def test_another_function(self) -> None:
        assert json.loads(b'1', _loads=lambda s, object_hook: (s, object_hook)) == (
            '1',
            json.object_hook,
        )

    def test_object_hook_itself(self) -> None:
        plain = {'a': 1}
        assert json.object_hook(plain) is plain
        assert json.object_hook({'__type__': 'bytes', '__value__': 'x'}) == b'x'

    def test_the_last_of_equal_keys_counts(self) -> None:
        assert json.loads('{"a": 1, "a": 2}') == {'a': 2}
