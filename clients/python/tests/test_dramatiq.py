"""Dramatiq: brokers in this process, real workers as its command starts them, and kills."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import GENEROUS, await_true, kill_groups

dramatiq = pytest.importorskip("dramatiq")

from dramatiq.results import ResultMissing, Results, ResultTimeout  # noqa: E402
from ringmill.dramatiq import RingmillBroker, RingmillRateLimiterBackend, RingmillResultBackend  # noqa: E402

MODULE = """
import os, signal, time
import dramatiq
from dramatiq.results import Results
from ringmill.dramatiq import RingmillBroker, RingmillResultBackend

broker = RingmillBroker({path!r}, max_attempts=3)
broker.add_middleware(Results(backend=RingmillResultBackend({path!r})))
dramatiq.set_broker(broker)

@dramatiq.actor(store_results=True)
def add(a, b):
    return a + b

@dramatiq.actor(max_retries=0)
def note(path, word, seconds=0.0):
    with open(path, 'a') as file:
        file.write(f"{{word}} {{os.getpid()}}\\n")
    time.sleep(seconds)

@dramatiq.actor(priority=0, queue_name='mixed')
def urgent(path, word):
    note.fn(path, word)

@dramatiq.actor(priority=100, queue_name='mixed')
def idle(path, word):
    note.fn(path, word)

@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=20, store_results=True)
def flaky(path):
    note.fn(path, 'try')
    if len(open(path).readlines()) < 3:
        raise ValueError('not yet')
    return 'done'

@dramatiq.actor(max_retries=1, min_backoff=10, max_backoff=10)
def hopeless():
    raise ValueError('never')

@dramatiq.actor(max_retries=0)
def kills_its_worker(path):
    note.fn(path, 'ran', 0.5)  # Dramatiq's main process waits 30 s for a worker that dies while it boots
    os.kill(os.getpid(), signal.SIGKILL)
"""


class World:
    def __init__(self, folder, path):
        self.folder = folder
        (folder / "actors.py").write_text(MODULE.format(path=path))
        space = {"__name__": "actors"}
        exec(compile((folder / "actors.py").read_text(), "actors.py", "exec"), space)
        self.actors = space
        self.broker = space["broker"]
        self.started = []

    def start(self, *arguments):
        command = [sys.executable, "-m", "dramatiq", "actors", *(arguments or ("-p", "1", "-t", "2"))]
        log = open(self.folder / f"worker-{len(self.started)}.log", "wb")
        self.started.append(
            subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        )
        return self.started[-1]

    def __getattr__(self, name):
        return self.actors[name]

    def file(self, name):
        return str(self.folder / name)

    def lines(self, name):
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def end(self):
        kill_groups(self.started)


@pytest.fixture
def world(tmp_path, path):
    made = World(tmp_path, path)
    yield made
    made.end()


def is_empty(engine, *queues):
    counts = engine.levels()
    return not any(counts[queue][state] for queue in queues for state in ("queued", "running", "delayed"))


def test_messages_run_and_return_results(world):
    world.start()
    messages = [world.add.send(n, 1) for n in range(50)]
    assert [message.get_result(block=True, timeout=30_000) for message in messages] == [n + 1 for n in range(50)]


def test_a_result_that_is_not_there_is_missing_or_times_out(world):
    message = world.add.send(1, 1)
    with pytest.raises(ResultMissing):
        message.get_result()
    with pytest.raises(ResultTimeout):
        message.get_result(block=True, timeout=50)


def test_a_delayed_message_waits_in_the_engine_and_not_in_a_worker(world, engine):
    world.start()
    world.add.send(0, 0).get_result(block=True, timeout=30_000)
    for _ in range(100):
        world.note.send_with_options(args=(world.file("never"), "x"), delay=3_600_000)
    begun = time.time()
    message = world.add.send_with_options(args=(1, 2), delay=1000)
    assert engine.levels()["default"]["delayed"] >= 100
    assert engine.levels()["default"]["running"] == 0
    assert message.get_result(block=True, timeout=30_000) == 3
    assert time.time() - begun >= 0.99


def test_a_failed_message_is_retried_with_backoff(world):
    world.start()
    assert world.flaky.send(world.file("tries")).get_result(block=True, timeout=30_000) == "done"
    assert len(world.lines("tries")) == 3


def test_a_message_that_always_fails_is_a_dead_letter(world, engine):
    world.start()
    world.hopeless.send()
    assert await_true(lambda: engine.totals()["dead"] == 1)
    assert await_true(lambda: is_empty(engine, "default"))


def test_the_more_urgent_of_the_claimed_messages_runs_first(world):
    for number in range(4):
        world.idle.send(world.file("order"), f"idle{number}")
    for number in range(4):
        world.urgent.send(world.file("order"), f"urgent{number}")
    # One thread, which begins when all are claimed.
    os.environ["dramatiq_queue_prefetch"] = "16"
    try:
        world.start("-p", "1", "-t", "1", "-Q", "mixed")
    finally:
        del os.environ["dramatiq_queue_prefetch"]
    assert await_true(lambda: len(world.lines("order")) == 8)
    words = [line.split()[0] for line in world.lines("order")]
    # The first one may have begun before the others were claimed.
    assert [word for word in words[1:] if word.startswith("urgent")] == words[1:5] or words[:4] == [
        f"urgent{n}" for n in range(4)
    ]


def test_messages_of_a_killed_worker_run_on_another_one(world, engine):
    first = world.start("-p", "1", "-t", "1")
    world.note.send(world.file("runs"), "long", 3.0)
    assert await_true(lambda: len(world.lines("runs")) == 1)
    world.start("-p", "1", "-t", "1")
    time.sleep(1.0)
    killed_at = time.monotonic()
    os.kill(int(world.lines("runs")[0].split()[1]), signal.SIGKILL)
    assert await_true(lambda: len(world.lines("runs")) == 2, 3)
    assert time.monotonic() - killed_at < 1
    assert await_true(lambda: is_empty(engine, "default"))
    assert len(world.lines("runs")) == 2
    first.wait(GENEROUS)


def test_a_message_that_kills_its_workers_is_dead_after_its_attempts(world, engine):
    """dramatiq#213."""
    world.kills_its_worker.send(world.file("runs"))
    for attempt in range(3):
        world.start("-p", "1", "-t", "1").wait(GENEROUS)  # the command ends with its worker
        assert len(world.lines("runs")) == attempt + 1
    assert await_true(lambda: engine.totals()["dead"] == 1)
    assert world.add.send(1, 1)
    world.start("-p", "1", "-t", "1")
    assert await_true(lambda: is_empty(engine, "default"))
    assert len(world.lines("runs")) == 3


