"""A result backend for Celery: `backend="ringmill:///DIRECTORY"`, beside the broker's engine or another one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from celery import states
from celery.backends.base import KeyValueStoreBackend
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import GroupResult, allow_join_result
from celery.utils.functional import _regen
from celery.utils.log import get_logger
from kombu.utils.encoding import bytes_to_str, ensure_bytes

from ._box import path_of_url, shared_handles
from ._chords import Chord
from ._errors import Busy, Full
from ._store import Store

log = get_logger(__name__)

# Seconds between two looks at a result: it comes soon, or not so soon.
_PAUSES = (0.0002, 0.0002, 0.0005, 0.001, 0.001, 0.002, 0.002, 0.005, 0.005, 0.01, 0.01, 0.02, 0.02, 0.05)


class Backend(KeyValueStoreBackend):
    supports_autoexpire = True
    supports_native_join = True
    implements_incr = True
    persistent = True

    def __init__(self, url: str | None = None, app: Any = None, **kwargs: Any) -> None:
        super().__init__(app=app, **kwargs)
        self.apply_chord = self._apply_chord  # the base class has put its own one here
        self.url = url or self.app.conf.result_backend
        path, query = path_of_url(self.url)
        options = {"keeper": False} if query.get("keeper") == "0" else {}
        self._store = Store(shared_handles(path, options))
        expires = self.prepare_expires(kwargs.get("expires"))
        self.expires: float | None = float(expires) if expires else None

    def as_uri(self, include_password: bool = False) -> str:
        return str(self.url)

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        return super().__reduce__((self.url, *args), kwargs or {})

    # --- values

    def get(self, key: Any) -> bytes | None:
        return self._store.get(ensure_bytes(key))

    def mget(self, keys: Iterable[Any]) -> list[bytes | None]:
        return self._store.get_many([ensure_bytes(key) for key in keys])

    def set(self, key: Any, value: Any) -> None:
        self._store.set(ensure_bytes(key), ensure_bytes(value), self.expires)

    def delete(self, key: Any) -> None:
        self._store.delete(ensure_bytes(key))

    def incr(self, key: Any) -> int:
        return self._store.increment(ensure_bytes(key), ttl=self.expires)

    def expire(self, key: Any, value: Any) -> None:
        self._store.expire(ensure_bytes(key), float(value))

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """With result_backend_always_retry: the engine is full, or a process stopped while it changed the value."""
        return isinstance(exc, (Busy, Full))

    # --- chords: each part leaves its value, and the last one goes on, without waiting for others

    def _chord(self, group_id: str) -> Chord:
        return Chord(self._store, ensure_bytes(self.get_key_for_group(group_id)), self.chord_expires)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        self._chord(group_id).set_size(chord_size)

    def add_to_chord(self, group_id: str, result: Any) -> None:
        self._chord(group_id).add_part()

    def _apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Saves the shape of a header that has groups in it. Others are lists."""
        if isinstance(header_result_args[1], _regen):
            return
        header = self.app.GroupResult(*header_result_args)
        if any(isinstance(result, GroupResult) for result in header.results):
            header.save(backend=self)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        if not request.group or not request.id:
            return
        chord = self._chord(request.group)
        value = ensure_bytes(self.encode([request.id, state, self.encode_result(result, state)]))
        if not chord.part_returned(request.group_index, request.id, value):
            return
        callback = maybe_signature(request.chord, app=self.app)
        try:
            values = self._chord_values(request.group, chord)
            # Of Celery 5.6 on: it tries again if the broker cannot be reached.
            publish = getattr(self.app.amqp, "_retry_publish", lambda call, *args: call(*args))
            publish(callback.delay, values)
        except ChordError as error:
            log.exception("Chord %r raised: %r", request.group, error)
            self.chord_error_from_stack(callback, error)
        except Exception as error:
            log.exception("Chord %r raised: %r", request.group, error)
            self.chord_error_from_stack(callback, ChordError(f"Callback error: {error!r}"))
        finally:
            chord.forget()

    def _chord_values(self, group_id: str, chord: Chord) -> list[Any]:
        header = GroupResult.restore(group_id, backend=self)
        if header is None:
            return [self._chord_value(*self.decode(value)) for value in chord.values()]
        header.on_ready()  # all parts are there: nothing is waited for
        try:
            with allow_join_result():
                joined: list[Any] = header.join_native(timeout=self.app.conf.result_chord_join_timeout, propagate=True)
            return joined
        except Exception as error:
            raise ChordError(f"Join error: {error!r}") from error
        finally:
            header.delete(backend=self)

    def _chord_value(self, task_id: str, state: str, value: Any) -> Any:
        if state in states.EXCEPTION_STATES:
            value = self.exception_to_python(value)
        if state in states.PROPAGATE_STATES:
            raise ChordError(f"Dependency {task_id} raised {value!r}") from value
        return value

    # --- waiting: Celery would look every half second

    def wait_for(self, task_id: str, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
                 on_interval: Any = None) -> Any:  # fmt: skip
        self._ensure_not_eager()
        end = None if timeout is None else time.monotonic() + timeout
        turn = 0
        while True:
            meta = self.get_task_meta(task_id)
            if on_interval:  # also of one that has ended: an error of its parent says more than its own one
                on_interval()
            if meta["status"] in self.READY_STATES:
                return meta
            if end is not None and time.monotonic() >= end:
                raise CeleryTimeout("The operation timed out.")
            self._sleep(turn)
            turn += 1

    def get_many(self, task_ids: Iterable[str], timeout: float | None = None, interval: float = 0.5,
                 no_ack: bool = True, on_message: Any = None, on_interval: Any = None,
                 max_iterations: int | None = None, READY_STATES: Any = None) -> Iterator[tuple[str, Any]]:  # fmt: skip
        ready = self.READY_STATES if READY_STATES is None else READY_STATES
        waiting = {bytes_to_str(task_id) for task_id in task_ids}
        end = None if timeout is None else time.monotonic() + timeout
        turn = 0
        while waiting:
            ids = list(waiting)
            ended = False
            for task_id, value in zip(ids, self.mget([self.get_key_for_task(task_id) for task_id in ids])):
                meta = None if value is None else self.decode_result(value)
                if meta is None or meta["status"] not in ready:
                    continue
                ended = True
                waiting.discard(task_id)
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta
            if not waiting:
                return
            if end is not None and time.monotonic() >= end:
                raise CeleryTimeout(f"Operation timed out ({timeout})")
            if on_interval:
                on_interval()
            turn = 0 if ended else turn + 1
            if max_iterations and turn >= max_iterations:
                return
            self._sleep(turn)

    @staticmethod
    def _sleep(turn: int) -> None:
        time.sleep(_PAUSES[min(turn, len(_PAUSES) - 1)])
