#!/usr/bin/env python3
"""Writes the seeds of each fuzzer into FOLDER/NAME: what the files look like, and first harms.

  seeds.py FOLDER
"""

import json
import random
import struct
import sys
from pathlib import Path

choose = random.Random(20260)
NOISE_LENGTHS = (0, 6, 12, 40)


def noise(lengths=NOISE_LENGTHS):
    return bytes([choose.randrange(256) for _ in range(choose.choice(lengths))])


def harmed_journals():
    """Each journal whole, signed and not, and with a first harm."""
    return [bytes([base, signing]) + noise() for base in range(64) for signing in range(4)]


ENGINE = {
    "format": 1, "id": "1122334455667788", "shm_dir": "/dev/shm", "levels": ["high", "default", "low"],
    "weights": [6, 3, 1], "capacity": 1024, "cell_size": 256, "level_rings": 16384, "max_payload": 1048576,
    "arena": 16777216, "lease_ms": 30000, "file_mode": 384, "journal": {"limit": 67108864, "segment_bytes": 2097152},
    "journal_id": "1122334455667788", "home": {"inode": 7, "born_ns": 8, "directory": 9},
}
NUMBERS = (-1, 0, 1, 63, 2**31, 2**32, 2**32 + 64, 2**63, 2**64, 1.5, 1e300, "7", None, True, [], {})


def changed(document):
    """The document, and once for each of its members with each odd value in its place, or without it."""
    texts = [json.dumps(document)]
    for key in document:
        texts.append(json.dumps({name: value for name, value in document.items() if name != key}))
        texts += [json.dumps(document | {key: number}) for number in NUMBERS]
    return [text.encode() for text in texts]


def level(name, place, first, **more):
    return {"name": name, "place": place, "epoch": 1, "weight": 3, "ring_begin": first, "ring": 4096,
            "removed": False} | more


def levels():
    lists = [[], [level("tenant-1", 0, 0)], [level("a", 0, 0), level("b", 1, 4096, removed=True)]]
    for key in ("place", "epoch", "ring", "ring_begin"):
        lists += [[level("a", 0, 0) | {key: number}] for number in NUMBERS]
    return [struct.pack("<BH", n % 4, 16 << n % 12) + json.dumps({"format": 1, "levels": one}).encode()
            for n, one in enumerate(lists)]


def flow_rules():
    rate = {"count": 10, "period_ns": 1000000000, "burst": 5}
    kinds = {"mail": {"paused_since_ns": 1, "rate": rate, "concurrency": 4}}
    rules = {"format": 1, "paused_levels": {"low": 1764000000000000000}, "kinds": kinds}
    odd = [rules | {"kinds": {"mail": {"rate": rate | {key: number}}}} for key in rate for number in NUMBERS]
    return changed(rules) + [json.dumps(one).encode() for one in odd]


def cron():
    expressions = ("* * * * *", "*/5 0-23/2 1,15 * MON-FRI", "0 0 29 2 *", "@daily", "@hourly", "30 2 * * SUN",
                   "59 23 31 12 7", "0 0 30 2 *", "1-70 * * * *", "*/0 * * * *")
    zones = ("UTC", "Europe/Berlin", "Pacific/Apia", "localtime", "../../etc/passwd", "")
    times = (0, 1764000000, -5000000000, 7999999999)
    return [struct.pack("<qB", time, len(zone)) + zone.encode() + expression.encode()
            for expression in expressions for zone in zones for time in times]


def from_json():
    job = {"kind": "mail", "level": "low", "payload": {"to": [1, 2, {"x": "\u00fc"}]}, "timeout": "30s", "delay": "5m",
           "max_attempts": 3, "backoff": "exponential:1s,2,1h", "dead": {"cause": "failed"}}
    lines = changed(job)
    lines += [b'{"kind":"k","payload":' + b"[" * depth + b"]" * depth + b"}" for depth in (1, 998, 1000, 2000)]
    lines += [b'{"payload_base64":"aGVsbG8="}', b'{"payload":"\\ud83d\\ude00\\u0000"}']
    return lines + [b'{"a":1,"a":2}', b"{}", b"[]"]


def harmed_databases(statements):
    """Each statement with each kind of value, and bytes in places of the head and of pages."""
    seeds = [bytes([0])]
    for statement in range(statements):
        seeds += [bytes([1, statement]) + 3 * (bytes([kind]) + noise((1, 4, 9))) for kind in range(6)]
    return seeds + [bytes([0]) + struct.pack("<H", at) + bytes([choose.randrange(8)]) + noise((4, 8))
                    for at in (0, 18, 24, 28, 44, 60, 100, 105, 4096, 4100, 8192, 8200, 12288)]


CHOICES = [{"all": True}, {"id": "00112233aabbccdd"}, {"kind": "mail", "level": "low"}, {"cause": "worker_lost"},
           {"all": False}, {"all": True, "kind": "x"}, {"id": 7}, {"more": 1}]


def action_requests():
    bodies = [json.dumps(choice).encode() for choice in CHOICES]
    bodies += [b"", b"[]", b'{"all":true,"all":false}', b"[" * 1000, b'{"kind":"\\ud800\\u0000"}', b'{"id":"\xff"}']
    return [bytes([flags, path]) + body for flags in (1, 0x81, 0xC7) for path in range(7) for body in bodies]


def requests():
    """Raw ones, and contents for those that the fuzzer frames itself; whole, pipelined, cut and in pieces."""
    raw = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /%zz?a=%00&b&=c HTTP/1.1\r\nHost: x\r\n\r\n",
           b"HEAD / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
           b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
           b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n",
           b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", b"\x16\x03\x01\x02\x00",
           b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", b"GET " + b"/a" * 1500]
    seeds = [bytes([how]) + struct.pack("<H", 7) + one for how in (0, 2, 4, 8, 10) for one in raw]
    return seeds + [bytes([how]) + struct.pack("<H", 90) + bytes([flags | 10]) + b"dead/purge" + more +
                    json.dumps(choice).encode()
                    for how in (1, 3, 5, 9)
                    for flags, more in ((0, b""), (64, b""), (128, b""), (32, b"N" * 20 + b"\x00\x02"))
                    for choice in CHOICES[:3]]


SEEDS = {
    "http": requests, "action-request": action_requests,
    "journal-reader": harmed_journals, "recovery": harmed_journals, "engine-json": lambda: changed(ENGINE),
    "levels": levels, "flow-rules": flow_rules, "cron": cron, "from-json": from_json,
    "dead-letters": lambda: harmed_databases(21), "schedules": lambda: harmed_databases(19),
}

for name, seeds in SEEDS.items():
    folder = Path(sys.argv[1]) / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (folder / f"{number:04}").write_bytes(seed)
