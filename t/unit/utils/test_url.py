from __future__ import annotations

import ssl
from typing import Any

import pytest

from kombu.utils import url as module
from kombu.utils.url import (
    as_url,
    maybe_sanitize_url,
    parse_ssl_cert_reqs,
    parse_url,
    safequote,
    sanitize_url,
    url_to_parts,
)


@pytest.mark.parametrize(
    ('url', 'parts'),
    [
        ('amqp://', ('amqp', None, None, None, None, None, {})),
        ('amqp://localhost', ('amqp', 'localhost', None, None, None, None, {})),
        ('AMQP://HOST/V', ('amqp', 'host', None, None, None, 'V', {})),
        ('amqp://u:p@h:5672/v', ('amqp', 'h', 5672, 'u', 'p', 'v', {})),
        ('amqp://u:p@h:5672//v', ('amqp', 'h', 5672, 'u', 'p', '/v', {})),
        ('amqp://h//', ('amqp', 'h', None, None, None, '/', {})),
        ('amqp://h/%2F', ('amqp', 'h', None, None, None, '/', {})),
        ('amqp://h/', ('amqp', 'h', None, None, None, None, {})),
        ('amqp://u%40x:p%2Fa%3As@h/v%2Fh', ('amqp', 'h', None, 'u@x', 'p/a:s', 'v/h', {})),
        ('amqp://u:p@ss:w@h', ('amqp', 'h', None, 'u', 'p@ss:w', None, {})),
        ('amqp://u+x:p+y@h', ('amqp', 'h', None, 'u+x', 'p+y', None, {})),
        ('amqp://:p@h', ('amqp', 'h', None, None, 'p', None, {})),
        ('amqp://u:@h', ('amqp', 'h', None, 'u', None, None, {})),
        ('amqp://:@h', ('amqp', 'h', None, None, None, None, {})),
        ('amqp://h:/v', ('amqp', 'h', None, None, None, 'v', {})),
        ('amqp://h:0', ('amqp', 'h', 0, None, None, None, {})),
        ('amqp://[::1]:5672/v', ('amqp', '::1', 5672, None, None, 'v', {})),
        ('amqp://u:p@[fe80::1%25eth0]', ('amqp', 'fe80::1%eth0', None, 'u', 'p', None, {})),
        ('mongodb://%2Ftmp%2FMongo.sock/db', ('mongodb', '/tmp/Mongo.sock', *[None] * 3, 'db', {})),
        ('redis+socket:///tmp/x?a=1', ('redis+socket', *[None] * 4, 'tmp/x', {'a': '1'})),
        ('amqp://h?x=a+b&y=%26&z=', ('amqp', 'h', *[None] * 4, {'x': 'a b', 'y': '&'})),
        ('amqp://h/v;p#frag', ('amqp', 'h', *[None] * 3, 'v;p', {})),
        (' amqp://h \n', ('amqp', 'h', *[None] * 4, {})),
        ('sqs://KEY:se%2Fcret@', ('sqs', None, None, 'KEY', 'se/cret', None, {})),
        ('localhost', ('', 'localhost', None, None, None, None, {})),
        ('localhost:5672/v', ('', 'localhost', 5672, None, None, 'v', {})),
        ('u:p@h', ('', 'h', None, 'u', 'p', None, {})),
        ('//h/v', ('', 'h', None, None, None, 'v', {})),
        ('', ('', None, None, None, None, None, {})),
    ],
)
def test_url_to_parts(url: str, parts: tuple[Any, ...]) -> None:
    assert url_to_parts(url) == parts


MALFORMED = [
    ('amqp://u:SECRET@h:99999/v', 'amqp://u:**@h:99999/v'),
    ('amqp://u:SECRET@h:\u0661/v', 'amqp://u:**@h:\u0661/v'),
    ('amqp://u:SECRET@h:1:2', 'amqp://u:**@h:1:2'),
    ('amqp://u:SECRET/x@h:1/v', 'amqp://u:**@h:1/v'),
    ('amqp://u:SECRET#x@h:1/v', 'amqp://u:**@h:1/v'),
    ('amqp://u:SECRET?x@h:1/v', 'amqp://u:**@h:1/v'),
    ('sqs://key:/SECRET@', 'sqs://key:**@'),
    ('sqs://key:SECRET', 'sqs://key:**'),
    ('sqs://key:SECRET/x', 'sqs://key:**'),
    ('amqp://u:SECRET@[::1/v', 'amqp://u:**@[::1/v'),
    ('amqp://u:SECRET@[::1]x/v', 'amqp://u:**@[::1]x/v'),
    ('amqp://u:SECRET@a]b/v', 'amqp://u:**@a]b/v'),
    ('mongodb://u:SECRET@a:1,b:2/db?password=SECRET', 'mongodb://u:**@a:1,b:2/db'),
    ('mongodb://a:1,b:2/db?password=SECRET', 'mongodb://a:1,b:2/db'),
    ('host:SECRET', 'host:**'),
]


@pytest.mark.parametrize(('url', 'shown'), MALFORMED)
def test_malformed(url: str, shown: str) -> None:
    """The error names the URL, but nothing of it that may be a password."""
    with pytest.raises(ValueError) as caught:
        url_to_parts(url)
    assert repr(shown) in str(caught.value)
    assert 'SECRET' not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(('url', 'shown'), MALFORMED)
def test_malformed_can_be_sanitized(url: str, shown: str) -> None:
    """Hiding a password is for logs, where nothing may fail."""
    assert sanitize_url(url) == shown


