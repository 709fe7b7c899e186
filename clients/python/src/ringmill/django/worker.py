"""Runs Django's tasks: threads of this process, each with a participant of its own."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import traceback
from collections.abc import Sequence
from typing import Any

from django.db import close_old_connections

from .. import _core
from .._errors import LeaseLost, NotHeld
from ..context import Context, set_current
from ..worker import Worker
from . import _api
from .backend import KIND, RingmillBackend, moment, path_of, result_id
from .records import Record, record_of

log = logging.getLogger("ringmill.django")


def _normal(value: Any) -> Any:
    """What JSON makes of a value. Raises TypeError: it cannot be kept."""
    return json.loads(json.dumps(value))


class TaskRunner:
    """Runs the tasks of one thread."""

    def __init__(self, backend: RingmillBackend) -> None:
        self.backend = backend
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"

    def run(self, job: _core.Job) -> None:
        """Runs and settles one job."""
        try:
            given = json.loads(job.payload)
            token = str(given["token"])
            record = self.backend.records.get(token) or record_of(json.dumps(given["record"]).encode())
        except (ValueError, KeyError, TypeError) as error:
            job.reject(f"no task of Django: {error}")
            return
        try:
            if not record.is_finished:  # else its worker was killed between its last two steps
                self._attempt(job, token, record)
            self._settle(job, record)
        except (LeaseLost, NotHeld):
            log.warning("job %016x was given to another worker before it ended", job.id)
        finally:
            if job.held:  # only KeyboardInterrupt, or an error of the engine
                job.release()

    def _attempt(self, job: _core.Job, token: str, record: Record) -> None:
        backend = self.backend
        record.start(self.worker_id)
        backend.records.set(token, record)
        try:
            result = backend.result_of(record, result_id(job.id, token))
        except Exception as error:  # there is no such task any more
            record.fail((path_of(error), _text_of(error)), True)
            backend.records.set(token, record)
            log.error("job %016x names a task that cannot be loaded: %s", job.id, error)
            return
        task = result.task
        close_old_connections()
        set_current(Context(backend.app, job, record.task))
        try:
            _api.task_started.send(type(backend), task_result=result)
            args = [_api.TaskContext(task_result=result)] if task.takes_context else []
            value = _normal(task.call(*args, *result.args, **result.kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            again = isinstance(error, getattr(task, "retry_on", ()))
            record.fail((path_of(error), _text_of(error)), not again or job.attempt >= backend.attempts_of(task) > 0)
            self._finish(token, record, result)
        else:
            record.succeed(value)
            self._finish(token, record, result)
        finally:
            set_current(None)
            close_old_connections()

    def _finish(self, token: str, record: Record, result: Any) -> None:
        """The record, then the signal. In an exception's handler, as Django does it: its logger says the traceback."""
        self.backend.records.set(token, record)
        if not record.is_finished:
            return
        for name, value in (
            ("status", _api.TaskResultStatus[record.status]),
            ("finished_at", moment(record.finished_at)),
            ("errors", [_api.TaskError(exception_class_path=path, traceback=text) for path, text in record.errors]),
            ("_return_value", record.value),
        ):
            object.__setattr__(result, name, value)
        _api.task_finished.send(type(self.backend), task_result=result)

    @staticmethod
    def _settle(job: _core.Job, record: Record) -> None:
        said = record.errors[-1][1] if record.errors else ""
        short = said.strip().rpartition("\n")[2]
        if record.status == "SUCCESSFUL":
            job.complete()
        elif record.status == "FAILED":
            job.reject(short, said)
        else:
            job.fail(short, said)

    def close(self) -> None:
        close_old_connections()


def _text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


class TaskWorker(Worker):
    """Claims from the queues that are named, or from all; of these the more urgent bands of priority first."""

    def __init__(self, backend: RingmillBackend, queues: Sequence[str], *, threads: int, drain: bool) -> None:
        super().__init__(backend.app, threads=threads, prefetch=1, drain=drain)
        self.backend = backend
        names = list(queues) or sorted(backend.queues)
        of_queues = [backend.levels_of(name) for name in names]
        self._bands = [list(band) for band in zip(*of_queues)]  # none: whatever queues there are
        self._all = [level for band in self._bands for level in band]
        self.levels = [backend.app.engine.level_name(level) for level in self._all]

    def make_runner(self) -> Any:
        return TaskRunner(self.backend)

    def _subscribe(self, participant: _core.Participant) -> None:
        participant.subscribe(self._all, [self.backend.app.handles.number("kind", KIND)], False, 1)

    def _claim(self, participant: _core.Participant) -> _core.Job | None:
        kind = [self.backend.app.handles.number("kind", KIND)]
        for band in self._bands:
            participant.subscribe(band, kind, False, 1)
            job = participant.claim(0.0)
            if job is not None:
                return job
        participant.subscribe(self._all, kind, False, 1)
        return super()._claim(participant)
