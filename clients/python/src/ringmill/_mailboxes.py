"""Queues that belong to one consumer, and the table of bindings that all processes share. Both stand in a folder beside
the engine's directory: a socket per mailbox, which the kernel closes with its process, and bindings.json."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from ._handles import fork_generation

LONGEST_SEND = 1.0  # seconds that a full mailbox is waited for
Row = tuple[str, str, str, str, bool]  # exchange, routing key, pattern, queue, whether that is a mailbox


def folder_of(directory: str) -> str:
    """DIRECTORY.celery: not in the engine's directory, which is only to be removed as long as it holds nothing else.
    The users of the engine may use it."""
    directory = os.path.abspath(directory)
    folder = directory + ".celery"
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, os.stat(directory).st_mode & 0o777)
    return folder


class Bindings:
    """A file that a lock protects; read again only when it has changed."""

    def __init__(self, directory: str) -> None:
        self.folder = folder_of(directory)
        self.file_mode = os.stat(self.folder).st_mode & 0o666
        self._file = os.path.join(self.folder, "bindings.json")
        self._seen: tuple[int, int, int] | None = None
        self._rows: list[Row] = []

    def socket_path(self, queue: str) -> str:
        return os.path.join(self.folder, hashlib.blake2b(queue.encode(), digest_size=12).hexdigest() + ".socket")

    def is_mailbox(self, queue: str) -> bool:
        """Also of one whose process is gone: what is sent there is dropped."""
        return os.path.exists(self.socket_path(queue)) or any(row[3] == queue and row[4] for row in self._read())

    def is_living_mailbox(self, queue: str) -> bool:
        """A socket whose process is gone is removed."""
        path = self.socket_path(queue)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                _at_short_path(path, probe.connect)
                return True
            except FileNotFoundError:
                return False
            except ConnectionRefusedError:
                os.unlink(path)
                return False

    def _read(self) -> list[Row]:
        try:
            status = os.stat(self._file)
        except FileNotFoundError:
            return []
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            with open(self._file, encoding="utf-8") as file:
                self._rows = [(row[0], row[1], row[2], row[3], row[4]) for row in json.load(file)]
            self._seen = seen
        return self._rows

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._file + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self.file_mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _change(self, change: Callable[[list[Row]], list[Row]]) -> None:
        with self._locked():
            rows = list(self._read())
            changed = change(rows)
            if changed == rows:
                return
            part = f"{self._file}.{os.getpid()}"
            with open(part, "w", encoding="utf-8") as file:
                json.dump(changed, file)
            os.chmod(part, self.file_mode)
            os.replace(part, self._file)

    def add(self, exchange: str, routing_key: str, pattern: str, queue: str, is_mailbox: bool) -> None:
        row = (exchange, routing_key or "", pattern or "", queue, is_mailbox)
        if row not in self._read():
            self._change(lambda rows: rows if row in rows else [*rows, row])

    def remove(self, exchange: str, routing_key: str, queue: str) -> None:
        self._change(lambda rows: [r for r in rows if (r[0], r[1], r[3]) != (exchange, routing_key, queue)])

    def remove_queue(self, queue: str) -> None:
        if any(row[3] == queue for row in self._read()):
            self._change(lambda rows: [row for row in rows if row[3] != queue])

    def table(self, exchange: str) -> list[tuple[str, str, str]]:
        return [(row[1], row[2], row[3]) for row in self._read() if row[0] == exchange]


class Mailbox:
    """The messages of one queue, on their way to this process."""

    def __init__(self, bindings: Bindings, queue: str, has_priorities: bool = False) -> None:
        self.queue = queue
        self.has_priorities = has_priorities
        self.messages: deque[bytes] = deque()
        self._bindings = bindings
        self._path = bindings.socket_path(queue)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # gevent's sockets know it by this call alone
        _at_short_path(self._path, self._socket.bind)
        os.chmod(self._path, bindings.file_mode)
        self._maker = os.getpid()
        self.users: set[object] = set()  # connections of this process

    def fileno(self) -> int:
        return self._socket.fileno()

    def _receive(self) -> None:
        while True:
            try:
                self.messages.append(self._socket.recv(1 << 20))
            except (BlockingIOError, OSError):
                return

    def take(self) -> bytes:
        self._receive()
        if not self.messages:
            raise Empty
        if self.has_priorities:
            first = max(range(len(self.messages)), key=lambda n: (_priority_of(self.messages[n]), -n))
            self.messages.rotate(-first)
            message = self.messages.popleft()
            self.messages.rotate(first)
            return message
        return self.messages.popleft()

    def close(self) -> None:
        self._socket.close()
        if self._maker == os.getpid():
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
            self._bindings.remove_queue(self.queue)


_of_process: dict[tuple[str, int], dict[str, Mailbox]] = {}


def mailboxes_of_process(folder: str) -> dict[str, Mailbox]:
    """By queue. One connection may declare a queue and another one consume it, as for results by rpc://. The child of a
    fork has none."""
    return _of_process.setdefault((folder, fork_generation()), {})


def _priority_of(message: bytes) -> int:
    return int(json.loads(message)["properties"].get("priority") or 0)


def _at_short_path(path: str, call: Callable[[str], Any]) -> Any:
    """The address of a socket has at most 107 bytes: it is given by way of its folder's descriptor."""
    if len(path) <= 100:
        return call(path)
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return call(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def send_to_mailbox(bindings: Bindings, queue: str, payload: bytes) -> bool:
    """Returns False if the mailbox's process is gone: then its socket and its bindings go, too."""
    path = bindings.socket_path(queue)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(LONGEST_SEND)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(len(payload) * 2, 1 << 18))
        try:
            _at_short_path(path, lambda short: sender.sendto(payload, short))
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            bindings.remove_queue(queue)
            return False
        except (TimeoutError, BlockingIOError):
            return True  # full: what is sent to a mailbox may be lost, as with any broker's transient queue
