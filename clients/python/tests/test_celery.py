"""Celery itself: the program of the README with two lines changed, its results, and kills."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import GENEROUS, await_true, kill_groups

pytest.importorskip("celery")

MODULE = """
import os, time
from celery import Celery

app = Celery('myapp', broker='ringmill.kombu:Transport+ringmill://{path}', backend='ringmill://{path}')
app.conf.update(task_serializer='json', accept_content=['json'], task_acks_late=True, task_reject_on_worker_lost=True,
                task_max_retries=3,
                task_queues={{'high': {{'exchange': 'high', 'routing_key': 'high'}},
                              'default': {{'exchange': 'default', 'routing_key': 'default'}},
                              'low': {{'exchange': 'low', 'routing_key': 'low'}}}},
                task_default_queue='default', worker_send_task_events=True, task_send_sent_event=True)

@app.task
def add(a, b):
    return a + b

@app.task
def total(values):
    return sum(values)

@app.task
def parent():
    return os.getppid()

@app.task(bind=True)
def slow(self, path, seconds):
    with open(path, 'a') as file:
        file.write(f"{{os.getpid()}} {{os.getppid()}} {{bool(self.request.delivery_info.get('redelivered'))}}\\n")
    if not self.request.delivery_info.get('redelivered'):
        time.sleep(seconds)
    return 'done'

@app.task(bind=True)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries

@app.task
def note(path, word):
    with open(path, 'a') as file:
        file.write(word + '\\n')
    time.sleep(0.01)
