"""Celery's other programs and pools: Flower, beat, remote control, gevent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from conftest import GENEROUS, await_true

pytest.importorskip("celery")

from test_celery import world  # noqa: E402, F401  (a fixture)


def start_beside(world, *arguments, **environment):  # noqa: F811
    """Another program of Celery; it ends with the workers."""
    log = open(world.folder / f"beside-{len(world.started)}.log", "wb")
    world.started.append(
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "myapp", *arguments],
            cwd=world.folder, env={**os.environ, "C_FORCE_ROOT": "1", **environment}, stdout=log, stderr=log,
            start_new_session=True,
        )
    )  # fmt: skip
    return world.started[-1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_flower_shows_workers_and_tasks(world):  # noqa: F811
    pytest.importorskip("flower")
    port = free_port()
    world.start()
    world.add.delay(0, 0).get(timeout=GENEROUS)
    start_beside(
        world, "flower", "--address=127.0.0.1", f"--port={port}", "--persistent=False", "--enable_events=True",
        FLOWER_UNAUTHENTICATED_API="1",
    )  # fmt: skip

    def ask(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return {}

    assert await_true(lambda: "w0@host" in ask("/api/workers?refresh=1"), 2 * GENEROUS)
    workers = ask("/api/workers?refresh=1")
    assert "myapp.add" in workers["w0@host"]["registered"]
    assert {queue["name"] for queue in workers["w0@host"]["active_queues"]} == {"high", "default", "low"}
    result = world.add.delay(20, 3)
    assert result.get(timeout=GENEROUS) == 23
    assert await_true(lambda: ask("/api/tasks").get(result.id, {}).get("state") == "SUCCESS")
    task = ask("/api/tasks")[result.id]
    assert (task["name"], task["result"], task["worker"]) == ("myapp.add", "23", "w0@host")


def test_beat_sends_what_is_due(world):  # noqa: F811
    source = (world.folder / "myapp.py").read_text()
    notes = world.folder / "notes"
    schedule = {"often": {"task": "myapp.note", "schedule": 0.5, "args": (str(notes), "tick")}}
    (world.folder / "myapp.py").write_text(f"{source}\napp.conf.beat_schedule = {schedule!r}\n")
    world.start("-c", "1")
    beat = start_beside(world, "beat", "--schedule", str(world.folder / "schedule"), "--pidfile=", "--max-interval=1")
    assert await_true(lambda: len(world.lines("notes")) >= 3)
    beat.terminate()
    assert beat.wait(GENEROUS) == 0
    time.sleep(0.5)
    count = len(world.lines("notes"))
    time.sleep(1.2)
    assert len(world.lines("notes")) == count


def test_remote_control_revokes_limits_and_ends(world):  # noqa: F811
    from celery.exceptions import TaskRevokedError

    worker = world.start("-c", "1")
    world.add.delay(1, 1).get(timeout=GENEROUS)
    control = world.app.control
    running = world.slow.delay(str(world.folder / "runs"), 60)
    assert await_true(lambda: len(world.lines("runs")) == 1)
    waiting = world.add.delay(1, 2)
    waiting.revoke()
    running.revoke(terminate=True, signal="SIGKILL")
    for result in (running, waiting):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=GENEROUS)
    assert control.rate_limit("myapp.add", "100/s", reply=True, timeout=5)[0]["w0@host"]["ok"]
    assert control.add_consumer("other", reply=True, timeout=5)[0]["w0@host"]["ok"]
    assert world.add.apply_async((2, 2), queue="other").get(timeout=GENEROUS) == 4
    assert control.cancel_consumer("other", reply=True, timeout=5)[0]["w0@host"]["ok"]
    control.shutdown()
    assert worker.wait(GENEROUS) == 0


def test_gevent_runs_many_tasks_at_a_time(world):  # noqa: F811
    pytest.importorskip("gevent")
    source = (world.folder / "myapp.py").read_text()
    (world.folder / "myapp.py").write_text(
        source
        + """
@app.task
def nap(seconds):
    time.sleep(seconds)
    return seconds
"""
    )
    world.start("-P", "gevent", "-c", "100")
    world.add.delay(1, 1).get(timeout=GENEROUS)
    begun = time.monotonic()
    results = [world.app.send_task("myapp.nap", (1.0,)) for _ in range(100)]
    assert [result.get(timeout=GENEROUS) for result in results] == [1.0] * 100
    assert time.monotonic() - begun < 20  # one after the other they take 100
    world.started[0].send_signal(signal.SIGTERM)
    assert world.started[0].wait(GENEROUS) == 0
