"""Exceptions: one for each code of the engine, all of them `Error`."""

from __future__ import annotations

import queue


class Error(Exception):
    """A call to the engine failed. `code` is its name, such as "not_found"."""

    code = "error"


class Full(Error, queue.Full):
    """No room for the job: try again, or wait."""

    code = "would_block"


class TimedOut(Error, TimeoutError):
    """The wait is over."""

    code = "timed_out"


class NotFound(Error, LookupError):
    """No such engine, level or job."""

    code = "not_found"


class AlreadyExists(Error):
    code = "already_exists"


class InvalidArgument(Error, ValueError):
    code = "invalid_argument"


class TooLarge(Error, ValueError):
    """The payload is longer than the engine takes."""

    code = "too_large"


class LevelRemoved(Error):
    code = "level_removed"


class LeaseLost(Error):
    """The lease was revoked: another worker has the job. Discard the work."""

    code = "lease_lost"


class WrongThread(Error, RuntimeError):
    """A participant was used by another thread than the one that attached it."""

    code = "wrong_thread"


class AfterFork(Error, RuntimeError):
    """An object of the parent was used in the child of a fork."""

    code = "after_fork"


class TooManyParticipants(Error):
    code = "too_many_participants"


class PermissionDenied(Error, PermissionError):
    code = "permission_denied"


class Incompatible(Error):
    code = "incompatible"


class Stale(Error):
    code = "stale"


class Corrupt(Error):
    code = "corrupt"


class NoSpace(Error):
    code = "no_space"


class JournalFailed(Error):
    code = "journal_failed"


class NotDurable(Error):
    """The jobs are in, and the disk did not have them in time. No retry is needed."""

    code = "not_durable"


class OutOfMemory(Error, MemoryError):
    code = "out_of_memory"


class Busy(Error):
    code = "busy"


class SystemFailed(Error, OSError):
    """A system call failed; the text has its name and reason."""

    code = "system"


class Detached(Error, RuntimeError):
    """The participant was detached before."""

    code = "detached"


class NotHeld(Error):
    """The job was settled before, or another participant holds it."""

    code = "not_held"


class TaskError(Error):
    """The task failed for good. The text is the error of its last attempt; `cause` says why it is dead."""

    code = "task_error"

    def __init__(self, text: str, cause: str = "failed") -> None:
        super().__init__(text)
        self.cause = cause


class TaskCancelled(Error):
    """The task was cancelled."""

    code = "task_cancelled"


_BY_CODE: dict[str, type[Error]] = {
    each.code: each
    for each in (
        Full, TimedOut, NotFound, AlreadyExists, InvalidArgument, TooLarge, LevelRemoved, LeaseLost, WrongThread,
        AfterFork, TooManyParticipants, PermissionDenied, Incompatible, Stale, Corrupt, NoSpace, JournalFailed,
        NotDurable, OutOfMemory, Busy, SystemFailed, Detached, NotHeld,
    )
}  # fmt: skip


def make(number: int, name: str, text: str) -> Error:
    """Called by ringmill._core."""
    error = _BY_CODE.get(name, Error)(text or name)
    if name not in _BY_CODE:
        error.code = name
    return error
