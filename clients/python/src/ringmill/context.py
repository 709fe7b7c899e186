"""What a task can say while it runs, and how it can end otherwise than by a result or an error."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from . import _core
from ._durations import Duration, seconds_of

if TYPE_CHECKING:
    from .app import App


class Retry(Exception):
    """Raised by a task: try again, after `delay` or as the task's backoff says. The attempt counts."""

    def __init__(self, text: str = "retry", *, delay: Duration | None = None) -> None:
        super().__init__(text)
        self.delay = None if delay is None else seconds_of(delay)


class Snooze(Exception):
    """Raised by a task: run it again after `delay`. The attempt does not count."""

    def __init__(self, delay: Duration) -> None:
        super().__init__(f"snooze for {delay}")
        self.delay = seconds_of(delay)


class Reject(Exception):
    """Raised by a task that can never succeed: it is dead at once."""


class Cancelled(Exception):
    """Raised by a task that has seen `should_stop` and stops."""


class Context:
    """The run of a task: `ringmill.current()` in it, or its first argument with bind=True."""

    def __init__(self, app: App, job: _core.Job, name: str) -> None:
        self.app = app
        self.name = name
        self._job = job

    @property
    def id(self) -> int:
        return self._job.id

    @property
    def attempt(self) -> int:
        """1 for the first one."""
        return self._job.attempt

    @property
    def tag(self) -> str:
        """The job's tag; empty: none."""
        return self._job.tag

    @property
    def traceparent(self) -> str:
        """The trace that the job belongs to, for the spans of this run; empty: none."""
        return self._job.traceparent

    @property
    def should_stop(self) -> bool:
        """True once cancel() has asked this run to stop."""
        return self._job.should_stop

    def check(self) -> None:
        """Raises Cancelled once cancel() has asked this run to stop."""
        if self.should_stop:
            raise Cancelled

    def progress(self, number: int, text: str = "") -> None:
        """Shows how far the run is: Result.info().progress."""
        self._job.progress(number, text)

    @property
    def time_left(self) -> float:
        """Seconds until the job is given to another worker, unless extend() comes before."""
        return self._job.time_left

    def extend(self, lease: Duration) -> None:
        """Holds the job for so long from now. Raises LeaseLost: another worker has it."""
        self._job.extend(seconds_of(lease))


_running: ContextVar[Context | None] = ContextVar("ringmill.current", default=None)


def current() -> Context:
    """The context of the task that runs here, in this thread or asyncio task."""
    context = _running.get()
    if context is None:
        raise RuntimeError("no task runs here")
    return context


def set_current(context: Context | None) -> None:
    _running.set(context)
