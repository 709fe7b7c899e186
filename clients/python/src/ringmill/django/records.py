"""What is kept of a task beside its job: its arguments, attempts, errors and value, as a value of the engine."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from .._store import Store


@dataclass
class Record:
    """Times are seconds since 1970."""

    task: str  # its path, as module.function
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    priority: int
    run_after: float | None
    enqueued_at: float
    status: str = "READY"
    started_at: float | None = None
    finished_at: float | None = None
    last_attempted_at: float | None = None
    errors: list[tuple[str, str]] = field(default_factory=list)  # class and traceback
    worker_ids: list[str] = field(default_factory=list)  # one for each attempt
    value: Any = None

    @property
    def is_finished(self) -> bool:
        return self.status in ("SUCCESSFUL", "FAILED")

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def start(self, worker: str) -> None:
        self.last_attempted_at = time.time()
        self.started_at = self.started_at or self.last_attempted_at
        self.status = "RUNNING"
        self.worker_ids.append(worker)

    def succeed(self, value: Any) -> None:
        self.status, self.value, self.finished_at = "SUCCESSFUL", value, time.time()

    def fail(self, error: tuple[str, str], is_last: bool) -> None:
        self.errors.append(error)
        self.status = "FAILED" if is_last else "READY"
        if is_last:
            self.finished_at = time.time()


def record_of(data: bytes) -> Record:
    given = json.loads(data)
    return Record(**{**given, "errors": [(path, text) for path, text in given["errors"]]})


class Records:
    """Of one engine. They stay for `keep` seconds after their task has ended."""

    def __init__(self, store: Store, keep: float) -> None:
        self._store = store
        self._keep = keep

    def get(self, token: str) -> Record | None:
        data = self._store.get(_key(token))
        return None if data is None else record_of(data)

    def set(self, token: str, record: Record) -> None:
        self._store.set(_key(token), record.to_bytes(), self._keep if record.is_finished else None)

    def drop(self, token: str) -> None:
        self._store.delete(_key(token))


def _key(token: str) -> bytes:
    return b"django.task:" + token.encode()
