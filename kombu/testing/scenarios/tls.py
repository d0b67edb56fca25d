"""TLS: encryption is real, and the server is who it should be."""

from __future__ import annotations

import ssl
from typing import Any

from ..bench import Bench
from ..checks import check, equal, eventually, raises
from ..proxy import proxied
from ..scenario import Scenarios, scenario

__all__ = ('TLSScenarios',)


def refused(bench: Bench, url: str, **arguments: Any) -> None:
    connection = bench.connect(url, connect_timeout=3, **arguments)
    raises(bench.errors(connection), connection.connect, 'connecting')


class TLSScenarios(Scenarios):
    """A TLS listener with a certificate of a private authority."""

    @scenario('tls', needs={'tls'})
    def test_tls_works(self, bench: Bench) -> None:
        """With the authority's certificate a connection is made and carries messages"""
        tls = bench.hook('tls')
        channel = bench.connect(tls.url, ssl={'ca_certs': tls.ca}).channel()
        queue = bench.queue(channel)
        bench.finally_(queue.delete)
        bench.publish(queue, 'x' * 100_000)
        equal(bench.contents(queue, 1), ['x' * 100_000], 'messages')

    @scenario('tls', needs={'tls'})
    def test_tls_verifies_authority(self, bench: Bench) -> None:
        """By default a certificate of an unknown authority is refused"""
        tls = bench.hook('tls')
        refused(bench, tls.url)
        refused(bench, tls.url, ssl=True)

    @scenario('tls', needs={'tls'})
    def test_tls_verifies_name(self, bench: Bench) -> None:
        """By default a certificate for another host is refused, authority or not"""
        tls = bench.hook('tls')
        with proxied(tls.url, host='127.0.0.2') as (url, _):
            refused(bench, url, ssl={'ca_certs': tls.ca})

    @scenario('tls', needs={'tls'})
    def test_tls_unverified(self, bench: Bench) -> None:
        """Verification can be switched off by name, and only so"""
        tls = bench.hook('tls')
        connection = bench.connect(tls.url, ssl={'cert_reqs': ssl.CERT_NONE})
        connection.connect()
        check(connection.connected, 'not connected')

    @scenario('tls', needs={'proxy'})
    def test_tls_not_plain(self, bench: Bench) -> None:
        """ssl=True never speaks plain text: a plain listener gets a TLS greeting and no password"""
        url, proxy = bench.proxy()
        seen = proxy.tap()
        connection = bench.connect(url, ssl=True, connect_timeout=2)
        result = bench.ends(10, connection.connect, 'connect')
        check(isinstance(result, Exception), 'it connected to a plain listener')
        eventually(lambda: bool(seen), 2, what='something sent')
        check(seen[:1] == b'\x16', f'the first bytes are {bytes(seen[:20])!r}, not a TLS greeting')
        secret = (connection.password or '').encode()
        check(not secret or secret not in seen, 'the password went in plain text')
