"""Values by key in the engine, with a time to live and counters that no increment misses.

Results of Celery and Dramatiq are kept here, of any size: what is longer than a payload may be is cut into parts. All
calls may be made from any thread and after a fork.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from ._errors import NotFound
from ._handles import Handles

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_KEY = 96  # bytes; a longer one is replaced by its hash
_PARTS = b"\0ringmill:parts:"  # a value that begins so lists the parts of a longer one
_MOST_TRIES = 100


def _again_if_removed(call: Callable[P, R]) -> Callable[P, R]:
    """An engine that was removed and made anew is opened again: a worker's child may live longer than its engine."""

    @functools.wraps(call)
    def tried(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except NotFound as error:
            store: Any = args[0]
            if not store._handles.forget_removed(error):
                raise
            return call(*args, **kwargs)

    return tried


class Store:
    def __init__(self, handles: Handles) -> None:
        self._handles = handles

    @_again_if_removed
    def get(self, key: bytes) -> bytes | None:
        key = _engine_key(key)
        producer = self._handles.producer
        for _ in range(_MOST_TRIES):
            value = producer.get_value(key)
            if value is None or not value.startswith(_PARTS):
                return value
            parts = [producer.get_value(part) for part in _parts_of(key, value)]
            if None not in parts:
                return b"".join(part for part in parts if part is not None)
            # Another process has replaced it meanwhile, or some part was evicted.
        return None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    @_again_if_removed
    def set(self, key: bytes, value: bytes, ttl: float | None = None, only_if_absent: bool = False) -> bool:
        """Returns whether it was set: False, if only_if_absent kept it from that. No ttl: ten years."""
        key = _engine_key(key)
        producer = self._handles.producer
        most = self._handles.engine.most_payload
        before = producer.get_value(key)
        if len(value) <= most and not value.startswith(_PARTS):
            was_set = producer.set_value(key, value, ttl, only_if_absent)
        else:
            # Parts first, and what lists them last: a reader finds all of one value, or all of the one before.
            token = os.urandom(8).hex()
            pieces = [value[begin : begin + most] for begin in range(0, len(value), most)]
            head = _PARTS + json.dumps([token, len(pieces)]).encode()
            for part, piece in zip(_parts_of(key, head), pieces):
                producer.set_value(part, piece, ttl)
            was_set = producer.set_value(key, head, ttl, only_if_absent)
            if not was_set:
                before = head
        if before is not None:
            self._drop_parts(key, before)
        return was_set

    @_again_if_removed
    def get_version(self, key: bytes) -> tuple[bytes, int] | None:
        """A short value and its version, for swap()."""
        return self._handles.producer.get_value_version(_engine_key(key))

    @_again_if_removed
    def swap(self, key: bytes, found: tuple[bytes, int] | None, value: bytes, ttl: float) -> bool:
        """Sets a short value, if it is still as get_version() has found it."""
        version = None if found is None else found[1]
        return self._handles.producer.set_value(_engine_key(key), value, ttl, found is None, version)

    @_again_if_removed
    def increment(self, key: bytes, by: int = 1, ttl: float | None = None) -> int:
        """Adds to a counter, which begins with 0 and then lives for `ttl`; returns what it is then."""
        return self._handles.producer.increment_value(_engine_key(key), by, ttl)

    @_again_if_removed
    def expire(self, key: bytes, ttl: float) -> None:
        key = _engine_key(key)
        producer = self._handles.producer
        value = producer.get_value(key)
        for part in _parts_of(key, value):
            producer.expire_value(part, ttl)
        producer.expire_value(key, ttl)

    @_again_if_removed
    def delete(self, key: bytes) -> None:
        key = _engine_key(key)
        before = self._handles.producer.get_value(key)
        self._handles.producer.remove_value(key)
        self._drop_parts(key, before)

    def _drop_parts(self, key: bytes, value: bytes | None) -> None:
        for part in _parts_of(key, value):
            self._handles.producer.remove_value(part)


def _engine_key(key: bytes) -> bytes:
    if 0 < len(key) <= LONGEST_KEY:
        return key
    return b"hash:" + hashlib.blake2b(key, digest_size=32).hexdigest().encode()


def _parts_of(key: bytes, value: bytes | None) -> list[bytes]:
    """The keys of the parts that a value lists; none, if it lists none."""
    if value is None or not value.startswith(_PARTS):
        return []
    token, count = json.loads(value[len(_PARTS) :])
    return [b"%s#%s.%d" % (key, token.encode(), number) for number in range(count)]