class TestParseUrl:
    def test_arguments(self) -> None:
        assert parse_url('amqp://u:p@h:5/v?heartbeat=10') == {
            'transport': 'amqp',
            'hostname': 'h',
            'port': 5,
            'userid': 'u',
            'password': 'p',
            'virtual_host': 'v',
            'heartbeat': '10',
        }

    def test_ssl(self) -> None:
        url = 'rediss://h/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fa&ssl_check_hostname=False'
        assert parse_url(url)['ssl'] == {
            'ssl_cert_reqs': ssl.CERT_REQUIRED,
            'ssl_ca_certs': '/a',
            'ssl_check_hostname': False,
        }

    @pytest.mark.parametrize(
        ('query', 'expected'),
        [
            ('ssl=true', True),
            ('ssl=0', False),
            ('ssl=false&ssl_keyfile=x', False),
            ('ssl=true&ssl_keyfile=x', {'ssl_keyfile': 'x'}),
        ],
    )
    def test_ssl_switch(self, query: str, expected: Any) -> None:
        """A text would be true whatever it says."""
        assert parse_url(f'amqp://h?{query}')['ssl'] == expected

    def test_without_ssl(self) -> None:
        assert 'ssl' not in parse_url('rediss://h')

    @pytest.mark.parametrize('query', ['ssl_cert_reqs=no', 'ssl_check_hostname=maybe', 'ssl=x'])
    def test_bad_values(self, query: str) -> None:
        with pytest.raises(ValueError, match='must be'):
            parse_url(f'rediss://h?{query}')

    def test_virtual_host_by_query(self) -> None:
        """The path of a socket leaves no other place for it."""
        assert parse_url('redis+socket:///tmp/x?virtual_host=3')['virtual_host'] == '3'

    def test_other_parts_cannot_be_repeated(self) -> None:
        with pytest.raises(ValueError, match='transport') as caught:
            parse_url('amqp://u:SECRET@h?transport=memory')
        assert 'SECRET' not in str(caught.value)


@pytest.mark.parametrize(
    ('value', 'mode'),
    [
        ('required', ssl.CERT_REQUIRED),
        ('CERT_REQUIRED', ssl.CERT_REQUIRED),
        ('optional', ssl.CERT_OPTIONAL),
        ('CERT_OPTIONAL', ssl.CERT_OPTIONAL),
        ('none', ssl.CERT_NONE),
        ('CERT_NONE', ssl.CERT_NONE),
    ],
)
def test_parse_ssl_cert_reqs(value: str, mode: ssl.VerifyMode) -> None:
    assert parse_ssl_cert_reqs(value) is mode


@pytest.mark.parametrize('value', ['', 'bogus', None, 0])
def test_parse_ssl_cert_reqs_refuses(value: Any) -> None:
    """Above all, None does not switch verification off."""
    with pytest.raises(ValueError, match='required, optional, none'):
        parse_ssl_cert_reqs(value)


@pytest.mark.parametrize(
    ('url', 'arguments'),
    [
        ('amqp:///', ('amqp',)),
        ('amqp://h/', ('amqp', 'h')),
        ('amqp://h:5/', ('amqp', 'h', 5)),
        ('amqp://u:p@h:5/v', ('amqp', 'h', 5, 'u', 'p', 'v')),
        ('amqp://:p@h/', ('amqp', 'h', None, None, 'p')),
        ('amqp://u@h//', ('amqp', 'h', 0, 'u', '', '/')),
        ('amqp://u%40:p%2F@[::1]/a%20%3Fb', ('amqp', '::1', None, 'u@', 'p/', 'a ?b')),
        ('amqp://h/?a=b+c', ('amqp', 'h', None, None, None, None, {'a': 'b c'})),
    ],
)
def test_as_url(url: str, arguments: tuple[Any, ...]) -> None:
    assert as_url(*arguments) == url


def test_as_url_sanitized() -> None:
    parts = ('amqp', 'h', None, 'u', 'p', 'v', {'token': 'SECRET'})
    assert as_url(*parts, sanitize=True) == 'amqp://u:**@h/v'
    assert as_url(*parts, sanitize=True, mask='#') == 'amqp://u:#@h/v'
    assert as_url(*parts, sanitize=True, mask=None) == 'amqp://u@h/v'


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('amqp://u:p@h/v', 'amqp://u:**@h/v'),
        ('amqp://u:p@h;redis://:q@i', 'amqp://u:**@h/;redis://:**@i/'),
        ('amqp://u:p;q@h', 'amqp://u:**@h/'),
        ('amqp://h', 'amqp://h/'),
        ('amqp://h/a@b', 'amqp://h/a%40b'),
        ('amqp://h:1/a@b', 'amqp://h:**@b'),
    ],
)
def test_sanitize_url(url: str, shown: str) -> None:
    assert sanitize_url(url) == shown
    assert maybe_sanitize_url(url) == shown


@pytest.mark.parametrize('value', [None, 3, b'amqp://u:p@h', ['a'], 'no url', 'host:5672'])
def test_maybe_sanitize_url_leaves_other_things_alone(value: Any) -> None:
    assert maybe_sanitize_url(value) is value


def test_safequote() -> None:
    assert safequote('a/b c:@%é') == 'a%2Fb%20c%3A%40%25%C3%A9'


def test_names_that_dependents_import() -> None:
    assert module._parse_url is url_to_parts
    assert module.urlparse('http://h').hostname == 'h'
    assert module.ssl_available
