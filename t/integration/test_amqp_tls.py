"""TLS: who is at the other end has to prove it, and anything less has to be asked for."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from kombu import Connection
from t.brokers.rabbitmq import Broker


@pytest.fixture
def certs(rabbitmq: Broker) -> dict[str, str]:
    if rabbitmq.certs is None:
        pytest.skip('the broker in KOMBU_TEST_AMQP_URL names no certificates')
    return rabbitmq.certs


def connect(rabbitmq: Broker, host: str = 'localhost', **kwargs: Any) -> str:
    """Connect with TLS and return the version of it."""
    url = kwargs.pop('url', f'amqps://guest:guest@{host}:{rabbitmq.tls_port}//')
    with Connection(url, **kwargs) as connection:
        # Not by way of `default_channel`, which would try again for some seconds.
        connection.connect()
        connection.default_channel.queue_declare('q')
        version: str = connection.connection.sock.version()
        return version


def test_trusted(rabbitmq: Broker, certs: dict[str, str]) -> None:
    assert connect(rabbitmq, ssl={'ca_certs': certs['ca']}).startswith('TLS')


def test_trusted_by_address(rabbitmq: Broker, certs: dict[str, str]) -> None:
    assert connect(rabbitmq, '127.0.0.1', ssl={'ca_certs': certs['ca']})


def test_options_in_the_url(rabbitmq: Broker, certs: dict[str, str]) -> None:
    query = f'?ssl_ca_certs={certs["ca"]}&ssl_cert_reqs=required'
    assert connect(rabbitmq, url=f'amqps://guest:guest@localhost:{rabbitmq.tls_port}//{query}')


def test_client_certificate(rabbitmq: Broker, certs: dict[str, str]) -> None:
    options = {
        'ca_certs': certs['ca'],
        'certfile': certs['client'],
        'keyfile': certs['client_key'],
    }
    assert connect(rabbitmq, ssl=options)


@pytest.mark.parametrize('options', [True, {}, {'server_hostname': None}])
def test_unknown_authority(rabbitmq: Broker, certs: dict[str, str], options: Any) -> None:
    """The authority of the tests is not one that the system trusts."""
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(rabbitmq, ssl=options)


def test_other_authority(rabbitmq: Broker, certs: dict[str, str]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(rabbitmq, ssl={'ca_certs': certs['stranger']})


def test_wrong_host(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """`127.1` is the same address, and not a name in the certificate."""
    with pytest.raises(ssl.SSLCertVerificationError, match=r'127\.1'):
        connect(rabbitmq, '127.1', ssl={'ca_certs': certs['ca']})


def test_name_given(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """`server_hostname` is what the certificate has to name, whatever the URL says."""
    right = {'ca_certs': certs['ca'], 'server_hostname': 'localhost'}
    assert connect(rabbitmq, '127.1', ssl=right)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(rabbitmq, 'localhost', ssl={**right, 'server_hostname': 'other.example'})


def test_each_host_by_its_own_name(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """On failover it is the name of the next host that counts."""
    url = f'amqps://guest:guest@127.1:{rabbitmq.tls_port}//;amqps://guest:guest@localhost:{rabbitmq.tls_port}//'
    with Connection(url, ssl={'ca_certs': certs['ca']}) as connection:
        connection.ensure_connection(max_retries=3, interval_start=0)
        assert connection.hostname == 'localhost'


def test_ssl_true_is_tls(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """`ssl=` on `amqp://` is TLS as well, on the port that is given."""
    url = f'amqp://guest:guest@localhost:{rabbitmq.tls_port}//'
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(rabbitmq, url=url, ssl=True)
    assert connect(rabbitmq, url=url, ssl={'ca_certs': certs['ca']})


def test_never_plain_text(rabbitmq: Broker) -> None:
    """On a port without TLS nothing is said, the password least of all."""
    with pytest.raises(OSError, match=r'(?i)ssl|closed|reset'):
        connect(rabbitmq, url=f'amqp://guest:guest@localhost:{rabbitmq.port}//', ssl=True)


def test_unverified_is_loud(
    rabbitmq: Broker, certs: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert connect(rabbitmq, ssl={'cert_reqs': ssl.CERT_NONE})
    assert 'not verified' in caplog.text


def test_unchecked_host_is_loud(
    rabbitmq: Broker, certs: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    options = {'ca_certs': certs['ca'], 'check_hostname': False}
    with caplog.at_level(logging.WARNING):
        assert connect(rabbitmq, '127.1', ssl=options)
    assert 'host name' in caplog.text


def test_context(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """A ready-made context is used as it is, and so are the arguments for one."""
    assert connect(rabbitmq, ssl=ssl.create_default_context(cafile=certs['ca']))
    assert connect(rabbitmq, ssl={'context': {'cafile': certs['ca']}})
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(rabbitmq, '127.1', ssl={'context': {'cafile': certs['ca']}})


def test_large_messages(rabbitmq: Broker, certs: dict[str, str]) -> None:
    """More than OpenSSL takes or gives at once."""
    url = f'amqps://guest:guest@localhost:{rabbitmq.tls_port}//'
    with Connection(url, ssl={'ca_certs': certs['ca']}) as connection:
        channel = connection.channel()
        channel.queue_declare('large')
        body = 'x' * 3_000_000
        for _ in range(5):
            channel.basic_publish(channel.prepare_message(body), routing_key='large')
        got: list[Any] = []
        channel.basic_consume('large', no_ack=True, callback=got.append)
        while len(got) < 5:
            connection.drain_events(timeout=10)
        assert {message.body for message in got} == {body}
