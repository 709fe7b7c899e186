"""Tasks, their results, and how they end."""

import asyncio
import concurrent.futures
import os
import threading
import time

import pytest
import ringmill
from conftest import GENEROUS
from ringmill.worker import Worker


@pytest.fixture
def app(path):
    app = ringmill.App(path)
    yield app
    app.close()


class Running:
    """A worker in threads of the test."""

    def __init__(self, app, **options):
        self.worker = Worker(app, **options)

    def __enter__(self):
        self.worker.start()
        return self.worker

    def __exit__(self, *_):
        self.worker.stop()
        assert self.worker.wait(GENEROUS)
        assert self.worker.error is None


def test_a_task_returns_its_result(app):
    @app.task
    def add(a, b):
        return a + b

    assert add(1, 2) == 3  # here
    with Running(app):
        assert add.delay(2, 3).get(timeout=GENEROUS) == 5
        assert add.delay(a="x", b="y").get(timeout=GENEROUS) == "xy"


def test_an_app_makes_its_engine_once(tmp_path):
    path = tmp_path / "made"
    first = ringmill.App(path, create=True, capacity=1024, levels=["high", "default"])
    second = ringmill.App(path, create=True, capacity=2048)
    assert second.engine.totals()["capacity"] == first.engine.totals()["capacity"]
    first.close()
    second.close()
    ringmill.remove(str(path), True)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "pickle"])
def test_serializers_keep_values(app, serializer):
    @app.task(serializer=serializer)
    def echo(value):
        return value

    value = {"list": [1, 2.5, None, True], "text": "\u00e9\u4e16"}
    with Running(app):
        assert echo.delay(value).get(GENEROUS) == value


def test_a_raw_task_takes_and_returns_bytes(app):
    @app.task(serializer="raw")
    def reverse(payload):
        return payload[::-1]

    with Running(app):
        assert reverse.delay(b"\x00\xffabc").get(GENEROUS) == b"cba\xff\x00"
    with pytest.raises(TypeError):
        reverse.delay("text")


def test_an_error_that_is_not_retried_is_told(app):
    @app.task(retry_on=ConnectionError)
    def fails():
        raise ValueError("no luck")

    with Running(app):
        result = fails.delay()
        with pytest.raises(ringmill.TaskError, match="ValueError: no luck") as caught:
            result.get(GENEROUS)
    assert caught.value.cause == "rejected"
    assert result.info().attempts == 1


def test_an_error_of_a_class_that_is_retried_runs_again(app):
    runs = []

    @app.task(retry_on=(ConnectionError,), max_attempts=3, backoff="fixed:1ms")
    def flaky():
        runs.append(ringmill.current().attempt)
        if len(runs) < 3:
            raise ConnectionError("not yet")
        return "done"

    with Running(app):
        assert flaky.delay().get(GENEROUS) == "done"
    assert runs == [1, 2, 3]


def test_attempts_are_bounded(app):
    runs = []

    @app.task(max_attempts=2, backoff="fixed:1ms")
    def fails():
        runs.append(1)
        raise RuntimeError("again")

    with Running(app):
        with pytest.raises(ringmill.TaskError, match="again"):
            fails.delay().get(GENEROUS)
    assert len(runs) == 2


def test_retry_snooze_and_reject_are_said_by_exceptions(app):
    runs = []

    @app.task(max_attempts=5)
    def moody(how):
        runs.append(how)
        if runs.count(how) == 1:
            raise {"retry": ringmill.Retry(delay="1ms"), "snooze": ringmill.Snooze("1ms"),
                   "reject": ringmill.Reject("never")}[how]
        return ringmill.current().attempt

    with Running(app):
        assert moody.delay("retry").get(GENEROUS) == 2
        assert moody.delay("snooze").get(GENEROUS) == 1
        with pytest.raises(ringmill.TaskError, match="never"):
            moody.delay("reject").get(GENEROUS)