"""


class World:
    def __init__(self, folder, path):
        self.folder = folder
        (folder / "myapp.py").write_text(MODULE.format(path=path))
        space = {"__name__": "myapp"}
        exec(compile((folder / "myapp.py").read_text(), "myapp.py", "exec"), space)
        self.app = space["app"]
        self.tasks = space
        self.started = []

    def start(self, *arguments):
        command = [sys.executable, "-m", "celery", "-A", "myapp", "worker", "-l", "WARNING"]
        command += arguments or ("-c", "2")
        environment = {**os.environ, "C_FORCE_ROOT": "1"}
        log = open(self.folder / f"worker-{len(self.started)}.log", "wb")
        name = f"w{len(self.started)}@host"
        self.started.append(
            subprocess.Popen([*command, "-n", name], cwd=self.folder, env=environment, stdout=log, stderr=log,
                             start_new_session=True)
        )  # fmt: skip
        return self.started[-1]

    def __getattr__(self, name):
        return self.tasks[name]

    def lines(self, name):
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def end(self):
        kill_groups(self.started)
        self.app.close()


@pytest.fixture
def world(tmp_path, path):
    made = World(tmp_path, path)
    yield made
    made.end()


def test_the_program_runs_with_two_lines_changed(world):
    world.start()
    assert world.add.delay(2, 3).get(timeout=GENEROUS) == 5
    for queue in ("high", "low"):
        assert world.add.apply_async((1, 2), queue=queue).get(timeout=GENEROUS) == 3
    assert world.flaky.delay().get(timeout=GENEROUS) == 2


def test_a_task_that_has_expired_has_the_result_revoked(world):
    from celery.exceptions import TaskRevokedError

    result = world.add.apply_async((1, 1), expires=0.05)
    time.sleep(0.2)
    world.start()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=GENEROUS)


def test_groups_chains_and_chords(world):
    from celery import chain, chord, group

    world.start()
    add = world.add
    assert group(add.s(n, 1) for n in range(5))().get(timeout=GENEROUS) == [1, 2, 3, 4, 5]
    assert chain(add.s(1, 1), add.s(10))().get(timeout=GENEROUS) == 12
    assert chord([add.s(n, 1) for n in range(5)])(world.total.s()).get(timeout=GENEROUS) == 15


def test_remote_control_reaches_the_workers(world):
    world.start()
    world.add.delay(1, 1).get(timeout=GENEROUS)
    assert await_true(lambda: world.app.control.ping(timeout=1.0) == [{"w0@host": {"ok": "pong"}}])
    registered = world.app.control.inspect(timeout=5).registered()
    assert "myapp.add" in registered["w0@host"]


def test_events_tell_of_tasks(world):
    world.start()
    world.add.delay(0, 0).get(timeout=GENEROUS)
    seen = set()
    with world.app.connection() as connection:
        receiver = world.app.events.Receiver(connection, handlers={"*": lambda event: seen.add(event["type"])})
        with receiver.consumer_context() as (consuming, _, _):
            world.add.delay(1, 2)
            end = time.monotonic() + GENEROUS
            while "task-succeeded" not in seen and time.monotonic() < end:
                try:
                    consuming.drain_events(timeout=1.0)
                except socket.timeout:
                    pass
    names = world.app.connection().channel().box.engine.levels()
    assert not [name for name in names if "celeryev" in name or "pidbox" in name]
    assert {"task-received", "task-started", "task-succeeded"} <= seen


def test_a_task_with_an_eta_waits_in_the_engine_and_not_in_a_worker(world, engine):
    world.start()
    world.add.delay(1, 1).get(timeout=GENEROUS)
    begun = time.time()
    result = world.add.apply_async((1, 2), countdown=1.5)
    for _ in range(200):
        world.add.apply_async((1, 2), countdown=3600)
    assert engine.levels()["default"]["delayed"] >= 200
    assert engine.levels()["default"]["running"] == 0
    assert result.get(timeout=GENEROUS) == 3
    assert time.time() - begun >= 1.4


@pytest.mark.parametrize("victim", ["child", "main"])
def test_a_killed_workers_task_runs_again_at_once(world, victim):
    first = world.start("-c", "1")
    # Longer than a second worker takes to start.
    result = world.slow.delay(str(world.folder / "runs"), 2 if victim == "child" else 20)
    assert await_true(lambda: len(world.lines("runs")) == 1)
    if victim == "main":
        world.start("-c", "1")
        assert await_true(lambda: len(world.app.control.ping(timeout=0.5)) == 2)
    child, parent, redelivered = world.lines("runs")[0].split()
    assert (int(parent), redelivered) == (first.pid, "False")
    killed_at = time.monotonic()
    os.kill(int(child if victim == "child" else parent), signal.SIGKILL)
    assert await_true(lambda: len(world.lines("runs")) == 2)
    assert time.monotonic() - killed_at < (5 if victim == "main" else 25)  # Celery gives a lost child 10 s
    if victim == "main":
        assert world.lines("runs")[1].split()[2] == "True"
    assert result.get(timeout=GENEROUS) == "done"
    assert len(world.lines("runs")) == 2


def test_a_task_longer_than_a_default_lease_runs_once(tmp_path):
    """celery#5935: no visibility timeout gives it to another."""
    import ringmill

    path = str(tmp_path / "short")
    ringmill.create(path, capacity=1024)
    world = World(tmp_path, path)
    try:
        world.start()
        assert world.slow.delay(str(tmp_path / "runs"), 3).get(timeout=GENEROUS) == "done"
        assert len(world.lines("runs")) == 1
    finally:
        world.end()
        ringmill.remove(path, True)


def test_no_task_is_lost_in_warm_shutdowns(world, engine):
    """celery#4354, #7950."""
    for n in range(300):
        world.note.delay(str(world.folder / "notes"), str(n))
    for turn in range(3):
        process = world.start("-c", "2")
        assert await_true(lambda: len(world.lines("notes")) > 30 * (turn + 1))
        process.terminate()
        # Celery discards what it has handed to a child and not heard of; the child then waits 30 s (docs/celery.md).
        assert process.wait(2 * GENEROUS) == 0
    world.start("-c", "2")
    assert await_true(lambda: len(set(world.lines("notes"))) == 300)

    def is_done():
        counts = engine.levels()["default"]
        return counts["queued"] == counts["running"] == 0

    assert await_true(is_done)
    assert len(world.lines("notes")) <= 300 + 3 * 2  # what was discarded runs again


def test_children_that_are_replaced_lose_nothing(world):
    """celery#4185: --max-tasks-per-child."""
    world.start("-c", "2", "--max-tasks-per-child", "5")
    results = [world.add.delay(n, 1) for n in range(60)]
    assert [result.get(timeout=GENEROUS) for result in results] == [n + 1 for n in range(60)]


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools(world, pool):
    world.start("-P", pool, "-c", "2")
    results = [world.add.delay(n, 1) for n in range(30)]
    assert [result.get(timeout=GENEROUS) for result in results] == [n + 1 for n in range(30)]
