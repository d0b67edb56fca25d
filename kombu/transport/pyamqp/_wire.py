"""The socket: never blocking, every wait with a limit.

The sockets of py-amqp switch between blocking and not blocking for each read, which breaks a write
that another thread is in the middle of.  Here a socket stays non-blocking from the handshake on;
who has to wait waits in `poll`, and nobody else notices.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from kombu.exceptions import TimeoutError

from ._driver import AbstractTransport, SSLTransport, TCPTransport

__all__ = ('TCPWire', 'TLSWire', 'Wire', 'remaining')

#: Octets asked of the socket at once.
CHUNK = 1 << 16

_AGAIN = (BlockingIOError, InterruptedError)
_TLS_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def remaining(limit: float | None) -> float | None:
    """Return the seconds until `limit`, a time of `monotonic`; None where there is no limit."""
    return None if limit is None else max(0.0, limit - monotonic())


def _some_time(limit: float | None) -> float | None:
    """Return a timeout for a socket; it has to be positive, 0 would mean something else."""
    seconds = remaining(limit)
    return None if seconds is None else max(seconds, 0.001)


def wait_for(sock: Any, *, writing: bool, timeout: float | None) -> bool:
    """Wait until a socket can be read or written; False when `timeout` seconds have passed."""
    if hasattr(select, 'poll'):
        poll = select.poll()
        poll.register(sock, select.POLLOUT if writing else select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    # Eventlet takes poll() away; its select() knows the green sockets, and so does that of Windows.
    readers, writers = ((), (sock,)) if writing else ((sock,), ())
    return any(select.select(readers, writers, (sock,), timeout))


class Wire(AbstractTransport):  # type: ignore[misc]  # py-amqp is untyped
    """What plain and encrypted sockets have in common.

    `receive` and `wait_readable` are for one thread at a time, `send` for another one at a time.
    """

    sock: Any
    #: Time of `monotonic` until which connecting may take.
    limit: float | None

    _again: tuple[type[BaseException], ...] = _AGAIN
    #: Whether the last `send` was broken off after it had begun: nothing sensible can be written
    #: any more.
    midway = False

    def _connect(self, host: str, port: int, timeout: float | None) -> None:
        """Try the addresses of `host` in turn; the limit is for all of them together."""
        limit = None if timeout is None else monotonic() + timeout
        addresses = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        failure: OSError | None = None
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_some_time(limit))
                sock.connect(address)
            except OSError as exc:
                sock.close()
                failure = exc
            except BaseException:
                sock.close()
                raise
            else:
                self.sock = sock
                self.limit = limit
                return
        if isinstance(failure, TimeoutError):
            raise TimeoutError(f'no connection to {host}:{port} within {timeout} s') from failure
        raise failure or OSError(f'{host} has no address')

    def _setup_transport(self) -> None:
        self.sock.settimeout(0.0)

    def _write(self, data: bytes) -> None:
        self.send((data,), self.limit)

    def _recv(self, sock: Any, size: int) -> bytes:
        data: bytes = sock.recv(size)
        return data

    def _send(self, sock: Any, data: Any) -> int:
        sent: int = sock.send(data)
        return sent

    def receive(self) -> bytes | None:
        """Return what has arrived; None where that is nothing.

        Raises:
            OSError: the connection is gone.
        """
        sock = self.sock
        if sock is None:
            raise ConnectionResetError(errno.ECONNRESET, 'the connection is closed')
        if sock.gettimeout() != 0.0:  # oslo.messaging sets timeouts on the socket it finds here
            sock.settimeout(0.0)
        try:
            data = self._recv(sock, CHUNK)
        except self._again:
            return None
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, 'the server closed the connection')
        return data

    def wait_readable(self, timeout: float | None) -> bool:
        """Wait until there is something to receive; False when `timeout` (seconds) has passed."""
        sock = self.sock
        if sock is None:
            return True
        return wait_for(sock, writing=False, timeout=timeout)

    def send(self, pieces: Iterable[Any], limit: float | None) -> None:
        """Write all of `pieces`.

        Args:
            pieces: what to write, in this order.
            limit: time of `monotonic` to give up at.

        Raises:
            TimeoutError: the other side does not take it.
            OSError: the connection is gone.
        """
        self.midway = False
        for piece in pieces:
            sent = self._send_some(piece)
            self.midway = self.midway or sent > 0
            if sent < len(piece):
                view = memoryview(piece)[sent:]
                while view:
                    sent = self._send_some(view)
                    if sent:
                        self.midway = True
                        view = view[sent:]
                    elif not wait_for(self.sock, writing=True, timeout=remaining(limit)):
                        raise TimeoutError('the server takes no more data')
        self.midway = False

    def _send_some(self, data: Any) -> int:
        sock = self.sock
        if sock is None:
            raise ConnectionResetError(errno.ECONNRESET, 'the connection is closed')
        try:
            return self._send(sock, data)
        except self._again:
            return 0

    def drop(self) -> None:
        """Close the descriptor and nothing else: the connection belongs to another process."""
        sock, self.sock = self.sock, None
        self.connected = False
        if sock is not None:
            sock.close()


class TCPWire(Wire, TCPTransport):  # type: ignore[misc]  # py-amqp is untyped
    """A plain TCP connection."""


class TLSWire(Wire, SSLTransport):  # type: ignore[misc]  # py-amqp is untyped
    """A TLS connection.

    OpenSSL does not allow a read and a write of one connection at the same time; as neither blocks,
    a lock around each call costs nobody anything.
    """

    _again = _TLS_AGAIN

    def _setup_transport(self) -> None:
        self.lock = threading.Lock()
        self.sock = self._wrap_socket(self.sock, **self.sslopts)
        self.sock.settimeout(_some_time(self.limit))
        self.sock.do_handshake()
        self.sock.settimeout(0.0)

    def _wrap_socket(self, sock: Any, context: Any = None, **options: Any) -> Any:
        if isinstance(context, ssl.SSLContext):
            return context.wrap_socket(
                sock,
                server_hostname=options.get('server_hostname'),
                do_handshake_on_connect=False,
            )
        return super()._wrap_socket(sock, context, **options)

    def _recv(self, sock: Any, size: int) -> bytes:
        with self.lock:
            return super()._recv(sock, size)

    def _send(self, sock: Any, data: Any) -> int:
        with self.lock:
            return super()._send(sock, data)

    def wait_readable(self, timeout: float | None) -> bool:
        """Wait until there is something to receive; False when `timeout` (seconds) has passed."""
        sock = self.sock
        return (sock is not None and sock.pending() > 0) or super().wait_readable(timeout)

    def _shutdown_transport(self) -> None:
        """Say goodbye in the words of TLS, without waiting for an answer."""
        if isinstance(self.sock, ssl.SSLSocket):
            # Where there was no handshake there is nothing to end.
            with self.lock, suppress(ValueError):
                self.sock.unwrap()
