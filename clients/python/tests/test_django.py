"""Django's tasks, with the real packages: Django 6, or an earlier one and django-tasks."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ringmill
from conftest import GENEROUS, await_true, kill_groups

django = pytest.importorskip("django")
if django.VERSION < (6, 0):
    pytest.importorskip("django_tasks")

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "django"
MODULE = """
import os, signal, time
from letters import task

@task
def add(a, b):
    return a + b

@task
def large(size):
    return "x" * size

@task
def fails():
    raise ValueError("no luck")

@task
def unkept():
    return object()

@task
async def later(value):
    import asyncio
    await asyncio.sleep(0.01)
    return value

@task(takes_context=True)
def slow(context, path, seconds):
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {context.attempt}\\n")
    if context.attempt == 1:
        time.sleep(seconds)
    return context.attempt

@task(max_attempts=3)
def kills(path):
    with open(path, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)

@task
def note(path, word):
    with open(path, "a") as file:
        file.write(word + "\\n")

def no_task(path):
    note.func(path, "no_task ran")
"""


class Site:
    """The example's project, with further tasks; this process is one that enqueues."""

    def __init__(self, folder, path):
        self.folder = folder
        self.path = path
        for file in ("manage.py", "settings.py", "letters.py"):
            shutil.copy(EXAMPLE / file, folder)
        (folder / "chores.py").write_text(MODULE)
        self.environment = {**os.environ, "RINGMILL_DIRECTORY": path, "PYTHONPATH": str(folder)}
        self.started = []

    def manage(self, *arguments):
        return [sys.executable, "manage.py", *arguments]

    def start(self, *arguments):
        command = self.manage("ringmill_worker", *arguments)
        self.started.append(
            subprocess.Popen(command, cwd=self.folder, env=self.environment, start_new_session=True)
        )
        return self.started[-1]

    def lines(self, name):
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def backend(self):
        return api().task_backends["default"]

    def end(self):
        kill_groups(self.started)
        self.backend.app.close()


def api():
    from ringmill.django import _api

    return _api


