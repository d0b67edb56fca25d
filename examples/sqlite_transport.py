"""A complete transport: queues and bindings in one SQLite file, shared by any number of processes.

`docs/internals/writing-a-transport.rst` builds it step by step, and the conformance suite proves
it.  To try it::

    python examples/sqlite_transport.py
    python examples/sqlite_transport.py sqlite:////tmp/broker.db
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

# [schema]
SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS binding (
    exchange TEXT, routing_key TEXT, pattern TEXT, queue TEXT,
    UNIQUE (exchange, routing_key, pattern, queue)
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of the queue
    queue TEXT, tag TEXT,                  -- the two together name a message
    envelope TEXT,
    expires REAL,                          -- seconds since the epoch, or NULL
    holder TEXT                            -- who has taken it; NULL: it is ready
);
CREATE INDEX IF NOT EXISTS ready ON message (queue, holder, id);
CREATE INDEX IF NOT EXISTS tags ON message (queue, tag);
"""
CLAIM = """
UPDATE message SET holder = ? WHERE id =
    (SELECT id FROM message WHERE queue = ? AND holder IS NULL ORDER BY id LIMIT 1)
RETURNING envelope
"""
READY = 'FROM message WHERE queue = ? AND holder IS NULL'
# [/schema]


# [channel]
class Channel(virtual.Channel):
    """The store, as the virtual broker asks for it."""

    supports_fanout = True
    do_restore = False  # what a process holds comes back by itself when the process has ended

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.database = connection.connect()
        self._next_look = 0.0

    def _on_close(self) -> None:
        self.database.close()

    # [/channel]
    # [messages]
    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        properties = message['properties']
        row = (
            queue,
            properties['delivery_tag'],
            dumps(message),
            properties['delivery_info'].get('expires_at'),
        )
        sql = 'INSERT INTO message (queue, tag, envelope, expires) VALUES (?, ?, ?, ?)'
        self.database.execute(sql, row)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        self._give_back_of_the_dead()
        # Looking first costs an idle consumer no lock for writing.
        if self.database.execute(f'SELECT 1 {READY} LIMIT 1', (queue,)).fetchone():
            for (envelope,) in self.database.execute(
                CLAIM, (self.connection.holder.name, queue)
            ).fetchall():
                message: dict[str, Any] = loads(envelope)
                return message
        raise Empty

    def _settle(self, queue: str, message: dict[str, Any]) -> None:
        tag = message['properties']['delivery_tag']
        self.database.execute('DELETE FROM message WHERE queue = ? AND tag = ?', (queue, tag))

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        # It kept its number, so it is where it was.
        self.database.execute(
            'UPDATE message SET envelope = ?, holder = NULL WHERE queue = ? AND tag = ?',
            (dumps(message), queue, message['properties']['delivery_tag']),
        )

    # [/messages]
    # [queues]
    def _purge(self, queue: str) -> int:
        return self.database.execute(f'DELETE {READY}', (queue,)).rowcount

    def _size(self, queue: str) -> int:
        sql = f'SELECT count(*) {READY} AND (expires IS NULL OR expires > ?)'
        size: int = self.database.execute(sql, (queue, time())).fetchone()[0]
        return size

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self.database.execute('INSERT OR IGNORE INTO queue VALUES (?)', (queue,))

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        sql = 'SELECT 1 FROM queue WHERE name = ?'
        return self.database.execute(sql, (queue,)).fetchone() is not None

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.database.execute('DELETE FROM message WHERE queue = ?', (queue,))
        self.database.execute('DELETE FROM binding WHERE queue = ?', (queue,))
        self.database.execute('DELETE FROM queue WHERE name = ?', (queue,))

    # [/queues]
    # [bindings]
    def _queue_bind(
        self, exchange: str, routing_key: str, pattern: str | None, queue: str
    ) -> None:
        row = (exchange, routing_key or '', pattern or '', queue)
        self.database.execute('INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)', row)

    def get_table(self, exchange: str) -> list[Any]:
        super().get_table(exchange)  # raises for an exchange that is not declared
        sql = 'SELECT routing_key, pattern, queue FROM binding WHERE exchange = ?'
        return self.database.execute(sql, (exchange,)).fetchall()

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = '', *args: Any, **kw: Any
    ) -> None:
        super().queue_unbind(queue, exchange, routing_key, *args, **kw)
        self.database.execute(
            'DELETE FROM binding WHERE queue = ? AND exchange = ? AND routing_key = ?',
            (queue, exchange or '', routing_key),
        )

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        super().exchange_delete(exchange, if_unused, nowait)
        self.database.execute('DELETE FROM binding WHERE exchange = ?', (exchange,))

    # [/bindings]
    # [dead]
    def _give_back_of_the_dead(self) -> None:
        """Once a second, release what is held by processes that have ended."""
        if monotonic() < self._next_look:
            return
        self._next_look = monotonic() + 1
        held = 'SELECT DISTINCT holder FROM message WHERE holder IS NOT NULL'
        for (holder,) in self.database.execute(held).fetchall():
            if self.connection.is_alive(holder):
                continue
            sql = 'SELECT queue, envelope FROM message WHERE holder = ?'
            for queue, envelope in self.database.execute(sql, (holder,)).fetchall():
                message = loads(envelope)
                message['properties']['delivery_info']['redelivered'] = True
                self._requeue(queue, message)
            Path(holder).unlink(missing_ok=True)


# [/dead]
# [transport]
class Transport(virtual.Transport):
    """Connects to a file, and shows other processes that this one lives."""

    Channel = Channel
    driver_type = 'sqlite'
    driver_name = 'sqlite3'
    polling_interval = 0.05
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.Error, OSError)

    implements = virtual.Transport.implements.extend(
        exchange_type=frozenset({'direct', 'topic', 'fanout'}),
        persistent=True,
        processes=True,
        passive=True,
        requeue_head=True,
        max_length=True,
        overflow_reject=True,
        exclusive=False,
        auto_delete=False,
    )

    def establish_connection(self) -> Any:
        self.path = Path(self.client.virtual_host).absolute()
        self.holder = open(f'{self.path}.{uuid()}.holder', 'wb')
        fcntl.flock(self.holder, fcntl.LOCK_EX)
        self.connect().executescript(SCHEMA)
        return super().establish_connection()

    def connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        database.execute('PRAGMA journal_mode = WAL')
        return database

    def is_alive(self, holder: str) -> bool:
        """Tell whether somebody has the file `holder` locked."""
        with suppress(FileNotFoundError), open(holder, 'rb') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        self.holder.close()
        Path(self.holder.name).unlink(missing_ok=True)

    def driver_version(self) -> str:
        return sqlite3.sqlite_version


TRANSPORT_ALIASES['sqlite'] = f'{__name__}:Transport'
# [/transport]


def main(url: str) -> None:
    """Put a message into a queue and take it out again, over two connections."""
    with Connection(url) as sender, sender.SimpleQueue('greetings') as queue:
        queue.put({'hello': 'world'})
    with Connection(url) as receiver, receiver.SimpleQueue('greetings') as queue:
        message = queue.get(timeout=5)
        print(f'received {message.payload} from {receiver.as_uri()}')
        message.ack()


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f'sqlite:///{os.path.join(folder, "broker.db")}')
