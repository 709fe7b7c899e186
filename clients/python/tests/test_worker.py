"""Worker processes: stopping, dying, draining."""

import os
import signal
import time

import pytest
import ringmill
from conftest import GENEROUS, await_true

TASKS = """
@app.task(keep_result=60)
def add(a, b):
    return a + b

@app.task(keep_result=60)
def pid():
    return os.getpid()

@app.task(keep_result=60, max_attempts=3)
def slow(path, seconds):
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {ringmill.current().attempt}\\n")
    if ringmill.current().attempt == 1:
        time.sleep(seconds)
    return ringmill.current().attempt

@app.task(keep_result=60, max_attempts=3)
def kills(path):
    with open(path, "a") as file:
        file.write("x")
    os.kill(os.getpid(), 9)
"""


def test_several_processes_run_tasks_and_stop_gracefully(workers):
    made = workers(TASKS)
    jobs = made.load()
    process = made.start("--processes", "2", "--threads", "2")
    pids = set()
    assert await_true(lambda: pids.add(jobs["pid"].delay().get(GENEROUS)) or len(pids) == 2)
    assert process.pid not in pids
    result = jobs["slow"].delay(str(made.folder / "runs"), 0.5)
    assert await_true(lambda: result.state == "running")
    process.terminate()
    assert process.wait(GENEROUS) == 0
    assert result.get(0) == 1  # it ran to its end
    assert jobs["app"].engine.levels()["default"]["running"] == 0


def test_a_killed_workers_task_runs_again_at_once(workers):
    made = workers(TASKS)
    jobs = made.load()
    jobs["app"].engine  # keeps
    first = made.start()
    runs = made.folder / "runs"
    result = jobs["slow"].delay(str(runs), 60.0)
    assert await_true(runs.exists)
    second = made.start()
    jobs["add"].delay(1, 2).get(GENEROUS)  # the second one is up
    first.kill()
    first.wait()
    killed_at = time.monotonic()
    assert await_true(lambda: len(runs.read_text().splitlines()) == 2)
    assert time.monotonic() - killed_at < 5
    assert result.get(GENEROUS) == 2
    second.terminate()
    assert second.wait(GENEROUS) == 0


def test_a_task_that_kills_its_worker_is_bounded(workers):
    made = workers(TASKS)
    jobs = made.load()
    made.start("--processes", "2")
    runs = made.folder / "kills"
    with pytest.raises(ringmill.TaskError) as caught:
        jobs["kills"].delay(str(runs)).get(GENEROUS)
    assert caught.value.cause == "worker_lost"
    assert runs.read_text() == "xxx"
    assert jobs["add"].delay(1, 2).get(GENEROUS) == 3  # others go on


def test_a_worker_drains(workers):
    made = workers(TASKS)
    jobs = made.load()
    results = [jobs["add"].delay(n, n) for n in range(50)]
    assert made.start("--drain").wait(GENEROUS) == 0
    assert [result.get(0) for result in results] == [2 * n for n in range(50)]


def test_processes_end_with_their_supervisor(workers):
    made = workers(TASKS)
    jobs = made.load()
    process = made.start("--processes", "2")
    pid = jobs["pid"].delay().get(GENEROUS)
    process.kill()

    def is_gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    assert await_true(is_gone)


def test_no_job_is_lost_while_workers_are_stopped_at_random(workers):
    made = workers(TASKS)
    jobs = made.load()
    results = jobs["add"].delay_many((n, 1) for n in range(2000))
    for turn in range(4):
        process = made.start("--threads", "2")
        time.sleep(0.25 + 0.05 * turn)
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS) in (0, -signal.SIGTERM)  # the latter, if it had not begun yet
    assert made.start("--drain").wait(GENEROUS) == 0
    assert [result.get(0) for result in results] == [n + 1 for n in range(2000)]
