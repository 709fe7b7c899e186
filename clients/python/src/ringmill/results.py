"""What a caller holds of a task that it has enqueued."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _core
from ._errors import NotFound, TaskCancelled, TaskError, TimedOut
from ._handles import fork_generation

if TYPE_CHECKING:
    from .app import App
    from .serializers import Serializer

T = TypeVar("T")

#: A result that begins so names the value of the engine where it is: it is longer than its cell has room for.
KEPT_ELSEWHERE = b"\0ringmill.result:"
OVER = frozenset({"completed", "dead", "cancelled", "ended"})
_waiters: tuple[int, ThreadPoolExecutor] | None = None


def _threads() -> ThreadPoolExecutor:
    """The threads that wait for `await`: of this process, not of its parent."""
    global _waiters
    if _waiters is None or _waiters[0] != fork_generation():
        _waiters = (fork_generation(), ThreadPoolExecutor(max_workers=64, thread_name_prefix="ringmill-wait"))
    return _waiters[1]


def progress_key(id: int) -> bytes:
    """Where a task says how far it is, if it shares its participant with others: the engine has one place for each."""
    return b"\0ringmill.progress:%016x" % id


def keep_elsewhere(app: App, id: int, attempt: int, result: bytes, seconds: float) -> bytes:
    """Keeps a long result as a value of the engine. Returns what the job's own result is then."""
    name = b"%016x.%d" % (id, attempt)
    app.store.set(KEPT_ELSEWHERE + name, result, seconds)
    return KEPT_ELSEWHERE + name


def whole_result(app: App, result: bytes) -> bytes:
    """What the task has returned, wherever it is."""
    if not result.startswith(KEPT_ELSEWHERE):
        return result
    kept = app.store.get(result)
    if kept is None:
        raise NotFound("the result was kept for its time and is gone, or had to make room for later ones")
    return kept


class Result(Generic[T]):
    """The result of one enqueued task. Only its id travels: Result(app, id) is the same in any process."""

    def __init__(self, app: App, id: int, serializer: Serializer | None = None) -> None:
        self.app = app
        self.id = id
        self._serializer = serializer or app.serializer

    def __repr__(self) -> str:
        return f"<ringmill.Result {self.id:016x}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def info(self) -> _core.JobInfo:
        """All that is known of the job: state, attempts, last_error, progress, times."""
        return self.app.engine.job(self.id)

    @property
    def state(self) -> str:
        """queued, delayed, blocked, running, completed, dead, cancelled; or ended: over, and no result was kept."""
        return str(self.info().state)

    def ready(self) -> bool:
        return self.state in OVER

    def progress(self) -> tuple[int, str]:
        """How far a running task says that it is; (0, "") when it says nothing, or does not run."""
        info = self.info()
        if info.state != "running":
            return 0, ""
        kept = self.app.store.get(progress_key(self.id))
        if kept is None:
            return info.progress, info.progress_text
        number, text = json.loads(kept)
        return number, text

    def cancel(self) -> str:
        """Ends a task that waits, or asks a running one to stop: before_start, asked_to_stop, already_over."""
        return str(self.app.producer.cancel(self.id))

    def get(self, timeout: float | None = None) -> T:
        """Waits for the end, and returns the result. Raises TaskError, TaskCancelled, TimedOut.

        A task with keep_result=0, or whose result was kept for its time and is gone, returns None.
        """
        return self._value_of(self.app.engine.wait(self.id, timeout))

    def _value_of(self, info: _core.JobInfo) -> T:
        if info.state == "dead":
            raise TaskError(info.last_error or info.cause, info.cause)
        if info.state == "cancelled":
            raise TaskCancelled(f"task {self.id:016x} was cancelled")
        if info.state == "ended" or not info.result:
            return cast(T, None)
        return cast(T, self._serializer.loads(whole_result(self.app, info.result)))

    def __await__(self) -> Generator[Any, None, T]:
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> T:
        """As get(), without blocking the event loop."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 1.0 if end is None else min(1.0, end - time.monotonic())
            try:
                # Short waits: a cancelled await leaves its thread soon.
                return await loop.run_in_executor(_threads(), self.get, max(left, 0.0))
            except TimedOut:
                if end is not None and time.monotonic() >= end:
                    raise


class GroupResult(Generic[T]):
    """The results of several tasks, in their order."""

    def __init__(self, results: list[Result[T]]) -> None:
        self.results = results

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result[T]]:
        return iter(self.results)

    def ready(self) -> bool:
        return all(result.ready() for result in self.results)

    def get(self, timeout: float | None = None) -> list[T]:
        end = None if timeout is None else time.monotonic() + timeout
        return [result.get(None if end is None else max(0.0, end - time.monotonic())) for result in self.results]

    def __await__(self) -> Generator[Any, None, list[T]]:
        async def gather() -> list[T]:
            return list(await asyncio.gather(*(result.wait() for result in self.results)))

        return gather().__await__()

    def cancel(self) -> None:
        for result in self.results:
            result.cancel()


_PAUSES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)


def _ended(pending: list[Result[T]]) -> list[Result[T]]:
    def is_over(result: Result[T]) -> bool:
        try:
            return result.ready()
        except NotFound:
            return True

    return [result for result in pending if is_over(result)]


def as_completed(results: Iterable[Result[T]], timeout: float | None = None) -> Iterator[Result[T]]:
    """Yields each result when its task has ended."""
    end = None if timeout is None else time.monotonic() + timeout
    pending = list(results)
    turn = 0
    while pending:
        ended = _ended(pending)
        for result in ended:
            pending.remove(result)
            yield result
        if end is not None and pending and time.monotonic() >= end:
            raise TimedOut(f"{len(pending)} tasks have not ended")
        if pending:
            turn = 0 if ended else turn + 1
            time.sleep(_PAUSES[min(turn, len(_PAUSES) - 1)])


async def as_completed_async(results: Iterable[Result[T]]) -> AsyncIterator[Result[T]]:
    """The same in an event loop."""
    pending = list(results)
    turn = 0
    while pending:
        ended = _ended(pending)
        for result in ended:
            pending.remove(result)
            yield result
        turn = 0 if ended else turn + 1
        await asyncio.sleep(_PAUSES[min(turn, len(_PAUSES) - 1)])
