"""ringmill: a job engine for one Linux host, in shared memory.

    app = ringmill.App("/var/lib/jobs", create=True)

    @app.task(level="high", max_attempts=5)
    def add(a: int, b: int) -> int:
        return a + b

    add.delay(2, 3).get(timeout=5)     # with: python -m ringmill worker module:app
"""

from ._core import Batch, Engine, Job, JobInfo, Participant, create, remove, version
from ._errors import (
    AfterFork,
    AlreadyExists,
    Busy,
    Corrupt,
    Detached,
    Error,
    Full,
    Incompatible,
    InvalidArgument,
    JournalFailed,
    LeaseLost,
    LevelRemoved,
    NoSpace,
    NotDurable,
    NotFound,
    NotHeld,
    OutOfMemory,
    PermissionDenied,
    Stale,
    SystemFailed,
    TaskCancelled,
    TaskError,
    TimedOut,
    TooLarge,
    TooManyParticipants,
    WrongThread,
)
from .app import App, Call, Task
from .async_worker import AsyncWorker
from .canvas import Chain, Group, Signature, chain, chord, group
from .context import Cancelled, Context, Reject, Retry, Snooze, current
from .executor import Executor
from .results import GroupResult, Result, as_completed, as_completed_async
from .worker import Worker

__version__ = version()

__all__ = [
    "AfterFork", "AlreadyExists", "App", "AsyncWorker", "Batch", "Busy", "Call", "Cancelled", "Chain", "Context",
    "Corrupt", "Detached", "Engine", "Error", "Executor", "Full", "Group", "GroupResult", "Incompatible",
    "InvalidArgument", "Job", "JobInfo", "JournalFailed", "LeaseLost", "LevelRemoved", "NoSpace", "NotDurable",
    "NotFound", "NotHeld", "OutOfMemory", "Participant", "PermissionDenied", "Reject", "Result", "Retry", "Signature",
    "Snooze", "Stale", "SystemFailed", "Task", "TaskCancelled", "TaskError", "TimedOut", "TooLarge",
    "TooManyParticipants", "Worker", "WrongThread", "as_completed", "as_completed_async", "chain", "chord", "create",
    "current", "group", "remove", "version",
]  # fmt: skip
