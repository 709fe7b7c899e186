"""A kombu transport: `ringmill.kombu:Transport+ringmill:///DIRECTORY` as Celery's broker.

Queues are levels of the engine, a message is a job, its lease is held by the process that received it. So an
unacknowledged message comes back when that process is gone, and never before: there is no visibility timeout. Queues
that belong to one consumer (remote control, its replies, events) are mailboxes: sockets that end with it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from datetime import datetime, timezone
from queue import Empty
from typing import Any

from kombu.transport import base, virtual
from kombu.transport.virtual.base import queue_declare_ok_t
from kombu.utils.uuid import uuid

import ringmill_kombu  # noqa: F401  (a plain kombu.Connection("ringmill:///DIRECTORY") works from now on)

from . import _core
from ._box import Box, path_of_url
from ._errors import Error, Full, NotFound
from ._mailboxes import Mailbox, send_to_mailbox
from ._names import engine_name


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class QoS(virtual.QoS):
    """Unacknowledged messages are held leases: nothing is ever published again."""

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        self.channel.settle(delivery_tag, "complete")
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self.channel.settle(delivery_tag, "requeue" if requeue else "complete")
        self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        self._flush()
        for tag in list(self._delivered):
            self.channel.settle(tag, "release")
        self._delivered.clear()
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        self._on_collect.cancel()
        if self.channel.connection is not None:
            self.restore_unacked()


class Channel(virtual.Channel):
    QoS = QoS
    supports_fanout = True
    body_encoding = None
    from_transport_options = (*virtual.Channel.from_transport_options, "native_eta")

    #: A task with an ETA waits in the engine, not in a worker's memory.
    native_eta = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._no_ack: dict[str, bool] = {}  # by queue

    @property
    def box(self) -> Box:
        box: Box = self.connection.box
        return box

    def settle(self, tag: str, how: str) -> None:
        box = self.connection._box if self.connection is not None else None
        if box is not None and box.is_ours:  # in the child of a fork it is the parent's
            box.settle(tag, how)

    # --- messages

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Text stays text; bytes are base64, as JSON needs it."""
        encoded: tuple[Any, str | None] = super().encode_body(body, "base64" if isinstance(body, bytes) else encoding)
        return encoded

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        headers = message.get("headers", {})
        at = _moment_of(headers.get("eta")) if self.native_eta else None
        ends_at = _end_of(message["properties"].get("expiration"))
        # A task of Celery that has expired is delivered: its worker stores the result REVOKED, for which callers wait.
        if ends_at is not None and headers.get("expires") is None:
            message = {**message, "properties": {**message["properties"], "ends_at": ends_at}}
        payload = _encode(message).encode()
        box = self.box
        # A queue with a level is no mailbox; for others two files are looked at.
        if queue in box.mailboxes or (queue not in box.level_of and box.bindings.is_mailbox(queue)):
            send_to_mailbox(box.bindings, queue, payload)
            return
        try:
            box.put(queue, payload, at, self._get_message_priority(message))
        except Full as error:
            raise ConnectionError(f"the engine in {box.path} is full") from error

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        for _, _, queue in self.get_table(exchange):
            self._put(queue, message)

    def _claim(self, queues: list[str]) -> tuple[dict[str, Any], str] | None:
        """A message, and its queue. Those whose time is over are dropped."""
        while (claimed := self.box.claim(queues)) is not None:
            job, queue = claimed
            message: dict[str, Any] = json.loads(job.payload)
            if not _is_over(message):
                return self._received(message, job, queue), queue
            job.complete()
        return None

    def _received(self, message: dict[str, Any], job: _core.Job, queue: str) -> dict[str, Any]:
        tag = f"{job.id:016x}.{job.lease:x}"
        properties = message["properties"]
        properties["delivery_tag"] = tag
        headers = message["headers"]
        if self.box.was_requeued(job) or job.attempt > 1:
            headers["redelivered"] = True
            properties["delivery_info"]["redelivered"] = True
        if self.native_eta and headers.get("eta") is not None:
            headers["eta"] = None  # it has waited already
        if self._no_ack.get(queue):
            job.complete()
        else:
            self.box.held[tag] = job
        return message

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        mailbox = self.box.mailboxes.get(queue)
        if mailbox is not None:
            return _from_mailbox(mailbox)
        claimed = self._claim([queue])
        if claimed is None:
            raise Empty
        return claimed[0]

    def _purge(self, queue: str) -> int:
        count = 0
        while True:
            try:
                message = self._get(queue)
            except Empty:
                return count
            self.box.settle(message["properties"]["delivery_tag"], "complete")
            count += 1

    def _size(self, queue: str) -> int:
        return self.box.size(queue)

    # --- queues

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """Counts the messages only if asked for nothing else: that is a pass over all jobs."""
        if passive:
            return super().queue_declare(queue, passive=True, **kwargs)
        queue = queue or f"amq.gen-{uuid()}"
        self._new_queue(queue, **kwargs)
        return queue_declare_ok_t(queue, 0, 0)

    def prepare_queue_arguments(self, arguments: Any, **kwargs: Any) -> Any:
        """Keeps what a queue is declared with, such as its max_priority."""
        return base.to_rabbitmq_queue_arguments(arguments, **kwargs)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        """A queue that ends with its consumer is a mailbox of this process, unless another process has it."""
        is_temporary = kwargs.get("auto_delete") or kwargs.get("exclusive")
        has_priorities = bool((kwargs.get("arguments") or {}).get("x-max-priority"))
        box = self.box
        if not is_temporary:
            box.level(queue)
            if has_priorities:
                box.make_steps(queue)
        else:
            box.use_mailbox(queue, has_priorities)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        box = self.box
        if queue in box.mailboxes or box.bindings.is_living_mailbox(queue):
            return True
        try:
            box.engine.level(engine_name(queue))
        except NotFound:
            return False
        return True

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> None:
        if if_empty and self._size(queue):
            return
        self._delete(queue)
        self.state.queue_bindings_delete(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        box = self.box
        box.bindings.remove_queue(queue)
        mailbox = box.mailboxes.pop(queue, None)
        if mailbox is not None:
            self.connection.watch_mailboxes()
            mailbox.close()
            return
        self._purge(queue)
        try:
            box.end_wait(claims=False)
            box.remove_levels(queue)
        except Error:
            pass  # a level of the engine's own, or one with jobs

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        box = self.box
        is_mailbox = queue in box.mailboxes or box.bindings.is_mailbox(queue)
        box.bindings.add(exchange, routing_key, pattern, queue, is_mailbox)

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """Of all processes."""
        table = self.box.bindings.table(exchange)
        if not table and exchange not in self.state.exchanges:
            raise KeyError(exchange)
        return table

    def queue_unbind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None,
                     **kwargs: Any) -> None:  # fmt: skip
        super().queue_unbind(queue, exchange, routing_key, arguments, **kwargs)
        self.box.bindings.remove(exchange or "amq.direct", routing_key or "", queue)

    # --- consumers

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        self._no_ack[queue] = no_ack
        super().basic_consume(queue, no_ack, *args, **kwargs)
        if queue in self.box.mailboxes:
            self.box.use_mailbox(queue)
        self.connection.watch_mailboxes()

    def basic_cancel(self, consumer_tag: str) -> Any:
        super().basic_cancel(consumer_tag)
        if self.connection is not None:
            self.connection.watch_mailboxes()

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        before = self._no_ack.get(queue, False)
        self._no_ack[queue] = no_ack
        try:
            return super().basic_get(queue, no_ack=no_ack, **kwargs)
        finally:
            self._no_ack[queue] = before

    def take(self) -> bool:
        """Delivers one message, if there is one and it may be consumed."""
        if not self._consumers:
            return False
        box = self.box
        for queue in self._active_queues:
            mailbox = box.mailboxes.get(queue)
            if mailbox is not None:
                try:
                    message = _from_mailbox(mailbox)
                except Empty:
                    continue
                self.connection._deliver(message, queue)
                return True
        if not self.qos.can_consume():
            return False
        claimed = self._claim(self.job_queues)
        if claimed is None:
            return False
        self.connection._deliver(*claimed)
        return True

    @property
    def job_queues(self) -> list[str]:
        return [queue for queue in self._active_queues if queue not in self.box.mailboxes]

    def close(self) -> None:
        if not self.closed and self._qos is not None:
            self._qos.restore_unacked()
        super().close()


