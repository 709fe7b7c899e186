"""Dramatiq on ringmill: a broker, a result backend and a backend of rate limiters.

    broker = RingmillBroker("/var/lib/jobs")
    broker.add_middleware(Results(backend=RingmillResultBackend("/var/lib/jobs")))
    dramatiq.set_broker(broker)

A queue is a level of the engine, a message is a job, and its lease is held by the worker process. So a message that was
not acknowledged comes back when that process is gone, and never before. Delayed messages wait in the engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from dramatiq import Message, QueueJoinTimeout
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed, ConnectionFailed, DecodeError, QueueNotFound
from dramatiq.rate_limits.backend import RateLimiterBackend
from dramatiq.results import ResultMissing, ResultTimeout
from dramatiq.results.backend import DEFAULT_TIMEOUT, Missing, ResultBackend

from . import _core
from ._box import LONGEST_LEASE, MOST_LEASES, path_of_url, shared_handles
from ._errors import Error, Full, LeaseLost, NotHeld
from ._handles import Handles
from ._names import engine_name
from ._store import Store

KIND = "dramatiq.message"
# Seconds between two looks at a value: it changes soon, or not so soon.
_PAUSES = (0.0002, 0.0005, 0.001, 0.001, 0.002, 0.002, 0.005, 0.005, 0.01, 0.02, 0.05)


def _handles_of(path: str, create: bool, create_options: dict[str, Any] | None, keeper: bool) -> Handles:
    """`path` is a directory, or an URL as ringmill:///var/lib/jobs."""
    directory = path_of_url(path)[0] if "://" in path else path
    options = {"create": create, "create_options": create_options or {}, "keeper": keeper}
    try:
        return shared_handles(directory, options)
    except Error as error:
        raise ConnectionFailed(str(error)) from error


