"""One open engine per process, and its shared participant: made when first needed, and again after a fork."""

from __future__ import annotations

import os
import threading
from typing import Any

from . import _core
from ._errors import AlreadyExists, NotFound

_generation = 0
_REMOVED = "the engine was removed"


def _count_fork() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_count_fork)


def fork_generation() -> int:
    return _generation


class Handles:
    """The engine of one directory, as this process has it open."""

    def __init__(self, path: str, keeper: bool) -> None:
        self.path = path
        self.keeper = keeper
        self._lock = threading.Lock()
        self._generation = -1
        self._engine: _core.Engine | None = None
        self._producer: _core.Participant | None = None
        self._numbers: dict[tuple[str, str], int] = {}

    def _open(self) -> _core.Engine:
        with self._lock:
            if self._engine is None or self._generation != _generation:
                # The parent's objects are only forgotten: the engine leaves what is not this process's.
                self._producer = None
                self._engine = _core.Engine(self.path, keeper=self.keeper)
                self._numbers = {}
                self._generation = _generation
            return self._engine

    @property
    def engine(self) -> _core.Engine:
        if self._generation == _generation and self._engine is not None:
            return self._engine
        if self._generation != _generation:
            self._lock = threading.Lock()  # another thread of the parent may have held it
        return self._open()

    @property
    def producer(self) -> _core.Participant:
        """Bound to the process. Its calls do not release the interpreter's lock, so they come one at a time."""
        engine = self.engine
        if self._producer is None:
            self._producer = engine.attach("producer", process_bound=True)
        return self._producer

    def number(self, what: str, name: str) -> int:
        """The number of a kind, level or retry policy."""
        key = (what, name)
        engine = self.engine
        number = self._numbers.get(key)
        if number is None:
            look: Any = {"kind": engine.kind, "level": engine.level, "retry_policy": engine.retry_policy}[what]
            number = self._numbers[key] = int(look(name))
        return number

    def made_level(self, name: str) -> int:
        """The number of a level, which is made if there is none."""
        try:
            return self.number("level", name)
        except NotFound:
            try:
                self.engine.add_level(name)
            except AlreadyExists:  # another process was faster
                pass
            return self.number("level", name)

    def forget_removed(self, error: NotFound) -> bool:
        """Whether an error says that the engine was removed. Then the next call opens what stands there now."""
        if _REMOVED not in str(error):
            return False
        with self._lock:
            self._engine = None
            self._producer = None
            self._generation = -1
        return True

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and producer.is_mine:
            producer.detach()
        self._engine = None
