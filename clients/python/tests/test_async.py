"""The worker for asyncio: many tasks at a time in one event loop."""

import asyncio
import signal
import threading
import time

import pytest
import ringmill
from conftest import GENEROUS, await_true
from test_app import Running, app  # noqa: F401  (a fixture)


class RunningAsync(Running):
    def __init__(self, app, **options):  # noqa: F811
        self.worker = ringmill.AsyncWorker(app, **options)


def test_more_tasks_than_a_participant_has_leases_run_at_a_time(app):  # noqa: F811
    running, most = set(), []

    @app.task(keep_result=60)
    async def meet(n):
        running.add(n)
        most.append(len(running))
        while len(running) < 150 and max(most) < 150:
            await asyncio.sleep(0.005)
        running.discard(n)
        return n

    results = meet.delay_many((n,) for n in range(300))
    with RunningAsync(app, concurrency=150):
        assert [result.get(GENEROUS) for result in results] == list(range(300))
    assert max(most) == 150


def test_functions_run_in_threads_beside_coroutines(app):  # noqa: F811
    begun, ends = threading.Event(), threading.Event()

    @app.task(keep_result=60)
    def blocks():
        begun.set()
        assert ends.wait(GENEROUS)
        return threading.current_thread().name

    @app.task(keep_result=60)
    async def quick():
        return threading.current_thread().name

    with RunningAsync(app, concurrency=10):
        slow = blocks.delay()
        assert begun.wait(GENEROUS)
        name = quick.delay().get(GENEROUS)
        ends.set()
        assert slow.get(GENEROUS) != name


def test_each_task_has_its_own_context_and_may_say_how_far_it_is(app):  # noqa: F811
    @app.task(keep_result=60)
    async def mine(n):
        ringmill.current().progress(n, "on the way")
        await asyncio.sleep(0.02)
        id = ringmill.current().id
        return [f"{id:016x}", *app.result(id).progress()]

    with RunningAsync(app, concurrency=20):
        results = mine.delay_many((n,) for n in range(20))
        said = [result.get(GENEROUS) for result in results]
    assert said == [[f"{result.id:016x}", n, "on the way"] for n, result in enumerate(results)]


def test_cancel_ends_a_coroutine_where_it_awaits(app):  # noqa: F811
    seen = []

    @app.task(keep_result=60)
    async def waits():
        try:
            await asyncio.sleep(GENEROUS * 10)
        finally:
            seen.append("cleaned up")

    with RunningAsync(app):
        result = waits.delay()
        assert await_true(lambda: result.state == "running")
        assert result.cancel() == "asked_to_stop"
        with pytest.raises(ringmill.TaskCancelled):
            result.get(GENEROUS)
    assert seen == ["cleaned up"]


def test_errors_of_coroutines_are_retried_by_their_class(app):  # noqa: F811
    runs = []

    @app.task(retry_on=ConnectionError, max_attempts=3, backoff="fixed:1ms")
    async def flaky(kind):
        runs.append(kind)
        if kind == "lost" and runs.count("lost") == 3:
            return "done"
        raise ConnectionError("lost") if kind == "lost" else ValueError("wrong")

    with RunningAsync(app):
        assert flaky.delay("lost").get(GENEROUS) == "done"
        with pytest.raises(ringmill.TaskError, match="ValueError: wrong"):
            flaky.delay("wrong").get(GENEROUS)
    assert runs.count("wrong") == 1


def test_an_idle_event_loop_is_woken(app):  # noqa: F811
    @app.task(keep_result=60)
    async def now():
        return time.monotonic()

    with RunningAsync(app):
        now.delay().get(GENEROUS)
        spans = []
        for _ in range(20):
            time.sleep(0.02)
            begun = time.monotonic()
            spans.append(now.delay().get(GENEROUS) - begun)
    assert sorted(spans)[10] < 0.25


def test_the_command_stops_gracefully(workers):
    made = workers("""
import asyncio

@app.task(keep_result=60)
async def nap(seconds):
    await asyncio.sleep(seconds)
    return "rested"
""")
    jobs = made.load()
    process = made.start("--asyncio", "50")
    results = [jobs["nap"].delay(1.0) for _ in range(30)]
    assert await_true(lambda: all(result.state == "running" for result in results))
    process.send_signal(signal.SIGTERM)
    assert process.wait(GENEROUS) == 0
    assert [result.get(0) for result in results] == ["rested"] * 30


def test_the_command_drains(workers):
    made = workers("""
@app.task(keep_result=60)
async def twice(n):
    return 2 * n
""")
    jobs = made.load()
    results = jobs["twice"].delay_many((n,) for n in range(200))
    assert made.start("--asyncio", "20", "--drain").wait(GENEROUS) == 0
    assert [result.get(0) for result in results] == [2 * n for n in range(200)]