class RingmillBroker(Broker):
    """Parameters:
    path: the engine's directory. It is made if it is not there, unless `create` is False.
    durability: "journaled", "memory" or "durable"; an actor's option of this name goes before.
    max_attempts: how often a message may lose its worker before it is dead; 0: without a bound. None: as the engine,
        15. An actor's option of this name goes before. Retries of messages that fail are Dramatiq's own.
    full_wait: seconds that a producer waits for room in a full engine.
    keeper: whether this process may be the engine's keeper.
    """

    def __init__(
        self,
        path: str,
        *,
        middleware: Any = None,
        durability: str = "journaled",
        max_attempts: int | None = None,
        full_wait: float = 5.0,
        create: bool = True,
        create_options: dict[str, Any] | None = None,
        keeper: bool = True,
    ) -> None:
        super().__init__(middleware=middleware)
        self.actor_options |= {"max_attempts", "durability"}
        self.queues: set[str] = set()
        self.durability = durability
        self.max_attempts = max_attempts
        self.full_wait = full_wait
        self.handles = _handles_of(path, create, create_options, keeper)

    def level(self, queue_name: str) -> int:
        return self.handles.made_level(engine_name(queue_name))

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        self._check_declared(queue_name)
        return RingmillConsumer(self, queue_name, prefetch, timeout / 1000)

    def declare_queue(self, queue_name: str) -> None:
        if queue_name in self.queues:
            return
        self.emit_before("declare_queue", queue_name)
        self.level(queue_name)
        self.queues.add(queue_name)
        self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return self.queues.copy()

    def enqueue(self, message: Message, *, delay: int | None = None) -> Message:
        queue_name = q_name(message.queue_name)
        self._check_declared(queue_name)
        options = self._job_options(message)
        if delay is not None:
            options["delay"] = max(delay, 0) / 1000
        self.logger.debug("Enqueueing message %r on queue %r.", message.message_id, queue_name)
        self.emit_before("enqueue", message, delay)
        payload = message.encode()
        handles = self.handles
        try:
            kind = handles.number("kind", KIND)
            handles.producer.enqueue_with(kind, self.level(queue_name), payload, self.full_wait, **options)
        except Full as error:
            raise ConnectionClosed(f"the engine in {handles.path} is full") from error
        except (OSError, LookupError) as error:
            raise ConnectionClosed(str(error)) from error
        self.emit_after("enqueue", message, delay)
        return message

    def _job_options(self, message: Message) -> dict[str, Any]:
        actor = self.actors.get(message.actor_name)
        asked = {**(actor.options if actor is not None else {}), **message.options}
        options = {"lease": LONGEST_LEASE, "durability": asked.get("durability") or self.durability}
        most = asked.get("max_attempts", self.max_attempts)
        if most is not None:
            options["max_attempts"] = most
        return options

    def flush(self, queue_name: str) -> None:
        """Drops the messages that wait in a queue. Delayed ones stay: they have not come to the queue yet."""
        self._check_declared(queue_name)
        flusher = self.handles.engine.attach("worker", process_bound=True)
        try:
            flusher.subscribe([self.level(queue_name)], [self.handles.number("kind", KIND)])
            while jobs := flusher.claim_batch(MOST_LEASES):
                flusher.complete_batch(jobs)
        finally:
            flusher.detach()

    def flush_all(self) -> None:
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Waits until a queue has no message: none that waits, is delayed, or is held. A look is a pass over all jobs,
        so this is for tests."""
        self._check_declared(queue_name)
        name = engine_name(queue_name)
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while True:
            counts = self.handles.engine.levels()[name]
            if not any(counts[state] for state in ("queued", "delayed", "blocked", "running")):
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)
            time.sleep(interval / 1000)

    def _check_declared(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)


class RingmillMessage(MessageProxy):
    """A message and its lease, which any thread of the process may settle."""

    def __init__(self, message: Message, job: _core.Job, settled: Callable[[], None]) -> None:
        super().__init__(message)
        self._job = job
        self._settled = settled

    @property
    def attempt(self) -> int:
        """Above 1, if earlier workers were lost with the message."""
        return self._job.attempt

    def settle(self, how: str, *arguments: str) -> None:
        try:
            getattr(self._job, how)(*arguments)
        except (LeaseLost, NotHeld):
            pass  # another worker has the message, or it was settled before
        except Error as error:
            raise ConnectionClosed(str(error)) from error
        finally:
            self._settled()


class RingmillConsumer(Consumer):
    """Claims for one queue. One thread iterates; any thread settles, also after close()."""

    def __init__(self, broker: RingmillBroker, queue_name: str, prefetch: int, timeout: float) -> None:
        self._broker = broker
        self._prefetch = prefetch
        self._timeout = timeout
        self._level = broker.level(queue_name)
        self._kind = broker.handles.number("kind", KIND)
        self._claimers: list[_core.Participant] = []  # 64 leases each
        self._room = threading.Condition()

    @property
    def held(self) -> int:
        return sum(claimer.held for claimer in self._claimers)

    def __next__(self) -> MessageProxy | None:
        with self._room:
            if not self._room.wait_for(lambda: self.held < self._prefetch, self._timeout):
                return None
        try:
            job = self._claimer().claim(self._timeout)
        except Error as error:
            raise ConnectionClosed(str(error)) from error
        if job is None:
            return None
        try:
            return RingmillMessage(Message.decode(job.payload), job, self._note_settled)
        except DecodeError as error:
            self._broker.logger.error("A message cannot be decoded; job %016x is dead.", job.id, exc_info=True)
            job.reject(f"DecodeError: {error}")
            return None

    def _claimer(self) -> _core.Participant:
        """One with a lease left."""
        for claimer in self._claimers:
            if claimer.held < MOST_LEASES:
                return claimer
        made = self._broker.handles.engine.attach("worker", process_bound=True)
        made.subscribe([self._level], [self._kind], False, 1)
        self._claimers.append(made)
        return made

    def _note_settled(self) -> None:
        with self._room:
            self._room.notify()

    def ack(self, message: MessageProxy) -> None:
        self._settle(message, "complete")

    def nack(self, message: MessageProxy) -> None:
        """The engine's dead letters have it: `ringmill dead`."""
        error = getattr(message, "_exception", None)
        self._settle(message, "reject", "failed" if error is None else f"{type(error).__name__}: {error}")

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        for message in messages:
            self._settle(message, "release")

    @staticmethod
    def _settle(message: MessageProxy, how: str, *arguments: str) -> None:
        if isinstance(message, RingmillMessage):  # else no lease comes with it
            message.settle(how, *arguments)

    def close(self) -> None:
        """Messages that worker threads still process keep their leases, and so their participants."""
        for claimer in self._claimers:
            if claimer.held == 0:
                try:
                    claimer.detach()
                except Error:
                    pass  # the engine is gone
        self._claimers.clear()


