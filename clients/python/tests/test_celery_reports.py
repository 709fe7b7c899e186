"""Reports of Celery's users, as tests: what their brokers made of a kill, a flood, or a long life."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import ringmill
from conftest import GENEROUS, await_true, kill_groups

pytest.importorskip("celery")
pytest.importorskip("psutil")

from test_celery import World, world  # noqa: E402, F401  (a fixture)

#: Tasks of the test of a long life. A million take ten minutes: RINGMILL_LONG_LIFE=1000000.
LONG_LIFE = int(os.environ.get("RINGMILL_LONG_LIFE", "20000"))
FLOOD = 100_000


@pytest.fixture
def spacious(tmp_path):
    """A program of Celery on an engine with room for a flood."""
    path = str(tmp_path / "spacious")
    ringmill.create(path)
    made = World(tmp_path, path)
    yield made
    made.end()
    ringmill.remove(path, True)


def processes_of(worker):
    main = psutil.Process(worker.pid)
    return [main, *main.children(recursive=True)]


def memory_of(worker):
    """Its own: the engine's pages belong to all."""
    infos = [process.memory_info() for process in processes_of(worker)]
    return sum(info.rss - info.shared for info in infos)


def test_a_flood_of_tasks_with_an_eta_takes_no_memory_of_a_worker(spacious):
    """celery#2218, #9849, #978: 11 KB each, and no prefetch left."""
    worker = spacious.start("-c", "2")
    for _ in range(500):
        spacious.add.delay(1, 1)
    assert spacious.add.delay(1, 1).get(timeout=GENEROUS) == 2
    before = memory_of(worker)
    with spacious.app.connection() as connection, connection.Producer() as producer:
        for _ in range(FLOOD):
            spacious.add.apply_async((1, 2), countdown=3600, ignore_result=True, producer=producer)
    assert spacious.app.connection().channel().box.engine.levels()["default"]["delayed"] == FLOOD
    spans = []
    for _ in range(20):
        begun = time.monotonic()
        assert spacious.add.delay(2, 3).get(timeout=GENEROUS) == 5
        spans.append(time.monotonic() - begun)
    assert memory_of(worker) - before < 5 << 20
    assert sorted(spans)[10] < 0.5
    stats = spacious.app.control.inspect(timeout=5).stats()["w0@host"]
    assert stats["prefetch_count"] == 2 * 4


def test_a_long_life_leaves_memory_descriptors_and_participants_as_they_were(spacious):
    """celery#4843, #9797."""
    worker = spacious.start("-c", "2")
    engine = spacious.app.connection().channel().box.engine

    def run(count):
        for _ in range(count):
            spacious.add.apply_async((1, 1), ignore_result=True)
        results = [spacious.add.delay(1, n) for n in range(50)]  # both children open the engine for their results
        assert [result.get(timeout=600) for result in results] == [n + 1 for n in range(50)]
        spacious.app.control.ping(timeout=0.2)  # remote control makes and drops queues

    def look():
        descriptors = sum(process.num_fds() for process in processes_of(worker))
        return memory_of(worker), descriptors, engine.totals()["participants"], len(engine.levels())

    run(LONG_LIFE // 4)
    memory, *before = look()
    run(3 * LONG_LIFE // 4)
    after_memory, *after = look()
    assert after == before
    assert after_memory - memory < 4 << 20
    assert engine.levels()["default"]["queued"] == 0


def test_a_worker_goes_on_when_the_keeper_is_killed(world):  # noqa: F811
    """celery#8030: deaf after the broker has started again."""
    code = "import ringmill, sys, time; e = ringmill.Engine(sys.argv[1]); print(e.keeps, flush=True); time.sleep(600)"
    path = world.app.connection().transport.box.path
    ringmill_first = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    try:
        assert ringmill_first.stdout.readline() in ("True\n", "False\n")
        world.start()
        assert world.add.delay(1, 1).get(timeout=GENEROUS) == 2
        ringmill_first.kill()
        ringmill_first.wait()
        begun = time.monotonic()
        assert world.add.delay(1, 2).get(timeout=GENEROUS) == 3
        assert world.add.apply_async((1, 3), countdown=0.2).get(timeout=GENEROUS) == 4
        assert time.monotonic() - begun < 5
    finally:
        if ringmill_first.poll() is None:
            ringmill_first.kill()
            ringmill_first.wait()


def test_a_task_that_kills_its_child_process_is_dead_after_some_rounds(tmp_path, path):
    """dramatiq#213, Dispatcharr#1509: it came back for ever."""
    world = World(tmp_path, path)
    (tmp_path / "myapp.py").write_text(
        (tmp_path / "myapp.py").read_text()
        + """
app.conf.update(worker_lost_wait=0.2, broker_transport_options={'max_requeues': 2})

@app.task
def kills(path):
    import signal
    with open(path, 'a') as file:
        file.write('x')
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    try:
        world.start("-c", "1")
        world.app.send_task("myapp.kills", (str(tmp_path / "kills"),))
        engine = ringmill.Engine(path)
        assert await_true(lambda: engine.totals()["dead"] == 1, 2 * GENEROUS)
        assert (tmp_path / "kills").read_text() == "xxx"
        assert world.add.delay(1, 2).get(timeout=GENEROUS) == 3  # others go on
    finally:
        world.end()


def test_no_participant_is_left_when_children_are_replaced_after_each_task(world, engine):  # noqa: F811
    """celery#4185, #496: hangs with --max-tasks-per-child."""
    world.start("-c", "4", "--max-tasks-per-child", "1")
    results = [world.add.delay(n, 1) for n in range(40)]
    assert [result.get(timeout=GENEROUS) for result in results[:10]] == [n + 1 for n in range(10)]
    participants = engine.totals()["participants"]
    assert [result.get(timeout=2 * GENEROUS) for result in results[10:]] == [n + 1 for n in range(10, 40)]

    def is_as_before():
        return engine.totals()["participants"] <= participants + 4  # those of children that have not ended yet

    assert await_true(is_as_before)


def test_an_engine_that_is_made_anew_is_not_served_in_silence(tmp_path):
    """A worker whose engine was removed ends or goes on with the new one: it does not wait for ever."""
    path = str(tmp_path / "anew")
    ringmill.create(path, capacity=1024)
    world = World(tmp_path, path)
    try:
        worker = world.start("-c", "1")
        assert world.add.delay(1, 1).get(timeout=GENEROUS) == 2
        world.app.close()
        ringmill.remove(path, True)
        shutil.rmtree(path + ".celery", ignore_errors=True)
        with contextlib.suppress(ringmill.AlreadyExists):  # the worker makes it anew as well
            ringmill.create(path, capacity=1024)
        code = "import myapp, sys; r = myapp.add.delay(1, 2); sys.stdout.write(str(r.get(timeout=30)))"

        def is_served():
            if worker.poll() is not None:
                return True
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
            return done.stdout == "3"

        assert is_served(), "the worker neither ended nor took the task"
    finally:
        kill_groups(world.started)
        ringmill.remove(path, True)


def test_signals_end_a_worker_and_lose_nothing(world):  # noqa: F811
    """SIGQUIT is Celery's cold shutdown."""
    for turn, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)):
        worker = world.start("-c", "1")
        result = world.slow.delay(str(world.folder / f"runs-{turn}"), 3)
        assert await_true(lambda name=f"runs-{turn}": len(world.lines(name)) == 1)
        worker.send_signal(number)
        worker.wait(2 * GENEROUS)
        last = world.start("-c", "1")
        assert result.get(timeout=GENEROUS) == "done"
        kill_groups([last])