def test_a_delay_and_a_level_are_options_of_a_call(app):
    @app.task(level="low")
    def when():
        return time.time()

    begun = time.time()
    result = when.options(delay=0.2, level="high").delay()
    assert result.state == "delayed"
    assert result.info().level == "high"
    at = when.options(at=begun + 0.2).delay()
    with Running(app):
        assert result.get(GENEROUS) >= begun + 0.19
        assert at.get(GENEROUS) >= begun + 0.19


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_call_has_a_tag_and_a_trace_which_its_run_and_its_info_show(app):
    @app.task(keep_result=60)
    def seen():
        context = ringmill.current()
        return [context.tag, context.traceparent]

    with Running(app):
        result = seen.options(tag="order-17", traceparent=TRACE).delay()
        assert result.get(timeout=GENEROUS) == ["order-17", TRACE]
        assert seen.delay().get(timeout=GENEROUS) == ["", ""]
    info = result.info()
    assert (info.tag, info.traceparent, info.retried_from, info.retried_as) == ("order-17", TRACE, 0, 0)
    with pytest.raises(ringmill.InvalidArgument, match="traceparent"):
        seen.options(traceparent="00-12").delay()
    with pytest.raises(ringmill.InvalidArgument, match="31 bytes"):
        seen.options(tag="x" * 32).delay()


def test_a_unique_task_waits_once(app):
    @app.task(unique=True)
    def once(n):
        return n

    first = once.delay(1)
    assert once.delay(1) == first
    assert once.delay(2) != first

    @app.task(unique=lambda user, text: user, name="mail")
    def mail(user, text):
        return text

    assert mail.delay("a", "one") == mail.delay("a", "two")


def test_no_result_is_kept_unless_asked_for(app):
    @app.task(keep_result=0)
    def work():
        return "not kept"

    with Running(app):
        result = work.delay()
        assert result.get(GENEROUS) is None
        assert result.state == "ended"


def test_progress_and_cancel_reach_a_running_task(app):
    begun = threading.Event()

    @app.task(bind=True)
    def long(context):
        context.progress(7, "of 10")
        begun.set()
        while True:
            context.check()
            time.sleep(0.001)

    with Running(app):
        result = long.delay()
        assert begun.wait(GENEROUS)
        info = result.info()
        assert (info.progress, info.progress_text) == result.progress() == (7, "of 10")
        assert result.cancel() == "asked_to_stop"
        with pytest.raises(ringmill.TaskCancelled):
            result.get(GENEROUS)


def test_a_task_that_waits_is_cancelled_before_its_start(app):
    @app.task
    def never():
        raise AssertionError

    result = never.options(delay=60).delay()
    assert result.cancel() == "before_start"
    with pytest.raises(ringmill.TaskCancelled):
        result.get(GENEROUS)


def test_a_lease_is_extended(app):
    @app.task(lease="300ms", bind=True)
    def long(context):
        for _ in range(6):
            context.extend(1.0)
            assert context.time_left > 0.5
            time.sleep(0.1)
        return context.attempt

    with Running(app):
        assert long.delay().get(GENEROUS) == 1


def test_chain_group_and_chord(app):
    @app.task
    def add(a, b):
        return a + b

    @app.task
    def total(values):
        return sum(values)

    with Running(app, threads=2):
        assert ringmill.chain(add.s(1, 2), add.s(10), add.s(100)).delay().get(GENEROUS) == 113
        assert (add.s(1, 2) | add.s(3)).delay().get(GENEROUS) == 6
        assert ringmill.group(add.s(n, n) for n in range(5)).delay().get(GENEROUS) == [0, 2, 4, 6, 8]
        assert ringmill.chord([add.s(n, 1) for n in range(4)], total.s()).delay().get(GENEROUS) == 10


def test_the_error_of_a_parent_ends_its_chain(app):
    @app.task(retry_on=())
    def fails():
        raise ValueError("first")

    @app.task
    def second(value):
        return value

    with Running(app):
        with pytest.raises(ringmill.TaskError) as caught:
            ringmill.chain(fails.s(), second.s()).delay().get(GENEROUS)
    assert caught.value.cause == "parent_dead"


def test_await_gather_and_as_completed(app):
    @app.task
    async def slow(n):
        await asyncio.sleep(n / 100)
        return n

    async def ask():
        results = [slow.delay(n) for n in range(4)]
        return await asyncio.gather(*results), [r async for r in ringmill.as_completed_async([slow.delay(1)])]

    with Running(app, threads=4):
        values, ended = asyncio.run(ask())
        assert values == [0, 1, 2, 3]
        assert ended[0].get(0) == 1
        results = [slow.delay(n) for n in range(4)]
        assert sorted(r.get(0) for r in ringmill.as_completed(results, GENEROUS)) == [0, 1, 2, 3]


