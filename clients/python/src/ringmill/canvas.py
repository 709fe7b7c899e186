"""Tasks that wait for each other: chain, group, chord. All of them are enqueued, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .results import GroupResult, Result

if TYPE_CHECKING:
    from .app import App, Task

R = TypeVar("R")
Entry = tuple[int, int, bytes, list[int], dict[str, Any]]

LEAST_KEPT = 3600.0  # seconds: a parent's result has to be there when its child begins
ONE, ALL = 1, 2


class Signature(Generic[R]):
    """A task and its arguments."""

    def __init__(self, task: Task[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs

    def __or__(self, other: Signature[Any]) -> Chain:
        return Chain([self, other])

    def delay(self) -> Result[R]:
        return self.task.delay(*self.args, **self.kwargs)

    def entry(self, after: list[int], parents: int, has_children: bool) -> Entry:
        numbers = self.task.app.handles
        given: dict[str, Any] = {}
        if has_children and self.task.keep_result < LEAST_KEPT:
            given["keep_result"] = LEAST_KEPT
        payload = self.task.payload_of(self.args, self.kwargs, parents)
        kind, level = numbers.number("kind", self.task.kind), numbers.number("level", self.task.level)
        return (kind, level, payload, after, self.task.engine_options(given))


def _enqueue(app: App, entries: list[Entry]) -> list[int]:
    return list(app.producer.enqueue_graph(entries))


class Chain:
    """Each task gets the result of the one before as its first argument."""

    def __init__(self, signatures: list[Signature[Any]]) -> None:
        if not signatures:
            raise ValueError("a chain has at least one task")
        self.signatures = signatures

    def __or__(self, other: Signature[Any]) -> Chain:
        return Chain([*self.signatures, other])

    def delay(self) -> Result[Any]:
        """Returns the result of the last task."""
        last = len(self.signatures) - 1
        entries = [
            signature.entry([n - 1] if n else [], ONE if n else 0, n != last)
            for n, signature in enumerate(self.signatures)
        ]
        task = self.signatures[-1].task
        return Result(task.app, _enqueue(task.app, entries)[-1], task.serializer)


class Group:
    """Tasks that run side by side."""

    def __init__(self, signatures: list[Signature[Any]]) -> None:
        if not signatures:
            raise ValueError("a group has at least one task")
        self.signatures = signatures

    def delay(self) -> GroupResult[Any]:
        app = self.signatures[0].task.app
        ids = _enqueue(app, [signature.entry([], 0, False) for signature in self.signatures])
        return GroupResult([Result(app, id, each.task.serializer) for id, each in zip(ids, self.signatures)])


def chain(*signatures: Signature[Any]) -> Chain:
    """Tasks after each other."""
    return Chain(list(signatures))


def group(*signatures: Signature[Any] | Iterable[Signature[Any]]) -> Group:
    """Tasks side by side: group(a.s(1), a.s(2)), or group(a.s(n) for n in range(10))."""
    if len(signatures) == 1 and not isinstance(signatures[0], Signature):
        return Group(list(signatures[0]))
    return Group([each for each in signatures if isinstance(each, Signature)])


class chord:
    """A group and a callback, which gets the list of the group's results as its first argument."""

    def __init__(self, header: Group | Iterable[Signature[Any]], callback: Signature[Any]) -> None:
        self.signatures = header.signatures if isinstance(header, Group) else list(header)
        self.callback = callback

    def delay(self) -> Result[Any]:
        """Returns the result of the callback."""
        entries = [signature.entry([], 0, True) for signature in self.signatures]
        entries.append(self.callback.entry(list(range(len(self.signatures))), ALL, False))
        task = self.callback.task
        return Result(task.app, _enqueue(task.app, entries)[-1], task.serializer)
