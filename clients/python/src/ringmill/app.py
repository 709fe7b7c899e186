"""The application: an engine, and the tasks that its workers run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar, overload

from . import _core
from ._durations import Duration, moment_of, seconds_of
from ._errors import AlreadyExists, InvalidArgument, NotFound
from ._handles import Handles
from ._names import engine_name
from ._store import Store
from .canvas import Signature
from .results import Result
from .serializers import Serializer, serializer_named

P = ParamSpec("P")
R = TypeVar("R")
Exceptions = type[BaseException] | tuple[type[BaseException], ...]

DEFAULT_KEEP_RESULT = 300.0  # seconds


class Task(Generic[P, R]):
    """A function that workers run. Called directly it is the function."""

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        level: str = "default",
        max_attempts: int | None = None,
        backoff: str | None = None,
        keep_result: Duration = DEFAULT_KEEP_RESULT,
        unique: bool | Callable[..., str] = False,
        unique_for: Duration = 0,
        lease: Duration | None = None,
        expires: Duration | None = None,
        durability: str = "journaled",
        retry_on: Exceptions = Exception,
        reject_on: Exceptions = (),
        bury_if_lost: bool = False,
        bind: bool = False,
        serializer: str | Serializer | None = None,
    ) -> None:
        self.app = app
        self.function = function
        self.name = name or f"{function.__module__}.{function.__qualname__}"
        self.kind = engine_name(self.name)
        self.level = level
        self.backoff = backoff
        self.unique = unique
        self.unique_for = seconds_of(unique_for)
        self.retry_on = retry_on
        self.reject_on = reject_on
        self.bind = bind
        self.serializer = app.serializer if serializer is None else serializer_named(serializer)
        self.keep_result = seconds_of(keep_result)
        self.job_options: dict[str, Any] = {
            "max_attempts": max_attempts,
            "keep_result": self.keep_result or None,
            "lease": None if lease is None else seconds_of(lease),
            "expires": None if expires is None else seconds_of(expires),
            "durability": durability,
            "bury_if_lost": bury_if_lost or None,
        }
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", self.name)
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<ringmill.Task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        value: R = self.function(*args, **kwargs)
        return value

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueues a call."""
        return self.options().delay(*args, **kwargs)

    def options(
        self,
        *,
        delay: Duration | None = None,
        at: float | datetime | None = None,
        level: str | None = None,
        keep_result: Duration | None = None,
        max_attempts: int | None = None,
        unique: str | None = None,
        tag: str | None = None,
        traceparent: str | None = None,
        serial: str | None = None,
        wait: Duration = 0,
    ) -> Call[P, R]:
        """Says how the next call is enqueued: after a delay, at a moment, in another level, with a unique key, with a
        tag of up to 31 bytes, in a trace (a traceparent of W3C Trace Context), one at a time and in order with the
        other calls of a `serial` key; `wait`: how long for room, if the engine is full."""
        given: dict[str, Any] = {
            "delay": None if delay is None else seconds_of(delay),
            "at": None if at is None else moment_of(at),
            "keep_result": None if keep_result is None else seconds_of(keep_result),
            "max_attempts": max_attempts,
            "tag": tag,
            "traceparent": traceparent,
            "serial_key": serial,
        }
        return Call(self, {k: v for k, v in given.items() if v is not None}, level, unique, seconds_of(wait))

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """The call as a value, for chain(), group() and chord(): they put results of earlier tasks in front of it."""
        return Signature(self, args, kwargs)

    def delay_many(self, calls: Iterable[tuple[Any, ...]], *, wait: Duration = 0) -> list[Result[R]]:
        """Enqueues a call for each tuple of arguments, 64 in a call to the engine. Returns fewer results if there is no
        room for all."""
        app = self.app
        payloads = [self.payload_of(args, {}) for args in calls]
        ids = app.producer.enqueue_batch(
            app.handles.number("kind", self.kind),
            app.handles.number("level", self.level),
            payloads,
            seconds_of(wait),
            **self.engine_options({}),
        )
        return [Result(app, id, self.serializer) for id in ids]

    def payload_of(self, args: tuple[Any, ...], kwargs: dict[str, Any], parents: int = 0) -> bytes:
        """`parents`: 1 puts the result of the one before in front of the arguments, 2 the list of all."""
        if self.serializer.name == "raw":
            if kwargs or parents or len(args) > 1:
                raise TypeError("a raw task takes one argument, bytes")
            return self.serializer.dumps(args[0] if args else b"")
        return self.serializer.dumps([args, kwargs, parents] if parents else [args, kwargs])

    def engine_options(self, given: dict[str, Any]) -> dict[str, Any]:
        options = {**self.job_options, **given}
        if self.backoff is not None:
            options["retry_policy"] = self.app.handles.number("retry_policy", self.backoff)
        return options

    def unique_key(self, args: tuple[Any, ...], kwargs: dict[str, Any], payload: bytes) -> bytes | None:
        if not self.unique:
            return None
        if callable(self.unique):
            return f"{self.name}:{self.unique(*args, **kwargs)}".encode()
        return self.name.encode() + b":" + payload


