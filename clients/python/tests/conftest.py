"""Scratch engines, and workers as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ringmill

GENEROUS = 30.0


def kill_groups(leaders):
    """Kills the process groups of these leaders, of which some may be gone, and waits for the leaders."""
    for process in leaders:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(GENEROUS)


def await_true(condition, bound=GENEROUS):
    end = time.monotonic() + bound
    while not condition():
        if time.monotonic() > end:
            return condition()
        time.sleep(0.005)
    return True


@pytest.fixture
def path(tmp_path):
    directory = tmp_path / "engine"
    ringmill.create(str(directory), capacity=4096)
    yield str(directory)
    ringmill.remove(str(directory), True)


@pytest.fixture
def engine(path):
    return ringmill.Engine(path)


class Workers:
    """Worker processes of one module; whatever is left of them ends with the test."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        (folder / "jobs.py").write_text(source)
        self.started: list[subprocess.Popen] = []

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "ringmill", "worker", "jobs:app", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, start_new_session=True)
        self.started.append(process)
        return process

    def load(self):
        """The same module, here."""
        space = {"__name__": "jobs"}
        exec(compile((self.folder / "jobs.py").read_text(), "jobs.py", "exec"), space)
        return space

    def end(self) -> None:
        kill_groups([process for process in self.started if process.poll() is None])


@pytest.fixture
def workers(tmp_path, path):
    made: list[Workers] = []

    def make(source: str) -> Workers:
        head = f"import os, time, ringmill\napp = ringmill.App({path!r})\n"
        made.append(Workers(tmp_path, head + source))
        return made[-1]

    yield make
    for each in made:
        each.end()