@pytest.fixture
def site(tmp_path, path, monkeypatch):
    from django.conf import settings
    from django.test import override_settings

    made = Site(tmp_path, path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tasks = {
        "default": {
            "BACKEND": "ringmill.django.RingmillBackend",
            "QUEUES": ["default", "letters"],
            "OPTIONS": {"DIRECTORY": path},
        }
    }
    if not settings.configured:
        installed = ["ringmill.django"] + (["django_tasks"] if django.VERSION < (6, 0) else [])
        settings.configure(SECRET_KEY="none", INSTALLED_APPS=installed, USE_TZ=True, TASKS=tasks)
        django.setup()
    with override_settings(TASKS=tasks):
        for name in ("letters", "chores"):
            sys.modules.pop(name, None)
        import chores
        import letters

        made.chores, made.letters = chores, letters
        yield made
        made.end()


def wait_for(result, bound=GENEROUS):
    def is_finished():
        result.refresh()
        return result.is_finished

    assert await_true(is_finished, bound), result.status
    return result


def test_the_example_runs(site):
    site.start()
    assert wait_for(site.letters.write.enqueue("Ada")).return_value == "Dear Ada"
    result = wait_for(site.letters.post.enqueue("hello"))
    assert result.return_value == "posted: hello"
    assert [error.exception_class for error in result.errors] == [ConnectionError]
    assert (result.attempts, len(result.worker_ids)) == (2, 2)


def test_a_result_has_all_that_the_standard_names(site):
    api_ = api()
    before = site.chores.add.enqueue(2, b=3)
    assert (before.status, before.started_at, before.finished_at) == (api_.TaskResultStatus.READY, None, None)
    assert (before.args, before.kwargs, before.worker_ids) == ([2], {"b": 3}, [])
    assert before.enqueued_at.tzinfo is not None
    with pytest.raises(ValueError, match="not finished"):
        before.return_value  # noqa: B018
    site.start()
    after = wait_for(site.chores.add.get_result(before.id))
    assert (after.status, after.return_value) == (api_.TaskResultStatus.SUCCESSFUL, 5)
    assert after.enqueued_at <= after.started_at <= after.last_attempted_at <= after.finished_at
    assert (after.args, after.kwargs, after.attempts) == ([2], {"b": 3}, 1)
    assert after.task == site.chores.add


def test_a_task_that_raises_has_failed_with_its_traceback(site):
    site.start()
    result = wait_for(site.chores.fails.enqueue())
    assert result.status == api().TaskResultStatus.FAILED
    assert result.errors[0].exception_class is ValueError
    assert "no luck" in result.errors[0].traceback and "chores.py" in result.errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        result.return_value  # noqa: B018
    assert wait_for(site.chores.unkept.enqueue()).errors[0].exception_class is TypeError  # no JSON


def test_results_have_any_size_and_coroutines_run(site):
    site.start()
    assert len(wait_for(site.chores.large.enqueue(300_000)).return_value) == 300_000
    assert wait_for(site.chores.later.enqueue("soon")).return_value == "soon"

    async def in_a_loop():
        result = await site.chores.add.aenqueue(20, 3)
        while not result.is_finished:
            await asyncio.sleep(0.01)
            await result.arefresh()
        return result.return_value

    assert asyncio.run(asyncio.wait_for(in_a_loop(), GENEROUS)) == 23


def test_results_that_are_not_there_and_of_other_tasks(site):
    from django.utils.module_loading import import_string

    api_ = api()
    result = site.chores.add.enqueue(1, 1)
    for id in ("", "nonsense", "0" * 32, result.id[:-1]):
        with pytest.raises(api_.TaskResultDoesNotExist):
            site.backend.get_result(id)
    mismatch = import_string(f"{api_.TaskResultDoesNotExist.__module__}.TaskResultMismatch")
    with pytest.raises(mismatch):
        site.chores.fails.get_result(result.id)


def test_the_more_urgent_task_of_a_queue_runs_first(site):
    file = str(site.folder / "order")
    for priority in (-100, -1, 0, 1, 100):
        for _ in range(3):
            site.chores.note.using(priority=priority).enqueue(file, str(priority))
    assert site.start("--drain").wait(GENEROUS) == 0
    assert site.lines("order") == [str(p) for p in (100, 1, 0, -1, -100) for _ in range(3)]


def test_run_after_waits_in_the_engine(site, engine):
    from datetime import timedelta

    from django.utils import timezone

    site.start()
    at = timezone.now() + timedelta(seconds=1.5)
    result = site.chores.add.using(run_after=at).enqueue(1, 2)
    hour = timezone.now() + timedelta(hours=1)
    for _ in range(100):
        site.chores.add.using(run_after=hour).enqueue(1, 2)
    assert engine.levels()["default"]["delayed"] >= 100
    assert wait_for(result).started_at >= at
    assert result.status == api().TaskResultStatus.SUCCESSFUL


def test_a_killed_workers_task_runs_again_at_once_and_says_so(site):
    site.start()
    result = site.chores.slow.enqueue(str(site.folder / "runs"), 60)
    assert await_true(lambda: len(site.lines("runs")) == 1)
    result.refresh()
    assert result.status == api().TaskResultStatus.RUNNING
    site.start()
    os.kill(int(site.lines("runs")[0].split()[0]), signal.SIGKILL)
    assert wait_for(result).return_value == 2
    assert len(set(result.worker_ids)) == 2


def test_a_task_that_kills_its_workers_has_failed_after_its_attempts(site):
    site.start("--processes", "2")
    result = wait_for(site.chores.kills.enqueue(str(site.folder / "kills")))
    assert result.status == api().TaskResultStatus.FAILED
    assert (site.folder / "kills").read_text() == "xxx"
    assert result.attempts == 3
    assert result.errors[-1].exception_class is ringmill.TaskError
    assert wait_for(site.chores.add.enqueue(1, 1)).return_value == 2  # others go on


def test_a_worker_ends_gracefully_and_takes_its_queues_only(site):
    worker = site.start("--queue", "letters", "--processes", "2", "--threads", "2")
    other = site.chores.add.enqueue(1, 1)
    assert wait_for(site.letters.write.enqueue("Bob")).return_value == "Dear Bob"
    running = site.chores.slow.using(queue_name="letters").enqueue(str(site.folder / "runs"), 1)
    assert await_true(lambda: len(site.lines("runs")) == 1)
    worker.terminate()
    assert worker.wait(GENEROUS) == 0
    running.refresh()
    assert running.return_value == 1
    other.refresh()
    assert other.status == api().TaskResultStatus.READY


def test_what_is_no_task_is_not_called(site, engine):
    """An enqueued path names any function; only a task is run."""
    result = site.chores.note.enqueue(str(site.folder / "ran"), "once")
    _, token = int(result.id[:16], 16), result.id[16:]
    record = site.backend.records.get(token)
    record.task = "chores.no_task"
    site.backend.records.set(token, record)
    assert site.start("--drain").wait(GENEROUS) == 0
    info = engine.job(int(result.id[:16], 16))
    assert (info.state, info.cause) == ("dead", "rejected")
    assert site.lines("ran") == []


def test_signals_and_fork_and_validation(site):
    seen = []
    api_ = api()

    def on_enqueued(sender, task_result, **_):
        seen.append((sender, task_result.id))

    api_.task_enqueued.connect(on_enqueued)
    try:
        result = site.chores.add.enqueue(1, 2)
    finally:
        api_.task_enqueued.disconnect(on_enqueued)
    assert seen == [(type(site.backend), result.id)]
    child = os.fork()
    if child == 0:
        try:
            site.chores.note.enqueue(str(site.folder / "forked"), "child")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(Exception, match="not valid for backend"):
        site.chores.add.using(queue_name="nowhere")
    with pytest.raises(TypeError):
        site.chores.add.enqueue(object(), 1)
    site.start("--drain").wait(GENEROUS)
    assert site.lines("forked") == ["child"]
    wait_for(result)


def test_checks_say_what_is_wrong_with_the_settings(site):
    from django.core.checks import run_checks
    from django.test import override_settings

    def said(**options):
        backend = {"BACKEND": "ringmill.django.RingmillBackend", "OPTIONS": options}
        with override_settings(TASKS={"default": backend}):
            return [message.id for message in run_checks()]

    assert said() == ["ringmill.E002"]
    assert said(DIRECTORY="/proc/no/engine") == ["ringmill.E003"]
    assert said(DIRECTORY=site.path, DIRECTROY="x") == ["ringmill.E001"]
    assert said(DIRECTORY=site.path) == []
    done = subprocess.run(site.manage("check"), cwd=site.folder, env=site.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_record_ends_some_time_after_its_task(site):
    from django.test import override_settings

    options = {"DIRECTORY": site.path, "KEEP_RESULT": 0.3}
    with override_settings(
        TASKS={"default": {"BACKEND": "ringmill.django.RingmillBackend", "OPTIONS": options}}
    ):
        records = site.backend.records
        result = site.chores.add.enqueue(1, 2)
        token = result.id[16:]
        record = records.get(token)
        record.succeed(3)
        time.sleep(0.5)
        assert records.get(token) is not None  # it waits
        records.set(token, record)
        assert records.get(token).value == 3
        assert await_true(lambda: records.get(token) is None)
