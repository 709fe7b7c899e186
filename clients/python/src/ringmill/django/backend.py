"""The backend: a task is a job of the engine, and a record that says what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from inspect import isclass
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from .._box import LONGEST_LEASE
from .._errors import Error, NotFound
from .._names import engine_name
from .._store import Store
from ..app import App
from . import _api
from .records import Record, Records

KIND = "django.task"
MOST_ATTEMPTS = 15  # as the engine's own default
KEEP_RESULT = 86400.0  # seconds
#: Names of the levels of a queue, the most urgent first, and the least priority that each one takes.
BANDS = ((".urgent", 50), (".high", 1), ("", 0), (".low", -49), (".idle", -100))
_OPTIONS = ("DIRECTORY", "CREATE", "CREATE_OPTIONS", "KEEPER", "DURABILITY", "MAX_ATTEMPTS", "KEEP_RESULT", "LEASE")


@dataclass(frozen=True, slots=True, kw_only=True)
class RingmillTask(_api.Task):
    """@task(retry_on=(ConnectionError,), max_attempts=5, backoff="exponential:1s,2,1h", durability="durable")

    Without `retry_on`, a task that raises has failed, as the standard has it. A task that lost its worker runs again in
    any case, until it has had `max_attempts`.
    """

    retry_on: tuple[type[BaseException], ...] | type[BaseException] = ()
    max_attempts: int | None = None
    backoff: str | None = None
    durability: str | None = None


class RingmillBackend(_api.BaseTaskBackend):
    task_class = RingmillTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._app: App | None = None
        self._records: Records | None = None

    # --- the engine, which is opened when it is first needed

    @property
    def app(self) -> App:
        if self._app is None:
            options = self.options
            creates = options.get("CREATE", True)
            self._app = App(
                options["DIRECTORY"],
                creates,
                keeper=options.get("KEEPER", True),
                **(options.get("CREATE_OPTIONS", {}) if creates else {}),
            )
        return self._app

    @property
    def records(self) -> Records:
        if self._records is None:
            keep = float(self.options.get("KEEP_RESULT", KEEP_RESULT))
            self._records = Records(Store(self.app.handles), keep)
        return self._records

    def levels_of(self, queue: str) -> list[int]:
        """The most urgent first. Levels are made when they are first named."""
        return [self.app.handles.made_level(engine_name(queue + suffix)) for suffix, _ in BANDS]

    def level_of(self, queue: str, priority: int) -> int:
        suffix = next(suffix for suffix, least in BANDS if priority >= least)
        return self.app.handles.made_level(engine_name(queue + suffix))

    # --- enqueueing

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        self.validate_task(task)
        run_after = None if task.run_after is None else task.run_after.timestamp()
        enqueued_at = datetime.now(timezone.utc).timestamp()
        record = Record(task.module_path, [*args], {**kwargs}, task.queue_name, task.priority, run_after, enqueued_at)
        token = os.urandom(8).hex()
        payload = json.dumps({"token": token, "record": json.loads(record.to_bytes())}).encode()
        # The record comes first: a worker may begin before enqueue_with() has returned.
        self.records.set(token, record)
        handles = self.app.handles
        try:
            job = handles.producer.enqueue_with(
                handles.number("kind", KIND),
                self.level_of(task.queue_name, task.priority),
                payload,
                0.0,
                **self._job_options(task, run_after),
            )
        except BaseException:
            self.records.drop(token)
            raise
        result = self.result_of(record, result_id(job, token), task)
        _api.task_enqueued.send(type(self), task_result=result)
        return result

    def attempts_of(self, task: Any) -> int:
        """How often a task may be begun."""
        own = getattr(task, "max_attempts", None)
        return int(own if own is not None else self.options.get("MAX_ATTEMPTS", MOST_ATTEMPTS))

    def _job_options(self, task: Any, run_after: float | None) -> dict[str, Any]:
        # The lease ends with its process, not with a clock.
        options = {"lease": float(self.options.get("LEASE", LONGEST_LEASE)), "max_attempts": self.attempts_of(task)}
        options["durability"] = getattr(task, "durability", None) or self.options.get("DURABILITY", "journaled")
        backoff = getattr(task, "backoff", None)
        if backoff is not None:
            options["retry_policy"] = self.app.handles.number("retry_policy", backoff)
        if run_after is not None:
            options["at"] = run_after
        return options

    # --- results

    def get_result(self, result_id: str) -> Any:
        job, token = _parts_of(result_id)
        record = self.records.get(token)
        if record is None:
            raise _api.TaskResultDoesNotExist(result_id)
        if not record.is_finished:
            self._ask_the_engine(job, record)
        return self.result_of(record, result_id)

    def _ask_the_engine(self, job: int, record: Record) -> None:
        """A worker that was killed has written nothing: the engine knows what its job is now."""
        try:
            info = self.app.engine.job(job)
        except NotFound:
            return
        if info.state in ("queued", "delayed"):
            record.status = "READY"
        elif info.state in ("dead", "cancelled"):
            said = info.last_error or info.cause or info.state
            record.fail(("ringmill.TaskError" if info.state == "dead" else "ringmill.TaskCancelled", said), True)
            record.finished_at = info.ended_at or record.finished_at

    def task_of(self, record: Record) -> Any:
        """The task that a record names. Only what is a task is taken."""
        task = import_string(record.task)
        if not isinstance(task, _api.Task):
            raise ValueError(f"{record.task} is no task")
        run_after = None if record.run_after is None else moment(record.run_after)
        return task.using(
            priority=record.priority, queue_name=record.queue, run_after=run_after, backend=self.alias
        )

    def result_of(self, record: Record, id: str, task: Any = None) -> Any:
        result = _api.TaskResult(
            task=self.task_of(record) if task is None else task,
            id=id,
            status=_api.TaskResultStatus[record.status],
            enqueued_at=moment(record.enqueued_at),
            started_at=moment(record.started_at),
            finished_at=moment(record.finished_at),
            last_attempted_at=moment(record.last_attempted_at),
            args=record.args,
            kwargs=record.kwargs,
            backend=self.alias,
            errors=[_api.TaskError(exception_class_path=path, traceback=text) for path, text in record.errors],
            worker_ids=list(record.worker_ids),
        )
        object.__setattr__(result, "_return_value", record.value)
        return result

    # --- `manage.py check`

    def check(self, **kwargs: Any) -> Iterable[checks.CheckMessage]:
        yield from super().check(**kwargs)
        unknown = sorted(set(self.options) - set(_OPTIONS))
        if unknown:
            yield checks.Error(
                f"TASKS[{self.alias!r}] has unknown OPTIONS: {', '.join(unknown)}",
                hint=f"Known are {', '.join(_OPTIONS)}.",
                id="ringmill.E001",
            )
        if "DIRECTORY" not in self.options:
            yield checks.Error(
                f"TASKS[{self.alias!r}] names no engine",
                hint='"OPTIONS": {"DIRECTORY": "/var/lib/jobs"}: it is made if it is not there.',
                id="ringmill.E002",
            )
            return
        try:
            self.app.engine
        except Error as error:
            yield checks.Error(str(error), id="ringmill.E003")


def result_id(job: int, token: str) -> str:
    return f"{job:016x}{token}"


def _parts_of(id: str) -> tuple[int, str]:
    try:
        return int(id[:16], 16), id[16:]
    except ValueError:
        raise _api.TaskResultDoesNotExist(id) from None


def moment(seconds: float | None) -> datetime | None:
    """As the settings have it: aware, or in local time."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc if settings.USE_TZ else None)


def path_of(error: BaseException) -> str:
    kind = type(error)
    assert isclass(kind)
    return f"{kind.__module__}.{kind.__qualname__}"