def _moment_of(eta: Any) -> float | None:
    if eta is None:
        return None
    try:
        moment = datetime.fromisoformat(eta.replace("Z", "+00:00")) if isinstance(eta, str) else eta
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        at = float(moment.timestamp())
    except (ValueError, TypeError, AttributeError):
        return None
    return at if at > time.time() else None


def _end_of(expiration: Any) -> float | None:
    """The moment that a message's `expiration` means, milliseconds from now."""
    try:
        return None if expiration is None else time.time() + float(expiration) / 1000
    except (ValueError, TypeError):
        return None


def _is_over(message: dict[str, Any]) -> bool:
    ends_at = message["properties"].get("ends_at")
    return ends_at is not None and time.time() >= ends_at


def _from_mailbox(mailbox: Mailbox) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(mailbox.take())
        if not _is_over(message):
            return message


class Transport(virtual.Transport):
    Channel = Channel
    can_parse_url = True
    driver_type = driver_name = "ringmill"
    polling_interval = None
    connection_errors = (*base.Transport.connection_errors, ConnectionError, Error, OSError)
    channel_errors = (*base.Transport.channel_errors, NotFound)
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset({"direct", "topic", "fanout"}), heartbeats=False
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self._box: Box | None = None
        self._loop: Any = None
        self._watched: set[Mailbox] = set()
        self._waits_for: list[str] = []

    @property
    def box(self) -> Box:
        if self._box is None or not self._box.is_ours:
            path, query = path_of_url(self._url())
            options = {**self.client.transport_options}
            if "keeper" in query:
                options["keeper"] = query["keeper"] not in ("0", "false", "no")
            self._box = Box(path, options)
        return self._box

    def _url(self) -> str:
        """kombu hands the URL over as it is, but the alternate one of a failover in parts."""
        client = self.client
        return client.hostname or f"ringmill:///{client.virtual_host or ''}"

    def driver_version(self) -> str:
        return _core.version()

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        return uri

    def establish_connection(self) -> Any:
        self.box  # an error of the engine shows here
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        box, self._box = self._box, None
        if box is not None:
            if self._loop is not None and box.is_ours:
                self._loop.on_tick.discard(self._on_tick)
                self._loop.remove_reader(box.descriptor)
                for mailbox in self._watched:
                    self._loop.remove_reader(mailbox.fileno())
            box.close()
        self._loop = None
        self._watched = set()

    # --- without an event loop

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if any(channel.take() for channel in list(self.channels)):
                return
            left = 60.0 if end is None else end - time.monotonic()
            if left <= 0:
                raise socket.timeout
            self._wait(left)

    def _wanted_queues(self) -> list[str]:
        """Those that a job may be claimed of now."""
        return [
            queue
            for channel in list(self.channels)
            if channel._consumers and channel.qos.can_consume()
            for queue in channel.job_queues
        ]

    def _wait(self, seconds: float) -> None:
        box = self.box
        queues = self._wanted_queues()
        if queues and not box.begin_wait(queues):
            return
        try:
            # select() is what gevent and eventlet replace; a blocked call into the engine would stop all greenlets.
            readable: list[Any] = [box.descriptor, *self._consumed_mailboxes()]
            select.select(readable, [], [], seconds)
        finally:
            box.end_wait(claims=True)

    # --- with one

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        self._loop = loop
        box = self.box
        loop.add_reader(box.descriptor, self._on_readable)
        self._watched = set()
        self.watch_mailboxes()
        loop.on_tick.add(self._on_tick)

    def _consumed_mailboxes(self) -> set[Mailbox]:
        """Others of this process are not watched: nothing would be taken from them here."""
        if self._box is None:
            return set()
        queues = (queue for channel in list(self.channels) for queue in channel._active_queues)
        return {self._box.mailboxes[queue] for queue in queues if queue in self._box.mailboxes}

    def watch_mailboxes(self) -> None:
        if self._loop is None:
            return
        consumed = self._consumed_mailboxes()
        for mailbox in self._watched - consumed:
            self._loop.remove_reader(mailbox.fileno())
        for mailbox in consumed - self._watched:
            self._loop.add_reader(mailbox.fileno(), self._on_readable)
        self._watched = consumed

    def _on_readable(self, *_: Any) -> None:
        box = self.box
        if box.waits_in is None:
            box.drain_descriptor()
        self._pump()

    def _on_tick(self) -> None:
        """A wait goes on until a descriptor says otherwise, or other queues may be consumed now."""
        if self.box.waits_in is None or self._waits_for != self._wanted_queues():
            self._pump()

    def _pump(self) -> None:
        box = self.box
        while True:
            while any([channel.take() for channel in list(self.channels)]):
                pass
            self._waits_for = self._wanted_queues()
            if not self._waits_for:
                box.end_wait(claims=False)
                return
            if box.begin_wait(self._waits_for):
                return
