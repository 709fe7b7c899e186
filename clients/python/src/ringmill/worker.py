"""Workers: threads that claim jobs and run their tasks, in one process or in several."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from . import _core
from ._errors import LeaseLost, NotHeld
from .app import App, Task
from .canvas import ALL
from .context import Cancelled, Context, Reject, Retry, Snooze, set_current
from .results import KEPT_ELSEWHERE, keep_elsewhere, whole_result

log = logging.getLogger("ringmill.worker")

LONGEST_CLAIM = 5.0  # seconds; wake() ends it before
LEAST_KEPT = 86400.0  # seconds that a long result is kept


def _parents_results(app: App, job: _core.Job, task: Task[..., Any]) -> list[Any]:
    """In the order in which the graph has them."""
    values = []
    for id in job.parents:
        info = app.engine.job(id)
        parent = app.tasks.get(info.kind)
        result = whole_result(app, info.result)
        values.append((parent or task).serializer.loads(result) if result else None)
    return values


def arguments_of(app: App, task: Task[..., Any], job: _core.Job) -> tuple[list[Any], dict[str, Any]]:
    if task.serializer.name == "raw":
        return [job.payload], {}
    given = task.serializer.loads(job.payload)
    args, kwargs = list(given[0]), dict(given[1])
    if len(given) > 2 and given[2]:
        results = _parents_results(app, job, task)
        args.insert(0, results if given[2] == ALL else results[0])
    return args, kwargs


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def end_with_error(task: Task[..., Any] | None, job: _core.Job, error: BaseException) -> None:
    """Settles a run that raised."""
    said = "".join(traceback.format_exception(error))
    if isinstance(error, Retry):
        if error.delay is None:
            job.fail(_text_of(error))
        else:
            job.retry_in(error.delay, _text_of(error))
    elif isinstance(error, Snooze):
        job.snooze(error.delay)
    elif isinstance(error, Cancelled):
        job.cancel()
    elif isinstance(error, Reject):
        job.reject(_text_of(error))
    elif task is not None and isinstance(error, task.retry_on) and not isinstance(error, task.reject_on):
        job.fail(_text_of(error), said)
    else:
        job.reject(_text_of(error), said)


def complete(task: Task[..., Any], job: _core.Job, value: Any) -> None:
    """Settles a run that returned. A result that is longer than its cell has room for is kept as a value."""
    if task.keep_result == 0 and job.result_room == sys.maxsize * 2 + 1:
        job.complete()
        return
    result = task.serializer.dumps(value)
    if len(result) > job.result_room or result.startswith(KEPT_ELSEWHERE):
        result = keep_elsewhere(task.app, job.id, job.attempt, result, max(task.keep_result, LEAST_KEPT))
    job.complete(result)


class Runner:
    """Runs the jobs of one thread."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: dict[int, Task[..., Any]] = {}  # by kind

    def run(self, job: _core.Job) -> None:
        """Runs and settles one job. Only what must end the worker gets out."""
        app = self.app
        task = self._known.get(job.kind)
        if task is None:
            task = app.tasks.get(app.engine.kind_name(job.kind))
            if task is not None:
                self._known[job.kind] = task
        try:
            if task is None:
                job.release()
                return
            value = self._call(task, job)
        except (KeyboardInterrupt, SystemExit):
            if job.held:
                job.release()
            raise
        except BaseException as error:
            self._settle(end_with_error, task, job, error)
            return
        self._settle(complete, task, job, value)

    def _settle(self, how: Any, task: Task[..., Any] | None, job: _core.Job, value: Any) -> None:
        try:
            how(task, job, value)
        except (LeaseLost, NotHeld):
            log.warning("job %016x was given to another worker before it ended", job.id)
        except Exception as error:  # a result that cannot be written is an error of the task
            if job.held:
                job.reject(_text_of(error))

    def _call(self, task: Task[..., Any], job: _core.Job) -> Any:
        args, kwargs = arguments_of(self.app, task, job)
        context = Context(self.app, job, task.name)
        if task.bind:
            args.insert(0, context)
        set_current(context)
        try:
            value = task.function(*args, **kwargs)
            if inspect.iscoroutine(value):
                if self._loop is None:
                    self._loop = asyncio.new_event_loop()
                value = self._loop.run_until_complete(value)
            return value
        finally:
            set_current(None)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


