"""What a kombu connection has open in its process: the engine, participants, leases of held messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import _core
from ._errors import AlreadyExists, Error, LevelRemoved, NotFound, NotHeld
from ._handles import Handles, fork_generation
from ._mailboxes import Bindings, Mailbox
from ._names import engine_name

KIND = "celery.message"
LONGEST_LEASE = 24 * 86400.0  # seconds: the lease ends with the process, not with a clock
BUSY_AFTER = 0.005  # seconds after which a wake-up that the process has not used is passed on
MOST_LEASES = 64


class Sleeper(threading.Thread):
    """Sleeps for the process, and makes a descriptor readable when there may be a job."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="ringmill-sleeper", daemon=True)
        self._descriptor = descriptor
        self._turn = threading.Condition()
        self._armed: tuple[_core.Participant, int] | None = None
        self._ends = False

    def arm(self, participant: _core.Participant, mark: int) -> None:
        with self._turn:
            self._armed = (participant, mark)
            self._turn.notify_all()

    def disarm(self) -> None:
        with self._turn:
            self._armed = None
            self._turn.notify_all()

    def end(self) -> None:
        with self._turn:
            self._ends = True
            armed = self._armed
            self._armed = None
            self._turn.notify_all()
        if armed is not None:
            armed[0].wake()

    def run(self) -> None:
        while True:
            with self._turn:
                while self._armed is None and not self._ends:
                    self._turn.wait()
                if self._ends:
                    return
                armed = self._armed
            assert armed is not None
            participant, mark = armed
            woken = participant.sleep(mark, 1.0)
            with self._turn:
                if self._ends or self._armed is not armed:
                    continue
                os.eventfd_write(self._descriptor, 1)
                # The process has been told. If it is too busy to claim, another one gets the wake-up.
                self._turn.wait(BUSY_AFTER)
                if self._armed is armed and woken:
                    participant.pass_on_wake()
                while self._armed is armed and not self._ends:
                    self._turn.wait()


def path_of_url(url: str) -> tuple[str, dict[str, str]]:
    """ringmill:///var/lib/jobs?keeper=0"""
    parts = urlsplit(url.partition("+")[2] if "+" in url.partition("://")[0] else url)
    path = (parts.netloc + parts.path) if parts.netloc else parts.path
    if not path:
        raise ValueError(f"no directory in {url!r}: as ringmill:///var/lib/jobs")
    return path, dict(parse_qsl(parts.query))


_handles: dict[str, Handles] = {}


def shared_handles(path: str, options: dict[str, Any]) -> Handles:
    """The engine as all connections of this process have it open. It is made if it is not there."""
    path = os.path.abspath(path)
    shared = _handles.setdefault(path, Handles(path, bool(options.get("keeper", True))))
    try:
        shared.engine
    except NotFound:
        if not options.get("create", True):
            raise
        try:
            _core.create(path, **options.get("create_options", {}))
        except AlreadyExists:  # another process was faster
            pass
    return shared


def _requeued_key(number: int) -> bytes:
    return b"celery-requeued:%016x" % number


