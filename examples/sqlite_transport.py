"""A complete transport: queues and bindings in one SQLite file, for the processes of a machine.

`docs/internals/writing-a-transport.rst` explains it part by part, and the conformance suite proves
it.  ::

    python examples/sqlite_transport.py
    python examples/sqlite_transport.py sqlite:////tmp/broker.db
"""

from __future__ import annotations

import fcntl
import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS binding (
    exchange TEXT, routing_key TEXT, pattern TEXT, queue TEXT,
    PRIMARY KEY (exchange, routing_key, pattern, queue)
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- its place in the queue
    queue TEXT, tag TEXT,                  -- together they name it
    envelope TEXT,
    expires REAL,                          -- seconds since the epoch, or NULL
    holder TEXT                            -- who has claimed it; NULL while it is ready
);
CREATE INDEX IF NOT EXISTS by_tag ON message (queue, tag);
CREATE INDEX IF NOT EXISTS by_holder ON message (queue, holder, id);
CREATE VIEW IF NOT EXISTS ready AS SELECT * FROM message WHERE holder IS NULL;
"""

CLAIM = """
UPDATE message SET holder = ?
WHERE id = (SELECT min(id) FROM ready WHERE queue = ?)
RETURNING envelope
"""

CLAIM_EXPIRED = """
UPDATE message SET holder = ?
WHERE queue = ? AND holder IS NULL AND expires <= ?
RETURNING id, envelope
"""

# Another process may be faster, and a third may have claimed the message by then.
GIVE_BACK = 'UPDATE message SET holder = NULL, envelope = ? WHERE id = ? AND holder = ?'


class Channel(virtual.Channel):
    """The store, in the words of the virtual broker."""

    supports_fanout = True
    do_restore = False

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        self.database = connection.open()
        self._next_round = 0.0
        super().__init__(connection, **kwargs)

    def _sql(self, statement: str, *values: Any) -> list[Any]:
        return self.database.execute(statement, values).fetchall()

    def _on_close(self) -> None:
        self.database.close()

    # -- messages

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        properties = message['properties']
        self._sql(
            'INSERT INTO message (queue, tag, envelope, expires) VALUES (?, ?, ?, ?)',
            queue,
            properties['delivery_tag'],
            dumps(message),
            properties['delivery_info'].get('expires_at'),
        )

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        if monotonic() >= self._next_round:
            self._next_round = monotonic() + 1
            self._give_back_of_the_dead()
            self._bury_expired()
        # To look first costs an idle consumer no lock for writing.
        if self._sql('SELECT 1 FROM ready WHERE queue = ? LIMIT 1', queue):
            for (envelope,) in self._sql(CLAIM, self.connection.holder, queue):
                message: dict[str, Any] = loads(envelope)
                return message
        raise Empty

    def _settle(self, queue: str, message: dict[str, Any]) -> None:
        tag = message['properties']['delivery_tag']
        self._sql('DELETE FROM message WHERE queue = ? AND tag = ?', queue, tag)

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        # It has kept its number, and with it its place.
        tag = message['properties']['delivery_tag']
        statement = 'UPDATE message SET holder = NULL, envelope = ? WHERE queue = ? AND tag = ?'
        self._sql(statement, dumps(message), queue, tag)

    # -- queues

    def _size(self, queue: str) -> int:
        statement = 'SELECT count(*) FROM ready WHERE queue = ? AND ifnull(expires > ?, TRUE)'
        ((size,),) = self._sql(statement, queue, self._now())
        return int(size)

    def _purge(self, queue: str) -> int:
        statement = 'DELETE FROM message WHERE queue = ? AND holder IS NULL RETURNING id'
        return len(self._sql(statement, queue))

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._sql('INSERT OR IGNORE INTO queue VALUES (?)', queue)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return bool(self._sql('SELECT 1 FROM queue WHERE name = ?', queue))

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._sql('DELETE FROM queue WHERE name = ?', queue)
        self._sql('DELETE FROM binding WHERE queue = ?', queue)
        self._sql('DELETE FROM message WHERE queue = ?', queue)

    # -- bindings

    def _queue_bind(self, exchange: str, routing_key: str, pattern: Any, queue: str) -> None:
        statement = 'INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)'
        self._sql(statement, exchange, routing_key, pattern or '', queue)

    def get_table(self, exchange: str) -> list[Any]:
        super().get_table(exchange)  # raises where it is not declared
        return self._sql(
            'SELECT routing_key, pattern, queue FROM binding WHERE exchange = ?', exchange
        )

    def queue_unbind(
        self, queue: str, exchange: Any = None, routing_key: str = '', *args: Any, **kwargs: Any
    ) -> None:
        super().queue_unbind(queue, exchange, routing_key, *args, **kwargs)
        statement = 'DELETE FROM binding WHERE queue = ? AND exchange = ? AND routing_key = ?'
        self._sql(statement, queue, exchange, routing_key)

    def exchange_delete(self, exchange: str, *args: Any, **kwargs: Any) -> None:
        super().exchange_delete(exchange, *args, **kwargs)
        self._sql('DELETE FROM binding WHERE exchange = ?', exchange)

    # -- once a second

    def _give_back_of_the_dead(self) -> None:
        """Make ready what was claimed by processes that have ended."""
        for (holder,) in self._sql('SELECT DISTINCT holder FROM message WHERE holder NOT NULL'):
            if self.connection.is_alive(holder):
                continue
            held = self._sql('SELECT id, envelope FROM message WHERE holder = ?', holder)
            for number, envelope in held:
                message = loads(envelope)
                message['properties']['delivery_info']['redelivered'] = True
                self._sql(GIVE_BACK, dumps(message), number, holder)
            self.connection.lock_file(holder).unlink(missing_ok=True)

    def _bury_expired(self) -> None:
        """Dead-letter what has expired in the queues that were declared on this connection."""
        for queue in list(self.state.queues):
            expired = self._sql(CLAIM_EXPIRED, self.connection.holder, queue, self._now())
            for _, envelope in sorted(expired):
                message = loads(envelope)
                self._bury(queue, message, 'expired')
                self._settle(queue, message)


class Transport(virtual.Transport):
    """Connects to a file, and shows the other processes that this one lives."""

    Channel = Channel
    driver_type = 'sqlite'
    driver_name = 'sqlite3'
    polling_interval = 0.05
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.Error, OSError)

    implements = virtual.Transport.implements.extend(
        exchange_type=frozenset({'direct', 'topic', 'fanout'}),
        persistent=True,
        processes=True,
        virtual_hosts=True,
        passive=True,
        requeue_head=True,
        max_length=True,
        overflow_reject=True,
        auto_delete=False,
    )

    def establish_connection(self) -> Any:
        self.path = Path(self.client.virtual_host).resolve()
        self.holder = uuid()
        # The system lets go of the lock when the process ends, however it ends.
        self.lock = self.lock_file(self.holder).open('wb')
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        with closing(self.open()) as database:
            database.executescript(SCHEMA)
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        self.lock_file(self.holder).unlink(missing_ok=True)
        self.lock.close()

    def open(self) -> sqlite3.Connection:
        """Connect to the file; a statement is a transaction, and waits 30 s for its turn."""
        return sqlite3.connect(self.path, 30, isolation_level=None, check_same_thread=False)

    def lock_file(self, holder: str) -> Path:
        """Return the file that a holder keeps locked, beside the database."""
        return self.path.with_name(f'{self.path.name}.{holder}')

    def is_alive(self, holder: str) -> bool:
        """Tell whether a holder still has its file locked."""
        try:
            with suppress(FileNotFoundError), self.lock_file(holder).open('rb') as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def driver_version(self) -> str:
        return sqlite3.sqlite_version


TRANSPORT_ALIASES['sqlite'] = f'{__name__}:Transport'


def main(url: str) -> None:
    """Publish over one connection and consume over another."""
    with Connection(url) as connection, connection.SimpleQueue('greetings') as queue:
        queue.put({'hello': 'world'})
    with Connection(url) as connection, connection.SimpleQueue('greetings') as queue:
        message = queue.get(timeout=5)
        print(f'received {message.payload} from {connection.as_uri()}')
        message.ack()


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f'sqlite:///{folder}/broker.db')