def test_waits_have_an_end(app):
    @app.task
    def never():
        pass

    result = never.delay()
    with pytest.raises(TimeoutError):
        result.get(timeout=0.05)
    with pytest.raises(ringmill.TimedOut):
        list(ringmill.as_completed([result], timeout=0.05))
    with pytest.raises(ringmill.TimedOut):
        asyncio.run(result.wait(0.05))


def test_many_calls_in_one(app):
    @app.task
    def square(n):
        return n * n

    results = square.delay_many((n,) for n in range(200))
    with Running(app, threads=2):
        assert [result.get(GENEROUS) for result in results] == [n * n for n in range(200)]


def test_an_executor_runs_functions(app):
    with ringmill.Executor(app) as executor, Running(app, threads=2):
        assert executor.submit(pow, 2, 10).result(GENEROUS) == 1024
        assert list(executor.map(abs, [-1, -2], timeout=GENEROUS)) == [1, 2]
        with pytest.raises(ringmill.TaskError, match="ZeroDivisionError"):
            executor.submit(divmod, 1, 0).result(GENEROUS)


def test_a_result_that_cannot_be_kept_is_an_error(app):
    @app.task
    def returns_a_set():
        return {1}

    with Running(app):
        with pytest.raises(ringmill.TaskError, match="not JSON serializable"):
            returns_a_set.delay().get(GENEROUS)


def test_names_that_the_engine_does_not_take_are_changed_the_same_way_everywhere(app):
    @app.task(name="a name with spaces, and longer than sixty-three characters: " + "x" * 40)
    def odd():
        return "ran"

    assert len(odd.kind) <= 63
    with Running(app):
        assert odd.delay().get(GENEROUS) == "ran"


def test_the_child_of_a_fork_opens_for_itself(app):
    @app.task
    def add(a, b):
        return a + b

    with Running(app):
        assert add.delay(1, 1).get(GENEROUS) == 2
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if add.delay(20, 3).get(GENEROUS) == 23 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert add.delay(3, 4).get(GENEROUS) == 7


@pytest.mark.parametrize("serializer", ["json", "pickle", "raw"])
def test_a_result_has_any_size(app, serializer):
    @app.task(serializer=serializer)
    def grow(given):
        return given * 50_000

    given = b"ab" if serializer == "raw" else "ab"
    with Running(app):
        result = grow.delay(given)
        assert result.get(GENEROUS) == given * 50_000
        assert ringmill.Result(app, result.id, result._serializer).get(0) == given * 50_000


def test_a_long_result_goes_on_to_the_next_task(app):
    @app.task
    def make(length):
        return "x" * length

    @app.task
    def measure(text):
        return len(text)

    @app.task
    def lengths(texts):
        return [len(text) for text in texts]

    with Running(app):
        assert ringmill.chain(make.s(100_000), measure.s()).delay().get(GENEROUS) == 100_000
        header = [make.s(n) for n in (3, 30_000)]
        assert ringmill.chord(header, lengths.s()).delay().get(GENEROUS) == [3, 30_000]


def test_raw_bytes_that_look_like_the_name_of_a_value_are_returned_as_they_are(app):
    from ringmill.results import KEPT_ELSEWHERE

    @app.task(serializer="raw")
    def echo(payload):
        return payload

    with Running(app):
        assert echo.delay(KEPT_ELSEWHERE + b"0.1").get(GENEROUS) == KEPT_ELSEWHERE + b"0.1"


def test_a_future_is_cancelled_while_no_worker_has_it(app):
    executor = ringmill.Executor(app)
    futures = [executor.submit(pow, 2, n) for n in range(4)]
    assert futures[0].cancel() and futures[0].cancelled()
    with Running(app):
        done, _ = concurrent.futures.wait(futures, GENEROUS)
        assert done == set(futures)
        assert [future.result() for future in futures[1:]] == [2, 4, 8]
        assert not futures[1].cancel()
    left = executor.submit(pow, 2, 2)
    executor.shutdown(cancel_futures=True)
    assert left.cancelled()
