"""How arguments and results become bytes. JSON is the default; pickle runs what it is given, so it is never taken
from a sender that is not trusted."""

from __future__ import annotations

import json
import pickle
from typing import Any, Protocol


class Serializer(Protocol):
    name: str

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


class Json:
    name = "json"

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Pickle:
    name = "pickle"

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


class Msgpack:
    name = "msgpack"

    def __init__(self) -> None:
        import msgpack

        self._msgpack: Any = msgpack

    def dumps(self, value: Any) -> bytes:
        data: bytes = self._msgpack.packb(value, use_bin_type=True)
        return data

    def loads(self, data: bytes) -> Any:
        return self._msgpack.unpackb(data, raw=False, strict_map_key=False)


class Raw:
    """The task takes one argument, bytes, and returns bytes or None."""

    name = "raw"

    def dumps(self, value: Any) -> bytes:
        if value is None:
            return b""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"a raw task takes and returns bytes, not {type(value).__name__}")
        return bytes(value)

    def loads(self, data: bytes) -> Any:
        return data


_KNOWN: dict[str, type[Serializer]] = {"json": Json, "pickle": Pickle, "msgpack": Msgpack, "raw": Raw}


def serializer_named(given: str | Serializer) -> Serializer:
    if not isinstance(given, str):
        return given
    if given not in _KNOWN:
        raise ValueError(f"no serializer {given!r}: one of {', '.join(_KNOWN)}")
    return _KNOWN[given]()
