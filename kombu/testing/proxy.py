"""A TCP proxy that misbehaves on request.

It stands between a client and a broker and does to the bytes what networks do: loses them, delays
them, delivers them one at a time, cuts the connection between any two of them.  Everything happens
on the loopback interface, in threads.

Directions are named as the client sees them: `'up'` runs to the broker, `'down'` comes back.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

__all__ = ('DOWN', 'UP', 'Proxy', 'proxied')

UP, DOWN = 'up', 'down'
BOTH = (UP, DOWN)

#: Closing a socket with this option set sends RST.
ABORT = struct.pack('ii', 1, 0)
CHUNK = 1 << 16


@dataclass(frozen=True)
class Faults:
    """What is done to the bytes at present."""

    stalled: frozenset[str] = frozenset()
    swallowed: frozenset[str] = frozenset()
    latency: float = 0.0
    slice: int = 0
    pause: float = 0.0
    refusing: bool = False


@dataclass(eq=False)
class Link:
    """One client's connection and its other half."""

    client: socket.socket
    broker: socket.socket
    cut: bool = False
    pumps: int = 2
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ends(self, direction: str) -> tuple[socket.socket, socket.socket]:
        return (self.client, self.broker) if direction == UP else (self.broker, self.client)

    def sever(self, *, reset: bool) -> None:
        """End the link for both sides; the sockets are closed when the last pump has left them."""
        self.cut = True
        for sock in (self.client, self.broker):
            with suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                    sock.shutdown(socket.SHUT_RD)
                else:
                    sock.shutdown(socket.SHUT_RDWR)

    def leave(self) -> bool:
        """Count a pump out; True for the last one, which has closed the sockets."""
        with self.lock:
            self.pumps -= 1
            if self.pumps:
                return False
        self.client.close()
        self.broker.close()
        return True


