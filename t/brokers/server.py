"""Servers that belong to a test run: on free loopback ports, in a folder, and gone with it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Below the range from which the kernel takes ports for outgoing connections, so that nothing takes
#: one before the server does.
PORTS = range(10_000, 30_000)

#: Seconds that a server may take to answer; build machines share few processors.
START_TIMEOUT = 90.0


class Unavailable(Exception):
    """The server cannot be started here; the text tells the command that installs it."""


def free_ports(count: int) -> list[int]:
    """Return `count` ports of 127.0.0.1 that nobody listens on."""
    found: dict[int, socket.socket] = {}
    try:
        while len(found) < count:
            port = random.choice(PORTS)
            sock = socket.socket()
            try:
                sock.bind(('127.0.0.1', port))
            except OSError:
                sock.close()
            else:
                found[port] = sock
        return list(found)
    finally:
        for sock in found.values():
            sock.close()


def accepts(port: int) -> bool:
    """Tell whether something listens on a port of 127.0.0.1."""
    try:
        with socket.create_connection(('127.0.0.1', port), 1):
            return True
    except OSError:
        return False


def wait_until(
    ready: Callable[[], object],
    what: str,
    *,
    timeout: float = START_TIMEOUT,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until `ready()`; give up after `timeout` seconds, or when `process` has ended."""
    end = time.monotonic() + timeout
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f'{what} ended with status {process.returncode}')
        if time.monotonic() > end:
            raise RuntimeError(f'{what} was not ready within {timeout:.0f} s')
        time.sleep(0.05)


class Server:
    """One server process; subclasses say how it is started and when it is ready.

    Args:
        folder: for everything the server writes.
    """

    name = 'server'

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / 'output'

    def spawn(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a child that dies with this process, however that ends."""
        setpriv = shutil.which('setpriv')
        guarded = [setpriv, '--pdeathsig', 'KILL', *command] if setpriv else list(command)
        with self.log.open('ab') as output:
            return subprocess.Popen(
                guarded,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start the server and wait until it can be used."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the server the way a crash does."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self) -> None:
        """Crash the server and start it again, with the data it has on disk."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop the server without closing its connections: a peer that is silent but there."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the server for good."""
        self.kill()
