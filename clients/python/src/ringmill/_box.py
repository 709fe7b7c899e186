"""What a kombu connection has open in its process: the engine, participants, leases of held messages."""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import _core
from ._errors import AlreadyExists, Error, LevelRemoved, NotFound, NotHeld
from ._handles import Handles, fork_generation
from ._mailboxes import Bindings, Mailbox, mailboxes_of_process
from ._names import engine_name

KIND = "celery.message"
LONGEST_LEASE = 24 * 86400.0  # seconds: the lease ends with the process, not with a clock
BUSY_AFTER = 0.005  # seconds after which a wake-up that the process has not used is passed on
MOST_LEASES = 64
PRIORITY_STEPS = (0, 3, 6, 9)
MOST_REQUEUES = 20  # as the queues of RabbitMQ 4 have it; then a message is a dead letter


def _thread_starter() -> Any:
    """Starts a thread of the system, also where gevent or eventlet have replaced threads by greenlets: a greenlet that
    sleeps in the engine would stop all others."""
    if "gevent.monkey" in sys.modules:
        return sys.modules["gevent.monkey"].get_original("_thread", "start_new_thread")
    if "eventlet.patcher" in sys.modules:
        return sys.modules["eventlet.patcher"].original("_thread").start_new_thread
    return _thread.start_new_thread


