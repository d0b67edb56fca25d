"""Modules of one function."""

from __future__ import annotations

import io
import pickle
import re
import stat
import subprocess
import sys
import types
import uuid as stdlib_uuid
from pathlib import Path
from typing import Any

import pytest

import kombu.utils
from kombu.utils.amq_manager import get_manager
from kombu.utils.div import emergency_dump_state
from kombu.utils.time import maybe_s_to_ms
from kombu.utils.uuid import uuid


class TestUuid:
    def test_is_random_and_of_version_4(self) -> None:
        made = [uuid() for _ in range(200)]
        assert len(set(made)) == 200
        for text in made:
            parsed = stdlib_uuid.UUID(text)
            assert (parsed.version, parsed.variant) == (4, stdlib_uuid.RFC_4122)
            assert str(parsed) == text

    def test_of_another_source(self) -> None:
        fixed = stdlib_uuid.UUID(int=1)
        assert uuid(lambda: fixed) == str(fixed)


@pytest.mark.parametrize(
    ('seconds', 'milliseconds'),
    [(None, None), (1, 1000), (0, 0), (1.5, 1500), (1.9999, 1999), ('3', 3000)],
)
def test_maybe_s_to_ms(seconds: Any, milliseconds: int | None) -> None:
    assert maybe_s_to_ms(seconds) == milliseconds


class TestPackage:
    def test_all_names(self) -> None:
        for name in kombu.utils.__all__:
            assert callable(getattr(kombu.utils, name)), name
        assert set(kombu.utils.__all__) <= set(dir(kombu.utils))

    def test_unknown_name(self) -> None:
        with pytest.raises(AttributeError, match='nothing'):
            _ = kombu.utils.nothing

    @pytest.mark.parametrize(
        'first', ['import kombu.utils', 'import kombu.utils.uuid', 'from kombu.utils import uuid']
    )
    def test_uuid_is_the_function_and_json_the_module(self, first: str) -> None:
        """Whatever is imported first; in an interpreter of its own, because imports happen once."""
        script = (
            f'{first}\n'
            'import kombu.utils\n'
            'from kombu.utils.uuid import uuid\n'
            'assert kombu.utils.uuid is uuid and len(uuid()) == 36\n'
            'assert kombu.utils.functional.sleep\n'
            'assert kombu.utils.json.__name__ == "kombu.utils.json"\n'
        )
        subprocess.run([sys.executable, '-c', script], check=True, timeout=30)


class TestEmergencyDumpState:
    def read(self, told: str) -> tuple[Path, bytes]:
        found = re.fullmatch(r'EMERGENCY DUMP STATE TO FILE -> (.*) <-\n', told)
        assert found is not None
        path = Path(found[1])
        content = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
        return path, content

    def test_pickles(self) -> None:
        stderr = io.StringIO()
        returned = emergency_dump_state({'a': [1]}, stderr=stderr)
        path, content = self.read(stderr.getvalue())
        assert returned == str(path)
        assert pickle.loads(content) == {'a': [1]}

    def test_text_where_pickling_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        stderr = io.StringIO()
        emergency_dump_state({'é': lambda: None}, stderr=stderr)
        _, content = self.read(stderr.getvalue())
        assert content.decode().startswith("{'é': <function")
        assert 'cannot pickle' in caplog.text

    def test_logs_the_path(self, caplog: pytest.LogCaptureFixture) -> None:
        path = emergency_dump_state(1)
        Path(path).unlink()
        assert f'-> {path} <-' in caplog.text

    def test_given_functions(self) -> None:
        opened: list[Any] = []

        class File(io.BytesIO):
            def close(self) -> None:
                opened.append(self.getvalue())

        def open_file(path: str, mode: str) -> File:
            opened.append(mode)
            return File()

        def dump(state: Any, file: Any, protocol: int) -> None:
            file.write(f'{state} {protocol}'.encode())

        Path(emergency_dump_state('s', open_file, dump, io.StringIO())).unlink()
        assert opened[:2] == ['wb', b's 0']


class TestGetManager:
    class Client:
        def __init__(self, **options: Any) -> None:
            self.transport_options = options
            self.hostname, self.userid, self.password = 'broker', 'user', 'pw'

    @pytest.fixture
    def pyrabbit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = types.ModuleType('pyrabbit')
        module.Client = lambda *args: args  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, 'pyrabbit', module)

    @pytest.mark.usefixtures('pyrabbit')
    def test_where_the_arguments_come_from(self) -> None:
        client = self.Client()
        assert get_manager(client) == ('broker:15672', 'user', 'pw')
        assert get_manager(client, 'h', 1, 'u', 'p') == ('h:1', 'u', 'p')
        client = self.Client(manager_hostname='m', manager_port=2, manager_userid='mu')
        assert get_manager(client) == ('m:2', 'mu', 'pw')
        assert get_manager(client, 'h', 1, 'u') == ('h:1', 'u', 'pw')

    @pytest.mark.usefixtures('pyrabbit')
    def test_defaults(self) -> None:
        client = self.Client()
        client.hostname = client.userid = client.password = ''
        assert get_manager(client) == ('localhost:15672', 'guest', 'guest')

    @pytest.mark.usefixtures('pyrabbit')
    def test_ipv6(self) -> None:
        assert get_manager(self.Client(), '::1')[0] == '[::1]:15672'

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, 'pyrabbit', None)
        with pytest.raises(ImportError, match='pip install pyrabbit'):
            get_manager(self.Client())
