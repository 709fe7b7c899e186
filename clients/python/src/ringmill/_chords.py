"""What is counted of a chord in the engine: which of its parts have returned, and with what.

A part that runs again counts once, so its id stands in a list. The list is cut into shards, which processes change by
compare and swap; the last part finds all of them in it, whichever process wrote them.
"""

from __future__ import annotations

import zlib

from ._store import Store

SHARDS = 8
_MOST_TRIES = 1000
LAST = 1 << 62  # the place of a part without an index


class Chord:
    """The state of one chord. `key`: of its group; `ttl`: how long it may take, in seconds."""

    def __init__(self, store: Store, key: bytes, ttl: float | None) -> None:
        self._store = store
        self._key = key
        self._ttl = ttl or 10 * 365 * 86400.0

    def set_size(self, size: int) -> None:
        """Begins a run. A chord that is applied again has the same key."""
        self._store.delete(self._of(".done"))
        self._store.set(self._of(".size"), b"%d" % size, self._ttl)

    def add_part(self) -> None:
        """A part that a running one has added."""
        self._store.increment(self._of(".more"), 1, self._ttl)

    def part_returned(self, index: int | None, part: str, value: bytes) -> bool:
        """Returns whether this was the last part to return, so that the caller has to go on with the callback."""
        key = part.encode()
        done_by = self._store.get(self._of(".done"))
        if done_by is not None and done_by != key:
            return False
        self._store.set(self._part(key), value, self._ttl)
        self._add(LAST if index is None else index, key)
        size = self._store.get(self._of(".size"))
        if size is None or self._count() != int(size) + int(self._store.get(self._of(".more")) or 0):
            return False
        # Two parts may find the list whole. One that was killed after this step runs again, and is let through.
        if self._store.set(self._of(".done"), key, self._ttl, only_if_absent=True):
            return True
        return self._store.get(self._of(".done")) == key

    def values(self) -> list[bytes]:
        """Of all parts, in the order of the chord."""
        rows = sorted(row for shard in range(SHARDS) for row in _rows(self._store.get(self._shard(shard))))
        found = [self._store.get(self._part(part)) for _, part in rows]
        return [value for value in found if value is not None]

    def forget(self) -> None:
        """Ends it. What says that it is done stays for some time, for parts that run again."""
        for shard in range(SHARDS):
            for _, part in _rows(self._store.get(self._shard(shard))):
                self._store.delete(self._part(part))
            self._store.delete(self._shard(shard))
        for suffix in (".size", ".more"):
            self._store.delete(self._of(suffix))

    def _of(self, suffix: str) -> bytes:
        return self._key + suffix.encode()

    def _part(self, part: bytes) -> bytes:
        return self._of(".part.") + part

    def _shard(self, number: int) -> bytes:
        return self._of(f".list.{number}")

    def _add(self, index: int, part: bytes) -> None:
        key = self._shard(zlib.crc32(part) % SHARDS)
        row = b"%d %s\n" % (index, part)
        for _ in range(_MOST_TRIES):
            found = self._store.get_version(key)
            before = found[0] if found is not None else b""
            if b" %s\n" % part in before or self._store.swap(key, found, before + row, self._ttl):
                return
        raise RuntimeError(f"the list of a chord changed {_MOST_TRIES} times while a part was added")

    def _count(self) -> int:
        lists = (self._store.get(self._shard(shard)) for shard in range(SHARDS))
        return sum(found.count(b"\n") for found in lists if found is not None)


def _rows(shard: bytes | None) -> list[tuple[int, bytes]]:
    rows = [line.split(b" ", 1) for line in (shard or b"").splitlines()]
    return [(int(index), part) for index, part in rows]