class Call(Generic[P, R]):
    """A task with options for one call."""

    def __init__(self, task: Task[P, R], options: dict[str, Any], level: str | None, unique: str | None, wait: float):
        self._task = task
        self._options = options
        self._level = level or task.level
        self._unique = unique
        self._wait = wait

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueues the call."""
        task, app = self._task, self._task.app
        payload = task.payload_of(args, kwargs)
        kind = app.handles.number("kind", task.kind)
        level = app.handles.number("level", self._level)
        options = task.engine_options(self._options)
        key = self._unique.encode() if self._unique is not None else task.unique_key(args, kwargs, payload)
        if key is None:
            id = app.producer.enqueue_with(kind, level, payload, self._wait, **options)
        else:
            id, _ = app.producer.enqueue_unique(kind, level, payload, key, task.unique_for, **options)
        return Result(app, id, task.serializer)


class App:
    """An engine and its tasks.

    `create`: make the engine if it is not there, with `create_options` as those of ringmill.create(). `keeper`: this
    process keeps the engine when no other does; False in a parent that forks, if `ringmill keeper` runs.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        create: bool = False,
        *,
        keeper: bool = True,
        serializer: str | Serializer = "json",
        **create_options: Any,
    ) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.serializer = serializer_named(serializer)
        self.tasks: dict[str, Task[..., Any]] = {}
        self.handles = Handles(self.path, keeper)
        if create:
            self._create(create_options)
        elif create_options:
            raise TypeError("options of the engine without create=True")

    def _create(self, options: dict[str, Any]) -> None:
        try:
            self.handles.engine
        except NotFound:
            try:
                _core.create(self.path, **options)
            except AlreadyExists:  # another process was faster
                pass

    def __repr__(self) -> str:
        return f"<ringmill.App {self.path}>"

    @property
    def engine(self) -> _core.Engine:
        return self.handles.engine

    @property
    def producer(self) -> _core.Participant:
        """The participant of this process that enqueues."""
        return self.handles.producer

    @property
    def store(self) -> Store:
        """Values by key, of any size."""
        return Store(self.handles)

    def close(self) -> None:
        """Leaves the engine. The next call opens it again."""
        self.handles.close()

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(self, /, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Makes a task of a function: @app.task, or @app.task(level="high", max_attempts=5, ...)."""

        def decorate(function: Callable[..., Any]) -> Task[..., Any]:
            task: Task[..., Any] = Task(self, function, **options)
            if self.tasks.get(task.kind, task).name != task.name:
                raise InvalidArgument(f"two tasks have the name {task.kind} in the engine")
            self.tasks[task.kind] = task
            return task

        return decorate if function is None else decorate(function)

    def result(self, id: int | str) -> Result[Any]:
        """The result of a task by its id: a number, or its 16 hexadecimal digits."""
        return Result(self, int(id, 16) if isinstance(id, str) else id)
