"""Servers that fork after they have loaded the app, and each way of multiprocessing to start a process."""

import multiprocessing
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import ringmill
from conftest import GENEROUS, await_true, kill_groups

TASKS = """
@app.task(keep_result=60)
def add(a, b):
    return a + b
"""


def enqueue_one(path, number):
    """Runs in a process of multiprocessing."""
    app = ringmill.App(path)

    @app.task(name="jobs.add", keep_result=60)
    def add(a, b):
        return a + b

    return add.delay(number, 1).get(GENEROUS)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_enqueue_and_wait(workers, path, method):
    made = workers(TASKS)
    jobs = made.load()
    made.start()
    assert jobs["add"].delay(0, 0).get(GENEROUS) == 0  # this process has the engine open, and keeps it
    with multiprocessing.get_context(method).Pool(3) as pool:
        assert pool.starmap(enqueue_one, [(path, n) for n in range(12)]) == [n + 1 for n in range(12)]


def test_gunicorn_serves_with_an_app_that_was_loaded_before_its_workers_were_forked(workers, path):
    pytest.importorskip("gunicorn")
    made = workers(TASKS)
    made.start()
    (made.folder / "site_app.py").write_text(
        """
import os, jobs
assert jobs.add.delay(1, 1).get(timeout=30) == 2  # the master has the engine open

def application(environ, start_response):
    total = jobs.add.delay(os.getpid(), 1).get(timeout=30)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.getppid()} {total}".encode()]
"""
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", f"127.0.0.1:{port}",
         "--log-level", "warning", "site_app"],
        cwd=made.folder, start_new_session=True,
    )  # fmt: skip
    seen = {}

    def ask():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=GENEROUS) as answer:
                pid, parent, total = map(int, answer.read().split())
        except (urllib.error.URLError, OSError):
            return False
        assert (parent, total) == (server.pid, pid + 1)
        seen[pid] = seen.get(pid, 0) + 1
        return len(seen) >= 2 and sum(seen.values()) >= 20

    try:
        assert await_true(ask), seen
        server.send_signal(signal.SIGTERM)
        assert server.wait(GENEROUS) == 0
    finally:
        kill_groups([server])
