from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from kombu.transport.pyamqp._tls import tls_options


@pytest.mark.parametrize('given', [None, False, 0])
def test_none(given: Any) -> None:
    assert tls_options(given, 'host') is None


@pytest.mark.parametrize('given', [True, {'cert_reqs': 'required'}, {'ssl_cert_reqs': None}])
def test_verifies(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    options = tls_options(given, 'host')
    assert options is not None
    assert options['server_hostname'] == 'host'
    assert options['context'].verify_mode == ssl.CERT_REQUIRED
    assert options['context'].check_hostname
    assert not caplog.records


def test_other_name() -> None:
    options = tls_options({'server_hostname': 'other'}, 'host')
    assert options is not None
    assert options['server_hostname'] == 'other'


@pytest.mark.parametrize('value', [ssl.CERT_NONE, 'none', 'CERT_NONE'])
def test_no_verification_is_loud(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        options = tls_options({'cert_reqs': value}, 'host')
    assert options is not None
    assert options['context'].verify_mode == ssl.CERT_NONE
    assert not options['context'].check_hostname
    assert 'host is not verified' in caplog.text


def test_no_host_name_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        options = tls_options({'ssl_check_hostname': False}, 'host')
    assert options is not None
    assert options['context'].verify_mode == ssl.CERT_REQUIRED
    assert not options['context'].check_hostname
    assert 'host name' in caplog.text


def test_versions_and_ciphers() -> None:
    options = tls_options(
        {'tls_minimum_version': ssl.TLSVersion.TLSv1_3, 'ciphers': 'ECDHE+AESGCM'}, 'host'
    )
    assert options is not None
    assert options['context'].minimum_version == ssl.TLSVersion.TLSv1_3


def test_context_as_it_is() -> None:
    context = ssl.create_default_context()
    for given in (context, {'context': context}):
        options = tls_options(given, 'host')
        assert options is not None
        assert options['context'] is context


def test_context_of_arguments() -> None:
    """As py-amqp has it, but the host name is checked unless that is asked not to be."""
    options = tls_options({'context': {'purpose': ssl.Purpose.SERVER_AUTH}}, 'host')
    assert options is not None
    assert options['context'].check_hostname
    options = tls_options({'context': {'check_hostname': False}}, 'host')
    assert options is not None
    assert not options['context'].check_hostname


def test_nothing_of_the_callers_is_changed() -> None:
    inner = {'check_hostname': False}
    given = {'context': inner, 'ssl_server_hostname': 'x'}
    tls_options(given, 'host')
    assert given == {'context': {'check_hostname': False}, 'ssl_server_hostname': 'x'}


@pytest.mark.parametrize(
    ('given', 'complaint'),
    [
        ({'ca_cert': 'x'}, "unknown option 'ca_cert'; did you mean 'ca_certs'"),
        ({'keyfile': 'x'}, 'keyfile needs certfile'),
        ({'cert_reqs': 'perhaps'}, 'perhaps'),
    ],
)
def test_impossible(given: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tls_options(given, 'host')


def test_missing_file() -> None:
    with pytest.raises(OSError, match='No such file'):
        tls_options({'ca_certs': '/no/such/file'}, 'host')
