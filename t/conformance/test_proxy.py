"""The fault proxy of `kombu.testing` does to connections what it says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kombu.testing import Proxy, proxied
from kombu.testing.proxy import DOWN, UP

SHORT = 0.1


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; gives its port."""
    listener = socket.create_server(('127.0.0.1', 0))

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(('127.0.0.1', echo)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connect(proxy) as client:
        yield client


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), 5)


def receive(client: socket.socket, count: int) -> bytes:
    data = b''
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def silent(client: socket.socket) -> bool:
    """Tell whether nothing comes for a moment."""
    client.settimeout(SHORT)
    try:
        return not client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)


def test_forwards(client: socket.socket, proxy: Proxy) -> None:
    data = bytes(range(256)) * 1000
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    assert receive(client, len(data)) == data
    assert proxy.passed == {UP: len(data), DOWN: len(data)}
    assert proxy.accepted == 1


def test_end_of_data_is_passed_on(client: socket.socket) -> None:
    client.sendall(b'x')
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 2) == b'x'


@pytest.mark.parametrize('direction', [UP, DOWN])
def test_stall_holds_back(client: socket.socket, proxy: Proxy, direction: str) -> None:
    assert echoed(client, b'a') == b'a'
    proxy.stall(direction)
    client.sendall(b'b')
    assert silent(client)
    proxy.heal()
    assert receive(client, 1) == b'b'


@pytest.mark.parametrize('direction', [UP, DOWN])
def test_swallow_throws_away(client: socket.socket, proxy: Proxy, direction: str) -> None:
    proxy.swallow(direction)
    client.sendall(b'b')
    assert silent(client)
    proxy.heal()
    assert silent(client)
    assert echoed(client, b'c') == b'c'


def test_cut_with_reset(client: socket.socket, proxy: Proxy) -> None:
    assert echoed(client, b'a') == b'a'
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.cut() == 0


def test_cut_without_reset(client: socket.socket, proxy: Proxy) -> None:
    assert echoed(client, b'a') == b'a'
    proxy.cut(reset=False)
    assert client.recv(1) == b''


def test_cut_while_stalled(client: socket.socket, proxy: Proxy) -> None:
    proxy.stall()
    client.sendall(b'a')
    time.sleep(SHORT)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.parametrize(('direction', 'expected'), [(UP, b'abcde'), (DOWN, b'abcde')])
def test_cut_after_so_many_bytes(
    client: socket.socket, proxy: Proxy, direction: str, expected: bytes
) -> None:
    assert echoed(client, b'12345') == b'12345'
    proxy.cut_after(5, direction=direction, reset=False)
    assert proxy.armed
    client.sendall(b'abcdefgh')
    # Of what goes up before the cut the answer may be lost with it.
    assert receive(client, 8) in (expected, b'')
    assert not proxy.armed
    with connect(proxy) as again:
        assert echoed(again, b'x' * 100) == b'x' * 100


def test_slow(client: socket.socket, proxy: Proxy) -> None:
    proxy.slow(latency=0.01, slice=2, pause=0.01)
    start = time.monotonic()
    assert echoed(client, b'abcdef') == b'abcdef'
    assert time.monotonic() - start >= 0.05


def test_refuse(proxy: Proxy) -> None:
    proxy.refuse()
    # The reset may come as early as the end of connect().
    with pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)
    proxy.heal()
    with connect(proxy) as client:
        assert echoed(client, b'a') == b'a'


def test_unlisten_and_listen_again(proxy: Proxy) -> None:
    port = proxy.port
    proxy.unlisten()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.listen()
    assert proxy.port == port
    with connect(proxy) as client:
        assert echoed(client, b'a') == b'a'


def test_server_that_is_not_there(echo: int) -> None:
    """Clients are told by a reset, not left waiting."""
    with socket.create_server(('127.0.0.1', 0)) as unused:
        port = unused.getsockname()[1]
    with (
        Proxy(('127.0.0.1', port)) as proxy,
        pytest.raises(ConnectionResetError),
        connect(proxy) as client,
    ):
        client.recv(1)


def test_tap(client: socket.socket, proxy: Proxy) -> None:
    assert echoed(client, b'before') == b'before'
    heard = proxy.tap()
    assert echoed(client, b'after') == b'after'
    assert heard == b'after'


def test_url_is_led_through(echo: int) -> None:
    with proxied(f'redis://user:p%40ss@127.0.0.1:{echo}/1?a=b') as (url, proxy):
        assert url == f'redis://user:p%40ss@127.0.0.1:{proxy.port}/1?a=b'
        with connect(proxy) as client:
            assert echoed(client, b'a') == b'a'


def test_url_without_port(echo: int) -> None:
    with proxied('amqp://127.0.0.1//', echo) as (url, proxy):
        assert url == f'amqp://127.0.0.1:{proxy.port}//'
        assert str(echo) in repr(proxy)
    with pytest.raises(ValueError, match='must name a host and a port'), proxied('memory://'):
        pass


def test_threads_end_with_it(echo: int) -> None:
    before = {thread for thread in threading.enumerate() if thread.name == 'proxy'}
    with Proxy(('127.0.0.1', echo)) as proxy:
        clients = [connect(proxy) for _ in range(5)]
        for client in clients:
            assert echoed(client, b'a') == b'a'
    for client in clients:
        client.close()
    for thread in threading.enumerate():
        if thread.name == 'proxy' and thread not in before:
            thread.join(5)
            assert not thread.is_alive()