def test_no_message_is_lost_or_run_twice_in_shutdowns(world, engine):
    """dramatiq#431, #148."""
    for n in range(400):
        options = {"delay": 500} if n % 2 else {}
        world.note.send_with_options(args=(world.file("notes"), str(n), 0.02), **options)
    for _ in range(3):
        before = len(world.lines("notes"))
        process = world.start("-p", "1", "-t", "2")
        assert await_true(lambda: len(world.lines("notes")) > before + 15)
        process.terminate()
        assert process.wait(GENEROUS) == 0
    world.start("-p", "2", "-t", "2")
    assert await_true(lambda: is_empty(engine, "default"))
    assert sorted(int(line.split()[0]) for line in world.lines("notes")) == list(range(400))


def test_a_process_that_forks_goes_on_in_both(world, engine):
    world.note.send(world.file("notes"), "parent")
    child = os.fork()
    if child == 0:
        try:
            world.note.send(world.file("notes"), "child")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    world.note.send(world.file("notes"), "parent")
    assert engine.levels()["default"]["queued"] == 3


@pytest.fixture
def broker(path):
    made = RingmillBroker(path)
    made.add_middleware(Results(backend=RingmillResultBackend(path)))
    return made


def test_a_consumer_takes_no_more_than_it_may_and_goes_on_when_one_is_settled(broker):
    @dramatiq.actor(broker=broker)
    def act(n):
        pass

    for n in range(150):
        act.send(n)
    consumer = broker.consume("default", prefetch=100, timeout=50)
    taken = [next(consumer) for _ in range(100)]
    assert sorted(message.args[0] for message in taken) == list(range(100))
    assert next(consumer) is None
    threading.Timer(0.02, lambda: consumer.ack(taken.pop())).start()
    consumer._timeout = GENEROUS
    assert next(consumer).args == (100,)
    consumer._timeout = 0.0
    consumer.requeue(taken)
    consumer.close()


def test_a_message_may_be_settled_after_its_consumer_was_closed(broker, engine):
    @dramatiq.actor(broker=broker)
    def act():
        pass

    act.send()
    consumer = broker.consume("default", timeout=1000)
    message = next(consumer)
    consumer.close()
    assert engine.levels()["default"]["running"] == 1
    broker.consume("default").ack(message)
    assert is_empty(engine, "default")


def test_what_is_no_message_is_a_dead_letter(broker, engine):
    broker.declare_queue("default")
    producer = engine.attach("producer")
    producer.enqueue(engine.kind("dramatiq.message"), engine.level("default"), b"\xff no message")
    consumer = broker.consume("default", timeout=1000)
    assert next(consumer) is None
    consumer.close()
    assert await_true(lambda: engine.totals()["dead"] == 1)


def test_a_full_engine_is_a_connection_error(tmp_path):
    import ringmill

    path = str(tmp_path / "small")
    ringmill.create(path, capacity=64)
    broker = RingmillBroker(path, full_wait=0.0)

    @dramatiq.actor(broker=broker)
    def act():
        pass

    try:
        with pytest.raises(dramatiq.errors.BrokerConnectionError, match="full"):
            for _ in range(10_000):
                act.send()
    finally:
        ringmill.remove(path, True)


def test_a_limiter_counts_what_threads_do_at_once_exactly(path):
    backend = RingmillRateLimiterBackend(path)
    counted = []

    def count():
        for _ in range(100):
            if backend.incr("limit", 1, 150, 60_000):
                counted.append(1)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 150
    assert not backend.add("limit", 1, 60_000)
    assert backend.decr("limit", 150, 0, 60_000)
    assert not backend.decr("limit", 1, 0, 60_000)
