"""A worker for asyncio: many tasks at a time in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import _core
from ._box import MOST_LEASES, Sleeper
from ._errors import LeaseLost, NotHeld
from .app import App, Task
from .context import Cancelled, Context, set_current
from .results import progress_key
from .worker import LONGEST_CLAIM, Worker, arguments_of, complete, end_with_error

log = logging.getLogger("ringmill.worker")

MOST_THREADS = 32  # for tasks that are no coroutines
PROGRESS_IS_KEPT = 86400.0  # seconds, should its worker be killed
LOOKS_FOR_CANCEL = 0.1  # seconds between two looks at whether running tasks are to stop


class SharedContext(Context):
    """Of a run beside others of the same participant, where the engine has one place for progress."""

    has_told = False

    def progress(self, number: int, text: str = "") -> None:
        super().progress(number, text)
        self.has_told = True
        self.app.store.set(progress_key(self.id), json.dumps([number, text]).encode(), PROGRESS_IS_KEPT)


class AsyncWorker(Worker):
    """Runs up to `concurrency` tasks at a time in an event loop, which has a thread of its own. Coroutines run in it,
    plain functions in a pool of threads. cancel() ends a coroutine where it awaits."""

    def __init__(self, app: App, *, concurrency: int = 100, **options: Any) -> None:
        if concurrency < 1:
            raise ValueError("concurrency: at least one")
        super().__init__(app, threads=1, **{**options, "prefetch": 1})
        self.concurrency = concurrency
        self._running: dict[asyncio.Task[None], _core.Job] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event | None = None
        self._sleeper: Sleeper | None = None
        self._is_ending = False

    def stop(self) -> None:
        super().stop()
        if self._loop is not None and self._woken is not None:
            try:
                self._loop.call_soon_threadsafe(self._woken.set)
            except RuntimeError:  # it has ended meanwhile
                pass

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.error = error
            log.critical("the event loop of a worker ended: %s: %s", type(error).__name__, error)
            self._stops.set()

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        woken = self._woken = asyncio.Event()
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.add_reader(descriptor, woken.set)
        sleeper = self._sleeper = Sleeper(descriptor)
        sleeper.start()
        watcher = loop.create_task(self._watch_for_cancel())
        with ThreadPoolExecutor(min(self.concurrency, MOST_THREADS), "ringmill-task") as threads:
            try:
                await self._run_all(threads, descriptor, woken)
                while self._running:
                    await asyncio.wait(list(self._running))
            finally:
                self._is_ending = True
                for task in list(self._running):  # after an error: what runs goes to other workers
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)
                watcher.cancel()
                sleeper.end()
                loop.remove_reader(descriptor)
                for participant in self._participants:
                    participant.detach()
                self._participants.clear()
                os.close(descriptor)

    async def _run_all(self, threads: ThreadPoolExecutor, descriptor: int, woken: asyncio.Event) -> None:
        while not self._stops.is_set():
            if len(self._running) >= self.concurrency:
                await asyncio.wait(list(self._running), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                continue
            claimer = self._claimer()
            job = claimer.claim(0.0)
            if job is not None:
                task = asyncio.create_task(self._run(job, threads))
                self._running[task] = job
                task.add_done_callback(self._forget)
            elif self.drain and not self._running and self._is_drained():
                return
            else:
                await self._sleep_for_job(claimer, descriptor, woken)

    def _claimer(self) -> _core.Participant:
        """A participant with a lease left: of the process, for tasks settle in other threads as well."""
        for claimer in self._participants:
            if claimer.held < MOST_LEASES:
                return claimer
        made = self.app.engine.attach("worker", process_bound=True)
        self._subscribe(made)
        self._participants.append(made)
        return made

    async def _sleep_for_job(self, claimer: _core.Participant, descriptor: int, woken: asyncio.Event) -> None:
        assert self._sleeper is not None
        woken.clear()
        if self._stops.is_set():
            return
        mark = claimer.begin_wait()
        if mark is None:
            await asyncio.sleep(0)
            return
        self._sleeper.arm(claimer, mark)
        try:
            await asyncio.wait_for(woken.wait(), 0.02 if self.drain else LONGEST_CLAIM)
        except asyncio.TimeoutError:
            pass
        finally:
            self._sleeper.disarm()
            claimer.end_wait(True)
            try:
                os.eventfd_read(descriptor)
            except BlockingIOError:
                pass

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.jobs += 1
        if not task.cancelled() and task.exception() is not None:
            log.error("a task could not be settled", exc_info=task.exception())

    async def _watch_for_cancel(self) -> None:
        asked: set[int] = set()
        while True:
            await asyncio.sleep(LOOKS_FOR_CANCEL)
            running = {job.id for job in self._running.values()}
            asked &= running
            for task, job in list(self._running.items()):
                if job.id not in asked and job.held and job.should_stop:
                    asked.add(job.id)
                    task.cancel()

    async def _run(self, job: _core.Job, threads: ThreadPoolExecutor) -> None:
        task: Task[..., Any] | None = self.app.tasks.get(self.app.engine.kind_name(job.kind))
        if task is None:
            job.release()
            return
        try:
            value = await self._call(task, job, threads)
        except asyncio.CancelledError as error:
            if self._is_ending:
                job.release()
                raise
            self._settle(end_with_error, task, job, Cancelled() if job.should_stop else error)
        except BaseException as error:
            self._settle(end_with_error, task, job, error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self._settle(complete, task, job, value)

    async def _call(self, task: Task[..., Any], job: _core.Job, threads: ThreadPoolExecutor) -> Any:
        args, kwargs = arguments_of(self.app, task, job)
        context = SharedContext(self.app, job, task.name)
        if task.bind:
            args.insert(0, context)
        set_current(context)  # of this asyncio task alone
        try:
            if inspect.iscoroutinefunction(task.function):
                return await task.function(*args, **kwargs)
            assert self._loop is not None
            run = contextvars.copy_context().run
            value = await self._loop.run_in_executor(threads, lambda: run(task.function, *args, **kwargs))
            return await value if inspect.isawaitable(value) else value
        finally:
            if context.has_told:
                self.app.store.delete(progress_key(job.id))

    def _settle(self, how: Callable[..., None], task: Task[..., Any], job: _core.Job, value: Any) -> None:
        try:
            how(task, job, value)
        except (LeaseLost, NotHeld):
            log.warning("job %016x was given to another worker before it ended", job.id)
        except Exception as error:  # a result that cannot be written is an error of the task
            if job.held:
                job.reject(f"{type(error).__name__}: {error}")
