"""The calls of the engine, as thin as they are."""

import os
import signal
import threading
import time

import pytest
import ringmill
from conftest import await_true


@pytest.fixture
def names(engine):
    return engine.kind("test"), engine.level("default")


def test_a_job_goes_from_its_enqueue_to_its_end(engine, names):
    worker = engine.attach()
    id = worker.enqueue(*names, b"payload")
    assert engine.job(id).state == "queued"
    job = worker.claim()
    assert (job.id, job.payload, job.attempt, job.kind) == (id, b"payload", 1, names[0])
    assert engine.job(id).state == "running"
    job.complete()
    assert engine.job(id).state == "ended"
    assert worker.claim() is None


def test_each_way_to_settle(engine, names):
    worker = engine.attach()
    states = {}
    for way in ("complete", "fail", "retry_in", "snooze", "reject", "release", "cancel"):
        id = worker.enqueue_with(*names, way.encode(), keep_result=60)
        job = worker.claim()
        assert job.payload == way.encode()
        getattr(job, way)(*{"retry_in": (60.0,), "snooze": (60.0,)}.get(way, ()))
        assert not job.held
        states[way] = engine.job(id).state
        if states[way] == "queued":
            worker.claim().complete()
    assert states["complete"] == "completed"
    assert states["fail"] == states["retry_in"] == states["snooze"] == "delayed"
    assert states["release"] == "queued"
    assert states["cancel"] == "cancelled"


def test_a_second_settlement_is_an_error(engine, names):
    worker = engine.attach()
    worker.enqueue(*names, b"x")
    job = worker.claim()
    job.complete()
    with pytest.raises(ringmill.NotHeld):
        job.complete()
    with pytest.raises(ringmill.NotHeld):
        job.extend(1)


def test_a_job_that_is_forgotten_goes_back(engine, names):
    worker = engine.attach()
    id = worker.enqueue(*names, b"x")
    job = worker.claim()
    del job
    assert engine.job(id).state == "queued"
    assert worker.held == 0


def test_batches(engine, names):
    worker = engine.attach()
    payloads = [str(n).encode() for n in range(150)]
    ids = worker.enqueue_batch(*names, payloads)
    assert len(set(ids)) == 150
    seen = []
    while jobs := worker.claim_batch():
        seen += [job.payload for job in jobs]
        assert worker.complete_batch(jobs) == []
        assert not any(job.held for job in jobs)
    assert seen == payloads


def test_a_batch_without_objects_is_claimed_and_completed_by_one_call(engine, names):
    worker = engine.attach()
    payloads = [str(n).encode() for n in range(150)]
    ids = worker.enqueue_batch(*names, payloads)
    batch = worker.claim_many(most=50)
    seen, seen_ids = [], []
    while len(batch):
        seen += batch.payloads
        seen_ids += batch.ids
        batch.complete_and_claim(most=50)
        assert batch.lost == []
    assert seen == payloads
    assert seen_ids == ids
    assert worker.held == 0
    assert {engine.job(id).state for id in ids} == {"ended"}


def test_a_range_of_a_batch_is_completed_and_the_rest_goes_back(engine, names):
    worker = engine.attach()
    ids = worker.enqueue_batch(*names, [b"x"] * 10)
    batch = worker.claim_many()
    assert len(batch) == 10
    assert batch.complete(2, 5) == []
    one = batch.take(7)
    assert batch.left == 6
    with pytest.raises(ringmill.NotHeld):
        batch.take(7)
    with pytest.raises(ringmill.NotHeld):
        batch.take(3)
    with pytest.raises(IndexError):
        batch.take(10)
    assert batch.release(0, 1) == []
    del batch
    states = [engine.job(id).state for id in ids]
    assert states[2:5] == ["ended"] * 3
    assert states[7] == "running"
    assert [states[n] for n in (0, 1, 5, 6, 8, 9)] == ["queued"] * 6
    one.fail("no luck")
    assert engine.job(ids[7]).state == "delayed"


def test_a_batch_tells_which_jobs_it_has_lost(engine, names):
    worker = engine.attach()
    kept = worker.enqueue(*names, b"kept")
    lost = worker.enqueue_with(*names, b"lost", lease=0.001)
    batch = worker.claim_many(2)
    assert batch.ids == [kept, lost]
    assert await_true(lambda: engine.job(lost).state == "queued")
    batch.complete_and_claim(0)
    assert batch.lost == [lost]
    again = worker.claim_many()
    assert again.ids == [lost]
    assert again.complete() == []
    assert engine.job(kept).state == "ended"


def test_a_batch_is_of_its_thread(engine, names):
    worker = engine.attach()
    worker.enqueue(*names, b"x")
    batch = worker.claim_many()
    errors = []

    def misuse():
        for call in (batch.complete, batch.complete_and_claim):
            try:
                call()
            except ringmill.WrongThread as error:
                errors.append(error)

    thread = threading.Thread(target=misuse)
    thread.start()
    thread.join()
    assert len(errors) == 2
    assert batch.left == 1
    assert batch.complete() == []


