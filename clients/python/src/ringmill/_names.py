"""Names of kinds and levels: 1 to 63 characters of [A-Za-z0-9._:/-]."""

from __future__ import annotations

import hashlib
import re

MOST = 63
_ALLOWED = re.compile(r"[A-Za-z0-9._:/-]{1,63}")
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._:/-]")


def engine_name(name: str) -> str:
    """Returns the name itself if the engine takes it; else one made of it and of its hash, the same everywhere."""
    if _ALLOWED.fullmatch(name):
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{_NOT_ALLOWED.sub('_', name)[: MOST - 1 - len(digest)]}:{digest}"
