"""concurrent.futures on workers of other processes: a worker that is killed costs no future."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor as _Executor
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from .app import App, Task
from .results import Result, _ended
from .serializers import Pickle

P = ParamSpec("P")
T = TypeVar("T")

TASK = "ringmill.call"


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


class _Call(Future[T]):
    """A future that may still be cancelled while no worker has begun with its call."""

    def __init__(self, result: Result[T]) -> None:
        super().__init__()
        self._call = result

    def cancel(self) -> bool:
        if self.done():
            return self.cancelled()
        if self._call.cancel() != "before_start" or not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # tells those that wait
        return True

    def running(self) -> bool:
        return not self.done() and self._call.state == "running"


class Executor(_Executor):
    """Runs functions in the app's workers: make it in the module that they load, too.

    Function, arguments and result travel by pickle, so any process that may enqueue may run code in the workers.
    """

    def __init__(self, app: App, *, level: str = "default", keep_result: float = 3600, max_attempts: int = 3) -> None:
        self._task: Task[..., Any] = app.task(
            name=TASK, serializer=Pickle(), level=level, keep_result=keep_result, max_attempts=max_attempts,
            retry_on=(),
        )(_run)  # fmt: skip
        self._lock = threading.Condition()
        self._pending: dict[Result[Any], _Call[Any]] = {}
        self._watcher: threading.Thread | None = None
        self._is_shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with self._lock:
            if self._is_shut:
                raise RuntimeError("the executor was shut down")
            result = self._task.delay(fn, args, kwargs)
            future: _Call[T] = _Call(result)
            self._pending[result] = future
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="ringmill-executor", daemon=True)
                self._watcher.start()
            self._lock.notify_all()
        return future

    def _watch(self) -> None:
        pause = 0.0005
        while True:
            with self._lock:
                while not self._pending:
                    if self._is_shut:
                        return
                    self._lock.wait()
                pending = list(self._pending)
            ended = _ended(pending)
            for result in ended:
                with self._lock:
                    future = self._pending.pop(result)
                self._resolve(result, future)
            pause = 0.0005 if ended else min(pause * 2, 0.02)
            threading.Event().wait(pause)

    @staticmethod
    def _resolve(result: Result[Any], future: _Call[Any]) -> None:
        if future.cancelled():
            return
        try:
            value = result.get(0)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._is_shut = True
            if cancel_futures:
                for future in list(self._pending.values()):
                    future.cancel()
            self._lock.notify_all()
        if wait and self._watcher is not None:
            self._watcher.join()