class Box:
    """What one connection has open in this process: the engine, participants with 64 leases each, held messages."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self.path = path
        self.generation = fork_generation()
        self.shared = shared_handles(path, options)
        self.engine = self.shared.engine
        self.sender = self.shared.producer
        self.kind = self.shared.number("kind", KIND)
        self.most_attempts = options.get("max_attempts")
        self.durability = options.get("durability", "journaled")
        self.claimers: list[_core.Participant] = []
        self.held: dict[str, _core.Job] = {}
        self.level_of: dict[str, int] = {}
        self.queue_of: dict[int, str] = {}
        self.subscribed: tuple[tuple[int, ...], int] | None = None
        self.waits_in: _core.Participant | None = None
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.sleeper: Sleeper | None = None
        self.bindings = Bindings(path)
        self.mailboxes: dict[str, Mailbox] = {}

    @property
    def is_ours(self) -> bool:
        return self.generation == fork_generation()

    # --- queues

    def level(self, queue: str) -> int:
        """The level of a queue, made when it is first named."""
        level = self.level_of.get(queue)
        if level is None:
            name = engine_name(queue)
            try:
                level = self.engine.level(name)
            except NotFound:
                try:
                    level = self.engine.add_level(name)
                except AlreadyExists:
                    level = self.engine.level(name)
            self.level_of[queue] = level
            self.queue_of[level] = queue
        return level

    def forget_level(self, queue: str) -> None:
        level = self.level_of.pop(queue, None)
        if level is not None:
            self.queue_of.pop(level, None)

    def size(self, queue: str) -> int:
        if queue in self.mailboxes:
            return len(self.mailboxes[queue].messages)
        counts = self.engine.levels().get(engine_name(queue))
        return int(counts["queued"]) if counts else 0

    # --- sending

    def put(self, queue: str, payload: bytes, at: float | None, priority: int) -> None:
        options: dict[str, Any] = {"lease": LONGEST_LEASE, "durability": self.durability}
        if at is not None:
            options["at"] = at
        if self.most_attempts is not None:
            options["max_attempts"] = self.most_attempts
        try:
            self.sender.enqueue_with(self.kind, self.level(queue), payload, 0.0, **options)
        except LevelRemoved:
            self.forget_level(queue)
            self.sender.enqueue_with(self.kind, self.level(queue), payload, 0.0, **options)

    # --- receiving

    def _claimer(self) -> _core.Participant:
        """One with a lease left."""
        for claimer in self.claimers:
            if claimer.held < MOST_LEASES:
                return claimer
        made = self.engine.attach("worker", process_bound=True)
        self.claimers.append(made)
        self.subscribed = None
        return made

    def _subscribe(self, claimer: _core.Participant, queues: Iterable[str]) -> None:
        levels = tuple(sorted({self.level(queue) for queue in queues}))
        wanted = (levels, claimer.number)
        if self.subscribed != wanted:
            claimer.subscribe(list(levels), [self.kind], False, 1)
            self.subscribed = wanted

    def claim(self, queues: list[str]) -> tuple[_core.Job, str] | None:
        self.end_wait(claims=True)
        if not queues:
            return None
        for _ in range(2):
            claimer = self._claimer()
            self._subscribe(claimer, queues)
            try:
                job = claimer.claim(0.0)
            except LevelRemoved:
                for queue in queues:
                    self.forget_level(queue)
                self.subscribed = None
                continue
            if job is None:
                return None
            return job, self.queue_of.get(job.level, "")
        return None

    def begin_wait(self, queues: list[str]) -> bool:
        """Returns False if there may be a job already. Else the descriptor becomes readable when one comes."""
        self.end_wait(claims=True)
        claimer = self._claimer()
        self._subscribe(claimer, queues)
        mark = claimer.begin_wait()
        if mark is None:
            return False
        if self.sleeper is None:
            self.sleeper = Sleeper(self.descriptor)
            self.sleeper.start()
        self.waits_in = claimer
        self.sleeper.arm(claimer, mark)
        return True

    def end_wait(self, claims: bool) -> None:
        if self.waits_in is None:
            return
        assert self.sleeper is not None
        self.sleeper.disarm()
        self.waits_in.end_wait(claims)
        self.waits_in = None
        self.drain_descriptor()

    def drain_descriptor(self) -> None:
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            pass

    # --- settling; any thread, one at a time by the interpreter's lock

    def settle(self, tag: str, how: str) -> None:
        job = self.held.pop(tag, None)
        if job is None or not self.is_ours:
            return
        try:
            if how == "requeue":
                self.sender.set_value(_requeued_key(job.id), b"1", LONGEST_LEASE)
                how = "release"
            getattr(job, how)()
        except (Error, NotHeld):
            pass  # the lease was lost: another worker has the message
        if self.waits_in is None:
            try:
                os.eventfd_write(self.descriptor, 1)  # a loop that had no room looks again
            except OSError:
                pass

    def was_requeued(self, job: _core.Job) -> bool:
        """Whether a consumer has sent the message back. That is no attempt for the engine."""
        return self.sender.remove_value(_requeued_key(job.id))

    def close(self) -> None:
        if not self.is_ours:
            return  # the parent's
        self.end_wait(claims=False)
        if self.sleeper is not None:
            self.sleeper.end()
            self.sleeper.join(2.0)
        for mailbox in self.mailboxes.values():
            mailbox.close()
        self.mailboxes.clear()
        self.held.clear()
        for participant in self.claimers:
            try:
                participant.detach()
            except Error:
                pass
        os.close(self.descriptor)
