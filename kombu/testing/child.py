"""Other processes: what a scenario kills, freezes, or keeps out of its own figures.

The parent's side is `Child`.  The child's side is `main`, with one function for each task; it
reports on standard output, a line an event, and takes commands on standard input.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer, Producer

from .checks import Broken
from .leaks import measure_idle, measure_reconnects

__all__ = ('Child', 'main')

PROGRAM = 'from kombu.testing.child import main; main()'


class Child:
    """A child process at work on a task.

    Args:
        task: one of `TASKS`.
        url: broker.
        connect_args: further arguments of its `kombu.Connection`; must be expressible in JSON.
        arguments: of the task.
    """

    def __init__(self, task: str, url: str, connect_args: dict[str, Any], **arguments: Any) -> None:
        self.task = task
        self.lines: list[str] = []
        self._incoming: queue.Queue[str | None] = queue.Queue()
        plan = json.dumps(
            {'task': task, 'url': url, 'connect_args': connect_args, 'arguments': arguments}
        )
        path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, '-c', PROGRAM, plan],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, 'PYTHONPATH': path},
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name=f'child {task}')
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._incoming.put(line.rstrip('\n'))
        self._incoming.put(None)

    def line(self, start: str, timeout: float = 15.0) -> str:
        """Wait for a line that starts with `start`; return what follows it.

        Raises:
            Broken: no such line came within `timeout` seconds, or before the child ended.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                line = self._incoming.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise self._broken(f'said no {start!r} in {timeout:g} s') from None
            if line is None:
                self._incoming.put(None)
                raise self._broken(f'ended without saying {start!r}')
            self.lines.append(line)
            if line.startswith(start):
                return line[len(start) :].strip()

    def _broken(self, problem: str) -> Broken:
        said = '\n'.join(self.lines[-15:])
        return Broken(f'child process ({self.task}) {problem}; it said:\n{said}')

    def said(self, start: str) -> list[str]:
        """Return what followed `start` in each line so far; all lines once the child has ended."""
        if self._process.poll() is not None:
            self._reader.join(5)
        while not self._incoming.empty():
            line = self._incoming.get()
            if line is None:
                self._incoming.put(None)
                break
            self.lines.append(line)
        return [line[len(start) :].strip() for line in self.lines if line.startswith(start)]

    def tell(self, command: str) -> None:
        """Give the child a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + '\n')
        self._process.stdin.flush()

    def freeze(self) -> None:
        """Stop the process where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process with -9 and wait for its end."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                pass

    def join(self, timeout: float) -> int:
        """Wait for the end of the process and return its exit status.

        Raises:
            Broken: it goes on for more than `timeout` seconds.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._broken(f'still runs after {timeout:g} s') from None


def say(*words: object) -> None:
    """Report a line to the parent."""
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


def drain(connection: Any, seconds: float = 0.2) -> None:
    """Drain once."""
    try:
        connection.drain_events(timeout=seconds)
    except TimeoutError:
        pass


def commands() -> queue.Queue[str]:
    """Read standard input in a thread of its own."""
    incoming: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            incoming.put(line.strip())
        os._exit(3)  # the parent is gone

    threading.Thread(target=read, daemon=True).start()
    return incoming


def hold(connection: Any, name: str, prefetch: int = 1, busy: bool = False) -> None:
    """Take messages and keep them; with `busy` never come back from the first callback.

    Commands: `ack`, `reject`, `requeue` (the messages in hand), `close` (the channel), `release`
        (the connection).
    """
    incoming = commands()
    held: list[Any] = []
    channel = connection.channel()

    def take(message: Any) -> None:
        held.append(message)
        say('took', message.body if isinstance(message.body, str) else bytes(message.body).decode())
        while busy:
            time.sleep(60)

    consumer: Any = Consumer(channel, [Queue(name)], on_message=take, auto_declare=False)
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    say('ready')
    while True:
        drain(connection, 0.1)
        try:
            command = incoming.get_nowait()
        except queue.Empty:
            continue
        try:
            if command == 'close':
                channel.close()
            elif command == 'release':
                connection.release()
            else:
                for message in held:
                    getattr(message, command)()
        except Exception as exc:
            say('failed', command, type(exc).__name__, exc)
        say('done', command)
        if command in ('close', 'release'):
            time.sleep(60)


def work(
    connection: Any, name: str, prefetch: int = 10, die_at: int = -1, die: str = 'before-ack'
) -> None:
    """Acknowledge every message; die by SIGKILL at the one with index `die_at`.

    `die` is `on-arrival` (nothing done with it), `before-ack` (its line is written) or `after-ack`.
    """
    seen = 0

    def kill(point: str) -> None:
        if seen == die_at and die == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def handle(message: Any) -> None:
        nonlocal seen
        kill('on-arrival')
        say('got', message.decode())
        kill('before-ack')
        message.ack()
        say('acked', message.decode())
        kill('after-ack')
        seen += 1

    consumer: Any = Consumer(
        connection.channel(), [Queue(name)], on_message=handle, auto_declare=False
    )
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    say('ready')
    while True:
        drain(connection)


def publish(connection: Any, name: str, count: int) -> None:
    """Publish the numbers below `count`, and tell each one for which `publish` has returned."""
    producer: Any = Producer(connection.channel(), auto_declare=False)
    say('ready')
    for number in range(count):
        producer.publish(number, exchange='', routing_key=name)
        say('sent', number)


def idle(connection: Any, name: str, seconds: float) -> None:
    """Wait for messages that do not come, and tell the CPU time it took."""
    say('figures', json.dumps(measure_idle(connection, name, seconds)))


def reconnect(connection: Any, name: str, count: int) -> None:
    """Connect, use and release `count` times, and tell what is left of it."""
    say('figures', json.dumps(measure_reconnects(connection, name, count)))


TASKS: dict[str, Callable[..., None]] = {
    'hold': hold,
    'work': work,
    'publish': publish,
    'idle': idle,
    'reconnect': reconnect,
}


def main() -> None:
    """Run the task described by the first argument, in JSON."""
    plan = json.loads(sys.argv[1])
    connection = Connection(plan['url'], **plan['connect_args'])
    TASKS[plan['task']](connection, **plan['arguments'])