class RingmillResultBackend(ResultBackend):
    """Results are values in the engine, of any size, for as long as the actor's `result_ttl` says."""

    def __init__(
        self,
        path: str,
        *,
        namespace: str = "dramatiq-results",
        encoder: Any = None,
        use_namespace_prefix_keys: bool = False,
        create: bool = True,
        create_options: dict[str, Any] | None = None,
        keeper: bool = True,
    ) -> None:
        super().__init__(namespace=namespace, encoder=encoder, use_namespace_prefix_keys=use_namespace_prefix_keys)
        self._store_of_values = Store(_handles_of(path, create, create_options, keeper))

    def get_result(self, message: Any, *, block: bool = False, timeout: int | None = None) -> Any:
        key = self.build_message_key(message)
        result = self._get(key)
        if result is Missing and block:
            wait = DEFAULT_TIMEOUT if timeout is None else timeout
            if not _await(lambda: self._store_of_values.get(key.encode()) is not None, wait / 1000):
                raise ResultTimeout(message)
            result = self._get(key)
        if result is Missing:
            raise ResultMissing(message)
        return self.unwrap_result(result)

    def _get(self, message_key: str) -> Any:
        data = self._store_of_values.get(message_key.encode())
        return Missing if data is None else self.encoder.decode(data)

    def _store(self, message_key: str, result: Any, ttl: int) -> None:
        self._store_of_values.set(message_key.encode(), self.encoder.encode(result), ttl / 1000)


class RingmillRateLimiterBackend(RateLimiterBackend):
    """Counters are values in the engine, which are compared and swapped. The sum that a window limiter asks for is
    exact as long as no other process counts in another second of the window at that instant."""

    def __init__(
        self,
        path: str,
        *,
        create: bool = True,
        create_options: dict[str, Any] | None = None,
        keeper: bool = True,
    ) -> None:
        self._store = Store(_handles_of(path, create, create_options, keeper))

    def add(self, key: str, value: int, ttl: int) -> bool:
        return self._store.set(key.encode(), b"%d" % value, ttl / 1000, only_if_absent=True)

    def incr(self, key: str, amount: int, maximum: int, ttl: int) -> bool:
        return self._change(key, ttl, lambda value: value + amount, lambda value: value <= maximum)

    def decr(self, key: str, amount: int, minimum: int, ttl: int) -> bool:
        return self._change(key, ttl, lambda value: value - amount, lambda value: value >= minimum)

    def incr_and_sum(self, key: str, keys: Callable[[], list[str]], amount: int, maximum: int, ttl: int) -> bool:
        def is_allowed(value: int) -> bool:
            counts = self._store.get_many([each.encode() for each in keys()])
            return value <= maximum and amount + sum(int(count) for count in counts if count is not None) <= maximum

        return self._change(key, ttl, lambda value: value + amount, is_allowed)

    def _change(self, key: str, ttl: int, next_of: Callable[[int], int], is_allowed: Callable[[int], bool]) -> bool:
        while True:
            found = self._store.get_version(key.encode())
            value = next_of(0 if found is None else int(found[0]))
            if not is_allowed(value):
                return False
            if self._store.swap(key.encode(), found, b"%d" % value, ttl / 1000):
                return True

    def wait(self, key: str, timeout: int | None) -> bool:
        return _await(lambda: self._store.get(key.encode()) is not None, None if timeout is None else timeout / 1000)

    def wait_notify(self, key: str, ttl: int) -> None:
        self._store.set(key.encode(), b"x", ttl / 1000)


def _await(condition: Callable[[], bool], seconds: float | None) -> bool:
    end = None if seconds is None else time.monotonic() + seconds
    turn = 0
    while not condition():
        if end is not None and time.monotonic() >= end:
            return condition()
        pause = _PAUSES[min(turn, len(_PAUSES) - 1)]
        time.sleep(pause if end is None else max(0.0, min(pause, end - time.monotonic())))
        turn += 1
    return True