class Worker:
    """Threads of this process. start(), then stop() or wait()."""

    def __init__(
        self,
        app: App,
        *,
        threads: int = 1,
        levels: Sequence[str] = (),
        kinds: Sequence[str] = (),
        strict: bool = False,
        prefetch: int = 64,
        drain: bool = False,
    ) -> None:
        if threads < 1:
            raise ValueError("threads: at least one")
        self.app = app
        self.levels = list(levels)
        self.kinds = list(kinds)
        self.strict = strict
        self.prefetch = prefetch
        self.drain = drain
        self.jobs = 0
        self._stops = threading.Event()
        self._participants: list[_core.Participant] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"ringmill-{n}", daemon=True) for n in range(threads)
        ]
        self.error: BaseException | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No job begins any more. Those that run go on: wait() for them."""
        self._stops.set()
        for participant in list(self._participants):
            participant.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Returns True if all threads have ended."""
        end = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def make_runner(self) -> Any:
        """What runs the jobs of one thread."""
        return Runner(self.app)

    def _subscribe(self, participant: _core.Participant) -> None:
        engine = self.app.engine
        kinds = self.kinds or list(self.app.tasks)
        participant.subscribe(
            [engine.level(name) for name in self.levels],
            [engine.kind(name) for name in kinds],
            self.strict,
            self.prefetch,
        )

    def _work(self) -> None:
        try:
            participant = self.app.engine.attach("worker")
            self._participants.append(participant)
            runner = self.make_runner()
            try:
                self._subscribe(participant)
                self._run_jobs(participant, runner)
            finally:
                self._participants.remove(participant)
                runner.close()
                participant.detach()  # what was claimed in advance goes back
        except BaseException as error:
            self.error = error
            log.critical("a worker's thread ended: %s", _text_of(error))
            self.stop()

    def _claim(self, participant: _core.Participant) -> _core.Job | None:
        return participant.claim(0.0 if self.drain else LONGEST_CLAIM)

    def _run_jobs(self, participant: _core.Participant, runner: Any) -> None:
        while not self._stops.is_set():
            job = self._claim(participant)
            if job is None:
                if self.drain and self._is_drained():
                    return
                continue
            runner.run(job)
            self.jobs += 1

    def _is_drained(self) -> bool:
        """Nothing is left to run, here or elsewhere."""
        levels = self.app.engine.levels()
        names = self.levels or list(levels)
        states = ("queued", "delayed", "running", "blocked")
        left = sum(levels[name][state] for name in names for state in states)
        if left:
            time.sleep(0.02)
        return bool(left == 0)


def run_here(worker: Worker) -> int:
    """Runs a worker in this process until SIGTERM or SIGINT. The first lets running jobs end; the second does not."""
    stops = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if stops.is_set():
            os._exit(128 + number)
        stops.set()
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    worker.start()
    while worker.is_alive:
        worker.wait(0.5)
    if worker.error is not None:
        log.error("%s", _text_of(worker.error))
        return 3
    return 0


class Supervisor:
    """Processes, each with a worker. One that dies is replaced; what it ran goes to the others at once."""

    def __init__(self, command: list[str], count: int) -> None:
        self.command = command
        self.count = count
        self.children: list[subprocess.Popen[bytes]] = []
        self._stops = False
        self._killed = False

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "RINGMILL_SUPERVISOR": str(os.getpid())}
        return subprocess.Popen(self.command, env=environment)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._killed = self._stops  # the second one
        self._stops = True

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.children = [self._start() for _ in range(self.count)]
        failures = 0
        while not self._stops:
            time.sleep(0.1)
            for n, child in enumerate(self.children):
                code = child.poll()
                if code is None:
                    continue
                if code == 0:  # it drained
                    return self._end(0)
                failures = failures + 1 if code > 0 else 0
                log.error("process %d ended with %d; another takes its place", child.pid, code)
                if failures > 10:
                    return self._end(3)
                time.sleep(min(0.1 * failures, 2.0))
                self.children[n] = self._start()
        return self._end(0)

    def _end(self, code: int) -> int:
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            while child.poll() is None:
                if self._killed:
                    child.kill()
                time.sleep(0.02)
        return code


def follow_supervisor() -> None:
    """A process whose supervisor is gone ends as by SIGTERM."""
    given = os.environ.get("RINGMILL_SUPERVISOR")
    if given is None:
        return

    def watch() -> None:
        while os.getppid() == int(given):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="ringmill-supervisor", daemon=True).start()
