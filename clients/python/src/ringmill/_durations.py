"""Spans of time: seconds, a timedelta, or a text such as "250ms", "30s", "5m", "2h", "7d"."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Union

Duration = Union[float, int, str, timedelta]
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


def seconds_of(span: Duration) -> float:
    if isinstance(span, timedelta):
        return span.total_seconds()
    if isinstance(span, str):
        match = _TEXT.fullmatch(span)
        if match is None:
            raise ValueError(f"no span of time: {span!r}; as 250ms, 30s, 5m, 2h, 7d")
        return float(match[1]) * _UNITS[match[2]]
    return float(span)


def moment_of(at: float | datetime) -> float:
    """Seconds since the epoch. A datetime without a zone is of the local one."""
    return at.timestamp() if isinstance(at, datetime) else float(at)
