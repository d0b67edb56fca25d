"""What the conformance suite runs against, as data.

A `Target` names a broker and says what can be done to it: restarted, frozen, put behind a proxy.
A scenario that needs what the target lacks is *not applicable* and says why; it never counts as
passed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kombu.connection import Connection
from kombu.transport import base

from .proxy import Proxy, proxied

__all__ = ('NEEDS', 'TLS', 'Clock', 'Target')

#: What scenarios may need of a target besides a URL, and what to say where it is missing.
NEEDS: dict[str, str] = {
    'processes': 'no other process can reach this broker',
    'proxy': 'no TCP proxy can be put in front of this broker',
    'kill': 'the target has no kill(): the server cannot be killed from here',
    'restart': 'the target has no restart(): the server cannot be restarted from here',
    'freeze': 'the target has no freeze() and thaw()',
    'other_vhost_url': 'the target names no second virtual host',
    'inject_raw': 'the target cannot put foreign bytes into the store',
    'tls': 'the target names no TLS listener',
    'ordered': 'the store keeps no order',
    'proc': 'this system has no /proc to count file descriptors with',
    'fork': 'this system cannot fork',
}


class Clock(Protocol):
    """The broker's clock, where a test can turn it."""

    def advance(self, seconds: float, /) -> Any:
        """Let `seconds` pass at once."""


@dataclass(frozen=True)
class TLS:
    """A listener that speaks TLS with a certificate for `localhost` and `127.0.0.1`.

    Attributes:
        url: of that listener.
        ca: file with the certificate that signed the server's.
    """

    url: str
    ca: str


@dataclass(frozen=True)
class Target:
    """A broker to prove a transport against.

    Attributes:
        url: the broker, as `kombu.Connection` takes it.
        name: heading in the tables; the scheme of the URL by default.
        transport_options: for every connection.
        connect_args: further arguments of every `kombu.Connection`.
        capabilities: what to hold the transport to, instead of `Transport.implements`; exchange
            types are written `exchange:topic`.
        processes: whether other processes can reach the broker; None asks the transport.
        ordered: whether the store keeps the order of messages at all.
        restart: starts the server again, after `kill` or instead of it; returns when it is ready.
        kill: ends the server as a crash would.
        freeze: stops the server without closing its connections.
        thaw: undoes `freeze`.
        proxy: makes a context manager that gives a URL through a `Proxy`, and that proxy.
        tls: a listener with TLS.
        other_vhost_url: a second virtual host of the same server.
        inject_raw: puts bytes into a queue behind the transport's back.
        clock: the broker's clock, where it can be turned.
        confirm_options: transport options that switch publisher confirms on.
        fault_options: transport options that bound every call to a few seconds, for broken
            networks.
        lease_options: transport options for leases of so many seconds.
        delivery_limit_arguments: queue arguments with which `x-delivery-limit` and
            `x-delivery-count` work.
        limits: scenarios, by id, that the server itself is known not to stand, and why.
        tick: the smallest time, in seconds, that the store's timers tell apart.
        settle: seconds after which what was published can be seen everywhere.
        patience: factor on every time limit, for slow machines.
        reconnects: how often the hygiene scenario connects.
        large: size in bytes of the largest body to carry.
    """

    url: str
    name: str = ''
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    capabilities: frozenset[str] | None = None
    processes: bool | None = None
    ordered: bool = True
    restart: Callable[[], Any] | None = None
    kill: Callable[[], Any] | None = None
    freeze: Callable[[], Any] | None = None
    thaw: Callable[[], Any] | None = None
    proxy: Callable[[], AbstractContextManager[tuple[str, Proxy]]] | None = None
    tls: TLS | None = None
    other_vhost_url: str | None = None
    inject_raw: Callable[[str, bytes], Any] | None = None
    clock: Clock | None = None
    confirm_options: Mapping[str, Any] = field(default_factory=dict)
    fault_options: Mapping[str, Any] = field(default_factory=dict)
    lease_options: Callable[[float], Mapping[str, Any]] = lambda seconds: {
        'visibility_timeout': seconds
    }
    delivery_limit_arguments: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    tick: float = 0.1
    settle: float = 0.1
    patience: float = 1.0
    reconnects: int = 1000
    large: int = 16 << 20

    @classmethod
    def tcp(cls, url: str, **fields: Any) -> Target:
        """Describe a broker that a TCP proxy can stand in front of, port by port of `url`."""
        port = Connection(url).transport.default_port or 0
        return cls(url, proxy=lambda: proxied(url, port), **fields)

    @property
    def title(self) -> str:
        """Heading of this target in the tables."""
        return self.name or self.url.partition('://')[0]

    def connection(self, url: str | None = None, **arguments: Any) -> Connection:
        """Make a connection; `transport_options` are added to the target's own."""
        options = {**self.transport_options, **arguments.pop('transport_options', {})}
        return Connection(
            url or self.url, transport_options=options, **{**self.connect_args, **arguments}
        )

    def claims(self) -> frozenset[str]:
        """Tell what the transport claims; exchange types as `exchange:topic`."""
        if self.capabilities is not None:
            return frozenset(self.capabilities)
        implements = self.connection().transport.implements
        claimed = {name for name in base.CAPABILITIES if implements.get(name)}
        return frozenset(claimed | {f'exchange:{kind}' for kind in implements['exchange_type']})

    def unclaimed(self, requires: Iterable[str]) -> list[str]:
        """Tell what of `requires` the transport does not claim."""
        return sorted(set(requires) - self.claims())

    def missing(self, needs: Iterable[str]) -> list[str]:
        """Tell why a scenario with these `needs` cannot run here; one sentence a need."""
        return [NEEDS[need] for need in sorted(needs) if not self.has(need)]

    def has(self, need: str) -> bool:
        """Tell whether the target offers what `need`, one of `NEEDS`, names."""
        if need == 'processes':
            return 'processes' in self.claims() if self.processes is None else self.processes
        if need == 'freeze':
            return self.freeze is not None and self.thaw is not None
        if need == 'proc':
            return Path('/proc/self/fd').is_dir()
        if need == 'fork':
            return hasattr(os, 'fork')
        return bool(getattr(self, need))
