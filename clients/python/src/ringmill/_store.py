"""Values by key, with a time to live and counters that no increment misses: one SQLite file beside the engine's.

Results of Celery are kept here, of any size. All calls may be made from any thread and after a fork.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence

from ._handles import fork_generation
from ._mailboxes import folder_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON entries (expires) WHERE expires IS NOT NULL;
"""
SWEEP_EVERY = 30.0  # seconds between two deletions of what has expired
MOST_IN_SWEEP = 10_000


class Store:
    def __init__(self, directory: str) -> None:
        self.path = os.path.join(folder_of(directory), "results.db")
        self._local = threading.local()
        self._swept = time.monotonic()

    @property
    def _connection(self) -> sqlite3.Connection:
        """Of this thread of this process: SQLite's are not to be carried over a fork."""
        made: tuple[int, sqlite3.Connection] | None = getattr(self._local, "made", None)
        if made is not None and made[0] == fork_generation():
            return made[1]
        if made is not None:
            _parents.append(made[1])  # closing it would touch the parent's locks
        connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        self._local.made = (fork_generation(), connection)
        return connection

    def get(self, key: bytes) -> bytes | None:
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes] = {}
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(
                f"SELECT key, value FROM entries WHERE key IN ({marks}) AND (expires IS NULL OR expires > ?)",
                (*part, time.time()),
            )
            found.update((bytes(key), bytes(value)) for key, value in rows)
        return [found.get(key) for key in keys]

    def set(self, key: bytes, value: bytes, ttl: float | None = None) -> None:
        expires = None if not ttl else time.time() + ttl
        self._connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, value, expires))
        if time.monotonic() - self._swept > SWEEP_EVERY:
            self.sweep()

    def increment(self, key: bytes) -> int:
        """Adds one to a counter, which begins with 0; returns what it is then."""
        rows = self._connection.execute(
            "INSERT INTO entries VALUES (?1, '1', NULL) ON CONFLICT (key) DO UPDATE SET value = "
            "CASE WHEN expires <= ?2 THEN '1' ELSE CAST(CAST(value AS INTEGER) + 1 AS TEXT) END, "
            "expires = CASE WHEN expires <= ?2 THEN NULL ELSE expires END RETURNING value",
            (key, time.time()),
        )
        return int(rows.fetchall()[0][0])

    def expire(self, key: bytes, ttl: float) -> None:
        self._connection.execute("UPDATE entries SET expires = ? WHERE key = ?", (time.time() + ttl, key))

    def delete(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))

    def sweep(self) -> int:
        """Deletes what has expired."""
        self._swept = time.monotonic()
        deleted = self._connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE expires <= ? LIMIT ?)",
            (time.time(), MOST_IN_SWEEP),
        )
        return deleted.rowcount


_parents: list[sqlite3.Connection] = []