class Proxy:
    """Forward connections to a server until told to misbehave.

    Args:
        upstream: host and port of the server.
        host: address to listen on.

    Attributes:
        port: where it listens.
        accepted: number of connections taken so far.
        passed: number of bytes forwarded so far, by direction.
    """

    def __init__(self, upstream: tuple[str, int], *, host: str = '127.0.0.1') -> None:
        self.upstream = upstream
        self.host = host
        self.accepted = 0
        self.passed = {UP: 0, DOWN: 0}
        self._faults = Faults()
        self._budget: dict[str, int] = {}
        self._budget_resets = True
        self._tap: bytearray | None = None
        self._links: set[Link] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    def __repr__(self) -> str:
        return f'<Proxy {self.host}:{self.port} -> {self.upstream[0]}:{self.upstream[1]}>'

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- faults

    def stall(self, *directions: str) -> None:
        """Hold back the bytes of `directions` (both by default); the connections stay open."""
        self._set(stalled=frozenset(directions or BOTH))

    def swallow(self, *directions: str) -> None:
        """Throw away the bytes of `directions` (both by default); the connections stay open."""
        self._set(swallowed=frozenset(directions or BOTH))

    def slow(self, *, latency: float = 0.0, slice: int = 0, pause: float = 0.0) -> None:
        """Delay everything.

        Args:
            latency: seconds before each chunk.
            slice: forward at most so many bytes at a time; 0 means whole chunks.
            pause: seconds between slices.
        """
        self._set(latency=latency, slice=slice, pause=pause)

    def refuse(self) -> None:
        """Answer new connections with RST."""
        self._set(refusing=True)

    def heal(self) -> None:
        """Behave again; what was stalled goes on, what was swallowed is gone."""
        with self._changed:
            self._budget = {}
            self._faults = Faults()
            self._changed.notify_all()

    def cut(self, *, reset: bool = True) -> int:
        """Cut every connection now, with RST or (`reset=False`) with FIN; return how many there
        were."""
        with self._changed:
            links = list(self._links)
            self._links.clear()
        for link in links:
            link.sever(reset=reset)
        with self._changed:
            self._changed.notify_all()
        return len(links)

    def cut_after(self, nbytes: int, *, direction: str = UP, reset: bool = True) -> None:
        """Cut every connection once `nbytes` more bytes have gone in `direction`; then behave
        again."""
        with self._changed:
            self._budget[direction] = nbytes
            self._budget_resets = reset

    def tap(self) -> bytearray:
        """Return a buffer that gets a copy of everything clients send from now on."""
        self._tap = bytearray()
        return self._tap

    @property
    def armed(self) -> bool:
        """Whether a cut asked for with `cut_after` is still to come."""
        return bool(self._budget)

    def unlisten(self) -> None:
        """Stop listening: new connections are refused by the operating system."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def listen(self) -> None:
        """Listen (again), on the same port as before."""
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port))
            self.port = self._listener.getsockname()[1]
            self._spawn(self._accept, self._listener)

    def close(self) -> None:
        """Stop listening and cut everything."""
        self._closed = True
        self.unlisten()
        self.heal()
        self.cut()

    # -- threads

    def _set(self, **changes: Any) -> None:
        with self._changed:
            self._faults = replace(self._faults, **changes)
            self._changed.notify_all()

    def _spawn(self, target: Callable[..., object], *args: object) -> None:
        threading.Thread(target=target, args=args, daemon=True, name='proxy').start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                if self._faults.refusing:
                    raise ConnectionRefusedError
                broker = socket.create_connection(self.upstream, 5)
                broker.settimeout(None)
            except OSError:
                with suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                client.close()
                continue
            for sock in (client, broker):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, broker)
            with self._changed:
                self._links.add(link)
            for direction in BOTH:
                self._spawn(self._pump, link, direction)

    def _pump(self, link: Link, direction: str) -> None:
        source, sink = link.ends(direction)
        try:
            while data := source.recv(CHUNK):
                self._hold(link, direction)
                if link.cut:
                    break
                if direction not in self._faults.swallowed:
                    self._forward(sink, data, direction)
        except OSError:
            pass
        finally:
            if not link.cut:
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
            if link.leave():
                with self._changed:
                    self._links.discard(link)

    def _hold(self, link: Link, direction: str) -> None:
        with self._changed:
            while direction in self._faults.stalled and not (link.cut or self._closed):
                self._changed.wait(1.0)

    def _forward(self, sink: socket.socket, data: bytes, direction: str) -> None:
        if self._tap is not None and direction == UP:
            self._tap += data
        faults = self._faults
        if faults.latency:
            time.sleep(faults.latency)
        with self._changed:
            budget = self._budget.get(direction)
            cut = budget is not None and len(data) >= budget
            if cut:
                data = data[:budget]
                self._budget = {}
            elif budget is not None:
                self._budget[direction] = budget - len(data)
        step = faults.slice or len(data) or 1
        for start in range(0, len(data), step):
            sink.sendall(data[start : start + step])
            if faults.pause:
                time.sleep(faults.pause)
        self.passed[direction] += len(data)
        if cut:
            self.cut(reset=self._budget_resets)


@contextmanager
def proxied(
    url: str, default_port: int = 0, *, host: str = '127.0.0.1'
) -> Iterator[tuple[str, Proxy]]:
    """Put a `Proxy` in front of the server of `url`.

    Args:
        url: a broker URL with one host.
        default_port: the server's port where the URL names none.
        host: address the proxy listens on.

    Yields:
        The URL that leads through the proxy, and the proxy.
    """
    parts = urlsplit(url)
    port = parts.port or default_port
    if not parts.hostname or not port:
        raise ValueError('the URL must name a host and a port to put a proxy in front of them')
    with Proxy((parts.hostname, port), host=host) as proxy:
        user, at, _ = parts.netloc.rpartition('@')
        yield parts._replace(netloc=f'{user}{at}{host}:{proxy.port}').geturl(), proxy