class Sleeper:
    """A thread that sleeps for the process, and makes a descriptor readable when there may be a job. It is told what to
    do by a descriptor, and not by locks, which may be those of greenlets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._orders = os.eventfd(0, os.EFD_CLOEXEC)
        self._has_ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._armed: tuple[_core.Participant, int] | None = None
        self._ends = False

    def start(self) -> None:
        _thread_starter()(self._run, ())

    def arm(self, participant: _core.Participant, mark: int) -> None:
        self._armed = (participant, mark)
        os.eventfd_write(self._orders, 1)

    def disarm(self) -> None:
        self._armed = None
        os.eventfd_write(self._orders, 1)

    def end(self) -> None:
        """Ends the thread, and waits for that."""
        armed, self._armed = self._armed, None
        self._ends = True
        os.eventfd_write(self._orders, 1)
        if armed is not None:
            armed[0].wake()
        if _core.wait_readable(self._has_ended, 2.0):
            os.close(self._orders)
            os.close(self._has_ended)

    def _run(self) -> None:
        try:
            while not self._ends:
                os.eventfd_read(self._orders)
                armed = self._armed
                if armed is not None and not self._ends:
                    self._sleep(armed)
        finally:
            os.eventfd_write(self._has_ended, 1)

    def _sleep(self, armed: tuple[_core.Participant, int]) -> None:
        participant, mark = armed
        woken = participant.sleep(mark, 1.0)
        if self._ends or self._armed is not armed:
            return
        os.eventfd_write(self._descriptor, 1)
        # The process has been told. If it is too busy to claim, another one gets the wake-up.
        if not _core.wait_readable(self._orders, BUSY_AFTER) and woken and self._armed is armed:
            participant.pass_on_wake()


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


def _level_name(queue: str, step: int) -> str:
    return f"{queue}:priority-{step}" if step else queue


def _requeues_key(number: int) -> bytes:
    return b"celery-requeues:%016x" % number


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
        self.most_requeues = int(options.get("max_requeues", MOST_REQUEUES))  # 0: without a bound
        self.durability = options.get("durability", "journaled")
        self.claimers: list[_core.Participant] = []
        self.held: dict[str, _core.Job] = {}
        self.requeues: dict[int, int] = {}  # of held jobs that consumers have sent back
        self.level_of: dict[str, int] = {}
        self.queue_of: dict[int, str] = {}
        self.steps = sorted({0, *(int(step) for step in options.get("priority_steps", PRIORITY_STEPS))})
        self.has_steps: dict[str, bool] = {}  # by queue: whether its messages have priorities
        self.subscribed: tuple[tuple[int, ...], int] | None = None
        self.waits_in: _core.Participant | None = None
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.sleeper: Sleeper | None = None
        self.bindings = Bindings(path)
        self.mailboxes = mailboxes_of_process(self.bindings.folder)

    @property
    def is_ours(self) -> bool:
        return self.generation == fork_generation()

    # --- queues

    def level(self, queue: str, step: int = 0) -> int:
        """The level of a queue, or of one step of its priorities. It is made when it is first named."""
        name = _level_name(queue, step)
        level = self.level_of.get(name)
        if level is None:
            engine_level = engine_name(name)
            try:
                level = self.engine.level(engine_level)
            except NotFound:
                try:
                    level = self.engine.add_level(engine_level)
                except AlreadyExists:
                    level = self.engine.level(engine_level)
            self.level_of[name] = level
            self.queue_of[level] = queue
        return level

    def make_steps(self, queue: str) -> None:
        """For a queue that was declared with priorities: a level for each step."""
        if not self.has_steps.get(queue):
            for step in self.steps:
                self.level(queue, step)
            self.has_steps[queue] = True
            self.subscribed = None

    def steps_of(self, queue: str) -> list[int]:
        """Also of a queue that another process has declared."""
        known = self.has_steps.get(queue)
        if known is None:
            try:
                self.engine.level(engine_name(_level_name(queue, self.steps[-1])))
                known = len(self.steps) > 1
            except NotFound:
                known = False
            self.has_steps[queue] = known
        return self.steps if known else [0]

    def level_for(self, queue: str, priority: int) -> int:
        steps = self.steps_of(queue)
        return self.level(queue, max(step for step in steps if step <= max(priority, 0)))

    def levels_of(self, queue: str) -> list[int]:
        return [self.level(queue, step) for step in self.steps_of(queue)]

    def forget_level(self, queue: str) -> None:
        for step in self.steps:
            level = self.level_of.pop(_level_name(queue, step), None)
            if level is not None:
                self.queue_of.pop(level, None)
        self.has_steps.pop(queue, None)

    def remove_levels(self, queue: str) -> None:
        """Of an empty queue. Errors: as Engine.remove_level()."""
        names = [engine_name(_level_name(queue, step)) for step in self.steps_of(queue)]
        self.forget_level(queue)
        self.subscribed = None
        for name in reversed(names):
            self.engine.remove_level(name)

    def use_mailbox(self, queue: str, has_priorities: bool = False) -> None:
        """Makes it, unless this process or another one has it."""
        mailbox = self.mailboxes.get(queue)
        if mailbox is None:
            if self.bindings.is_living_mailbox(queue):
                return
            mailbox = self.mailboxes[queue] = Mailbox(self.bindings, queue, has_priorities)
        mailbox.users.add(self)

    def leave_mailboxes(self) -> None:
        """The last connection that leaves one ends it."""
        for queue, mailbox in list(self.mailboxes.items()):
            if self in mailbox.users:
                mailbox.users.discard(self)
                if not mailbox.users:
                    self.mailboxes.pop(queue, None)
                    mailbox.close()

    def size(self, queue: str) -> int:
        if queue in self.mailboxes:
            return len(self.mailboxes[queue].messages)
        counts = self.engine.levels()
        names = (engine_name(_level_name(queue, step)) for step in self.steps_of(queue))
        return sum(int(counts[name]["queued"]) for name in names if name in counts)

    # --- sending

    def put(self, queue: str, payload: bytes, at: float | None, priority: int) -> None:
        options: dict[str, Any] = {"lease": LONGEST_LEASE, "durability": self.durability}
        if at is not None:
            options["at"] = at
        if self.most_attempts is not None:
            options["max_attempts"] = self.most_attempts
        try:
            self.sender.enqueue_with(self.kind, self.level_for(queue, priority), payload, 0.0, **options)
        except LevelRemoved:
            self.forget_level(queue)
            self.sender.enqueue_with(self.kind, self.level_for(queue, priority), payload, 0.0, **options)
        except NotFound as error:
            self.shared.forget_removed(error)
            raise

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

    def _subscribe(self, claimer: _core.Participant, levels: Iterable[int]) -> None:
        levels = tuple(sorted(set(levels)))
        wanted = (levels, claimer.number)
        if self.subscribed != wanted:
            claimer.subscribe(list(levels), [self.kind], False, 1)
            self.subscribed = wanted

    def _claim_from(self, claimer: _core.Participant, queues: list[str]) -> _core.Job | None:
        """Where queues have priorities: from the more urgent steps of all of them first."""
        steps_of = {queue: self.steps_of(queue) for queue in queues}
        for step in reversed(self.steps):
            levels = [self.level(queue, step) for queue, steps in steps_of.items() if step in steps]
            if not levels:
                continue
            self._subscribe(claimer, levels)
            job = claimer.claim(0.0)
            if job is not None:
                return job
        return None

    def claim(self, queues: list[str]) -> tuple[_core.Job, str] | None:
        self.end_wait(claims=True)
        if not queues:
            return None
        for _ in range(2):
            try:
                job = self._claim_from(self._claimer(), queues)
            except LevelRemoved:
                for queue in queues:
                    self.forget_level(queue)
                self.subscribed = None
                continue
            except NotFound as error:
                self.shared.forget_removed(error)  # the next connection opens what stands there now
                raise
            if job is None:
                return None
            return job, self.queue_of.get(job.level, "")
        return None

    def begin_wait(self, queues: list[str]) -> bool:
        """Returns False if there may be a job already. Else the descriptor becomes readable when one comes."""
        self.end_wait(claims=True)
        claimer = self._claimer()
        self._subscribe(claimer, [level for queue in queues for level in self.levels_of(queue)])
        try:
            mark = claimer.begin_wait()
        except NotFound as error:
            self.shared.forget_removed(error)
            raise
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
        requeues = self.requeues.pop(job.id, 0)
        try:
            if how == "requeue":
                self._requeue(job)
            else:
                getattr(job, how)()
                if requeues and how == "complete":
                    self.sender.remove_value(_requeues_key(job.id))
        except (Error, NotHeld):
            pass  # the lease was lost: another worker has the message
        if self.waits_in is None:
            try:
                os.eventfd_write(self.descriptor, 1)  # a loop that had no room looks again
            except OSError:
                pass

    def _requeue(self, job: _core.Job) -> None:
        """A requeue is no attempt for the engine, so it is counted here. Celery requeues a task that has killed its
        child process: without a bound it would kill one after the other."""
        count = self.sender.increment_value(_requeues_key(job.id), 1, LONGEST_LEASE)
        if 0 < self.most_requeues < count:
            job.reject(f"consumers have sent it back {self.most_requeues} times")
            self.sender.remove_value(_requeues_key(job.id))
        else:
            job.release()

    def was_requeued(self, job: _core.Job) -> bool:
        """Whether a consumer has sent the message back."""
        count = self.sender.get_value(_requeues_key(job.id))
        if count is None:
            return False
        self.requeues[job.id] = int(count)
        return True

    def close(self) -> None:
        if not self.is_ours:
            return  # the parent's
        self.end_wait(claims=False)
        if self.sleeper is not None:
            self.sleeper.end()
        self.leave_mailboxes()
        self.held.clear()
        for participant in self.claimers:
            try:
                participant.detach()
            except Error:
                pass
        os.close(self.descriptor)