def test_a_full_engine_says_so_and_waits_for_room(engine, names):
    worker = engine.attach()
    taken = 0
    while len(done := worker.enqueue_batch(*names, [b"x"] * 64)) == 64:
        taken += 64
    with pytest.raises(ringmill.Full):
        for _ in range(5000):
            worker.enqueue(*names, b"x")
    begun = time.monotonic()
    with pytest.raises(ringmill.Full):
        worker.enqueue_with(*names, b"x", wait=0.05)
    assert time.monotonic() - begun >= 0.05
    assert taken + len(done) >= 4000


def test_unknown_options_are_refused(engine, names):
    worker = engine.attach()
    with pytest.raises(TypeError, match="no option"):
        worker.enqueue_with(*names, b"x", dleay=1)
    with pytest.raises(ValueError):
        worker.enqueue_with(*names, b"x", durability="solid")
    with pytest.raises(TypeError):
        worker.enqueue_batch(*names, ["text"])


def test_a_unique_job_is_there_once(engine, names):
    worker = engine.attach()
    id, is_new = worker.enqueue_unique(*names, b"x", b"key")
    assert is_new
    assert worker.enqueue_unique(*names, b"x", b"key") == (id, False)


def test_a_claim_waits_without_the_interpreters_lock(engine, names):
    worker = engine.attach()
    producer = engine.attach("producer", process_bound=True)
    timer = threading.Timer(0.1, lambda: producer.enqueue(*names, b"x"))
    timer.start()
    begun = time.monotonic()
    job = worker.claim(20.0)
    assert job is not None
    assert 0.05 < time.monotonic() - begun < 10
    job.complete()


def test_a_claim_of_the_process_leaves_it_free_for_other_threads(engine, names):
    shared = engine.attach("worker", process_bound=True)
    shared.enqueue(*names, b"first")
    first = shared.claim()
    got = []
    thread = threading.Thread(target=lambda: got.append(shared.claim(20.0)))
    thread.start()
    time.sleep(0.05)
    first.complete()  # claimed by this thread, settled while the other one waits
    shared.enqueue(*names, b"second")
    thread.join(20)
    assert got[0].payload == b"second"
    got[0].complete()  # claimed there, settled here


def test_wake_ends_a_claim(engine):
    worker = engine.attach("worker", process_bound=True)
    threading.Timer(0.05, worker.wake).start()
    begun = time.monotonic()
    assert worker.claim(20.0) is None
    assert time.monotonic() - begun < 10


@pytest.fixture
def interrupts():
    """SIGINT is ignored where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_ends_a_claim_and_a_wait(engine, names):
    worker = engine.attach("worker", process_bound=True)
    id = worker.enqueue_with(*names, b"x", delay=60)
    for wait in (lambda: worker.claim(None), lambda: engine.wait(id, None), lambda: worker.claim(30.0)):
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            wait()
        assert time.monotonic() - begun < 10


def test_another_thread_may_not_use_a_threads_participant(engine, names):
    worker = engine.attach()
    errors = []

    def use():
        try:
            worker.enqueue(*names, b"x")
        except ringmill.WrongThread as error:
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_the_child_of_a_fork_is_told(engine, names):
    worker = engine.attach("worker", process_bound=True)
    worker.enqueue(*names, b"x")
    job = worker.claim()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job.complete()
        except ringmill.AfterFork:
            try:
                worker.claim()
            except ringmill.AfterFork:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    job.complete()


def test_the_jobs_of_a_killed_process_come_back(engine, path, names):
    producer = engine.attach("producer")
    id = producer.enqueue(*names, b"x")
    child = os.fork()
    if child == 0:
        other = ringmill.Engine(path, keeper=False).attach("worker", process_bound=True)
        job = other.claim(20.0)
        time.sleep(60)
        os._exit(job is None)
    assert await_true(lambda: engine.job(id).state == "running")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    job = engine.attach().claim(20.0)
    assert (job.id, job.attempt) == (id, 2)
    job.complete()


def test_a_begun_wait_is_slept_through_by_another_thread(engine, names):
    shared = engine.attach("worker", process_bound=True)
    mark = shared.begin_wait()
    assert mark is not None
    woken = []
    thread = threading.Thread(target=lambda: woken.append(shared.sleep(mark, 1.0)))
    thread.start()
    shared.enqueue(*names, b"x")
    thread.join()
    assert woken == [True]
    shared.end_wait()
    assert shared.begin_wait() is None  # there is a job
    shared.claim().complete()


def test_errors_say_what_and_where(tmp_path, engine):
    with pytest.raises(ringmill.NotFound, match="nowhere"):
        ringmill.Engine(str(tmp_path / "nowhere"))
    with pytest.raises(ringmill.NotFound, match="high"):
        engine.level("no-such-level")
    with pytest.raises(ringmill.Error) as caught:
        engine.kind("a name with spaces")
    assert caught.value.code == "invalid_argument"
    assert isinstance(caught.value, ValueError)


def test_levels_come_and_go(engine):
    level = engine.add_level("tenant/7")
    assert engine.level("tenant/7") == level
    assert engine.levels()["tenant/7"]["queued"] == 0
    engine.remove_level("tenant/7")
    with pytest.raises(ringmill.NotFound):
        engine.level("tenant/7")
