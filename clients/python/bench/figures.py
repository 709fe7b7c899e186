"""The figures of tools/bench-python: each is the median of several runs, one after the other on this machine."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import queue
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ringmill
from killed import killed_figures
from place import Place

PAYLOAD = b"x" * 100
BATCH = 64
FORK = multiprocessing.get_context("fork")


def rate_of(produce, consume, count):
    """Messages per second through two processes: from the first one that is put in, when both are ready, to the last
    one that is taken out and done with."""
    times = FORK.SimpleQueue()
    both_ready = FORK.Barrier(2)

    def producing():
        def begin():
            both_ready.wait()
            times.put(time.monotonic())

        produce(count, begin)

    def consuming():
        consume(count, both_ready.wait)
        times.put(time.monotonic())

    processes = [FORK.Process(target=consuming), FORK.Process(target=producing)]
    for process in processes:
        process.start()
    begun, ended = times.get(), times.get()
    for process in processes:
        process.join()
    return count / (ended - begun)


def read(payloads):
    """What each consumer does with what it got: it looks at every message."""
    for payload in payloads:
        if len(payload) != len(PAYLOAD):
            raise ValueError(payload)


def native_rate(count, way):
    with Place() as place:
        keeper = ringmill.Engine(place.path)  # keeps; it does nothing else here

        def attach(role):
            engine = ringmill.Engine(place.path, keeper=False)
            return engine.attach(role), engine.kind("bench"), engine.level("default")

        def produce_single(count, begin):
            participant, kind, level = attach("producer")
            enqueue = participant.enqueue
            done = 0
            begin()
            while done < count:
                try:
                    enqueue(kind, level, PAYLOAD)
                    done += 1
                except ringmill.Full:
                    time.sleep(0.001)

        def produce_batch(count, begin):
            participant, kind, level = attach("producer")
            payloads = [PAYLOAD] * BATCH
            done = 0
            begin()
            while done < count:
                part = payloads if count - done >= BATCH else payloads[: count - done]
                done += len(participant.enqueue_batch(kind, level, part, 1.0))

        def consume_single(count, begin):
            participant, _, _ = attach("worker")
            participant.subscribe([], [], False, 64)
            claim = participant.claim
            begin()
            for _ in range(count):
                job = claim(30.0)
                if len(job.payload) != len(PAYLOAD):
                    raise ValueError(job.payload)
                job.complete()

        def consume_jobs(count, begin):
            participant, _, _ = attach("worker")
            done = 0
            begin()
            while done < count:
                jobs = participant.claim_batch(BATCH, 30.0)
                read(job.payload for job in jobs)
                assert not participant.complete_batch(jobs)
                done += len(jobs)

        def consume_batch(count, begin):
            participant, _, _ = attach("worker")
            begin()
            batch = participant.claim_many(BATCH, 30.0)
            done = len(batch)
            while done < count:
                read(batch.payloads)
                batch.complete_and_claim(BATCH, 30.0)
                assert not batch.lost
                done += len(batch)
            read(batch.payloads)
            assert not batch.complete()

        produce = produce_single if way == "single" else produce_batch
        consume = {"single": consume_single, "jobs": consume_jobs, "batch": consume_batch}[way]
        made = rate_of(produce, consume, count)
        del keeper
        return made


def queue_rate(count):
    messages = FORK.Queue(10_000)

    def produce(count, begin):
        begin()
        for _ in range(count):
            messages.put(PAYLOAD)

    def consume(count, begin):
        begin()
        for _ in range(count):
            if len(messages.get()) != len(PAYLOAD):
                raise ValueError

    return rate_of(produce, consume, count)


def faster_fifo_rate(count, is_raw):
    """By default it pickles each message; raw: it moves bytes as they are, as ringmill does."""
    import faster_fifo

    as_it_is = {"loads": bytes, "dumps": bytes} if is_raw else {}
    messages = faster_fifo.Queue(max_size_bytes=16 * 1024 * 1024, **as_it_is)

    def produce(count, begin):
        begin()
        for _ in range(count // BATCH):
            messages.put_many([PAYLOAD] * BATCH, timeout=30)

    def consume(count, begin):
        done = 0
        begin()
        while done < count:
            try:
                got = messages.get_many(timeout=30, max_messages_to_get=BATCH)
            except queue.Empty:
                continue
            read(got)
            done += len(got)

    return rate_of(produce, consume, count // BATCH * BATCH)


def native_handover(rounds):
    """Milliseconds from the SIGKILL of a process that holds a job until another process has it."""
    with Place() as place:
        keeper = ringmill.Engine(place.path)
        reader, writer = FORK.Pipe(duplex=False)

        def work():
            worker = ringmill.Engine(place.path, keeper=False).attach("worker", process_bound=True)
            writer.send((os.getpid(), 0.0))
            job = worker.claim(60.0)
            writer.send((os.getpid(), time.monotonic()))
            time.sleep(60)
            job.complete()

        def start():
            process = FORK.Process(target=work)
            process.start()
            assert reader.recv() == (process.pid, 0.0)
            return process

        holder = start()
        producer = keeper.attach("producer")
        producer.enqueue_with(keeper.kind("bench"), keeper.level("default"), PAYLOAD, max_attempts=0)
        assert reader.recv()[0] == holder.pid
        spans = []
        for _ in range(rounds):
            following = start()
            time.sleep(0.25 + random.random() / 20)
            killed_at = time.monotonic()
            os.kill(holder.pid, signal.SIGKILL)
            claimed_by, claimed_at = reader.recv()
            assert claimed_by == following.pid
            spans.append((claimed_at - killed_at) * 1000)
            holder.join()
            holder = following
        holder.kill()
        holder.join()
        del producer, keeper
        return spans


CELERY = """
import os, time
from celery import Celery
app = Celery('bench', broker=os.environ['BENCH_BROKER'])
app.conf.update(task_ignore_result=True, task_acks_late=True, task_reject_on_worker_lost=True,
                worker_prefetch_multiplier=int(os.environ.get('BENCH_PREFETCH', '4')))

@app.task
def nothing():
    pass

@app.task
def note(path):
    with open(path, 'a') as file:
        file.write(f"{os.getppid()} {time.time()}\\n")

@app.task
def hold(path, seconds):
    note.run(path)
    time.sleep(seconds)
"""


class Celery:
    """A Celery program and its workers on one broker."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        (folder / "celery_bench.py").write_text(CELERY)
        self.environment = {**os.environ, "BENCH_BROKER": broker, "C_FORCE_ROOT": "1"}
        self.started: list[subprocess.Popen] = []

    def start(self, *arguments: str) -> subprocess.Popen:
        log = open(self.folder / "worker.log", "ab")
        self.started.append(
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "celery_bench", "worker", "-l", "ERROR", "--without-mingle",
                 "--without-gossip", "-n", f"w{len(self.started)}@host", *arguments],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )
        )  # fmt: skip
        return self.started[-1]

    def run(self, code: str) -> str:
        """Runs a program beside the workers; returns what it prints."""
        head = "import time, statistics\nfrom celery_bench import *\n"
        done = subprocess.run([sys.executable, "-c", head + code], cwd=self.folder, env=self.environment, check=True,
                              capture_output=True, text=True)  # fmt: skip
        return done.stdout

    def end(self) -> None:
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for_lines(path: Path, count: int, seconds: float = 120.0) -> list[str]:
    end = time.monotonic() + seconds
    while len(lines_of(path)) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{path} has {len(lines_of(path))} lines, not {count}")
        time.sleep(0.0005)
    return lines_of(path)


def celery_rate(celery: Celery, count: int) -> float:
    """No-op tasks per second that are there before the worker starts, between the first and the last."""
    time.sleep(0.5)
    celery.run("app.control.purge()")  # what a worker that was killed had not acknowledged
    first, last = celery.folder / f"first-{time.time()}", celery.folder / f"last-{time.time()}"
    celery.run(f"note.delay({str(first)!r})\nfor _ in range({count}): nothing.delay()\nnote.delay({str(last)!r})")
    worker = celery.start("-c", "2")
    begun = float(wait_for_lines(first, 1)[0].split()[1])
    ended = float(wait_for_lines(last, 1)[0].split()[1])
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    return count / (ended - begun)


def celery_delay(celery: Celery, count: int) -> float:
    """Microseconds of one .delay(), the median."""
    printed = celery.run(
        "nothing.delay()\ntimes = []\n"
        f"for _ in range({count}):\n    begun = time.perf_counter()\n    nothing.delay()\n"
        "    times.append(time.perf_counter() - begun)\nprint(statistics.median(times) * 1e6)\napp.control.purge()"
    )
    return float(printed.split()[0])


def celery_handover(celery: Celery, rounds: int) -> list[float]:
    """Milliseconds from the SIGKILL of a worker to the start of its task in another."""
    celery.environment["BENCH_PREFETCH"] = "1"
    spans = []
    for turn in range(rounds):
        file = celery.folder / f"held-{turn}"
        victims = [celery.start("-c", "1"), celery.start("-c", "1")]
        ready = celery.folder / f"ready-{turn}"
        while len({line.split()[0] for line in lines_of(ready)}) < 2:  # until both take part
            celery.run(f"for _ in range(10): hold.delay({str(ready)!r}, 0.05)")
        celery.run("app.control.purge()")
        time.sleep(0.5)
        celery.run(f"hold.delay({str(file)!r}, 30)")
        victim = int(wait_for_lines(file, 1)[0].split()[0])
        killed_at = time.time()
        os.kill(victim, signal.SIGKILL)
        spans.append((float(wait_for_lines(file, 2)[1].split()[1]) - killed_at) * 1000)
        for process in victims:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    return spans


def redis_figures(spread, runs, count):
    """Against Redis, where it is installed: without a save, as a broker is mostly run."""
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: celery.redis.* are left out", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="ringmill-bench-") as folder:
        socket = f"{folder}/redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not os.path.exists(socket):
                time.sleep(0.01)
            celery = Celery(Path(folder), f"redis+socket://{socket}")
            try:
                spread["celery.redis.delay.p50_us"] = [celery_delay(celery, 1000) for _ in range(runs)]
                spread["celery.redis.prefork2.jobs_per_s"] = [celery_rate(celery, count) for _ in range(runs)]
            finally:
                celery.end()
        finally:
            server.kill()
            server.wait()


def floor_figure(spread, runs):
    """What .delay() takes with a list of the same process as its broker: the time of Celery and kombu themselves."""
    with tempfile.TemporaryDirectory(prefix="ringmill-bench-") as folder:
        celery = Celery(Path(folder), "memory://")
        spread["celery.memory.delay.p50_us"] = [celery_delay(celery, 1000) for _ in range(runs)]


def ringmill_figures(spread, runs, count, rounds):
    with Place() as place:
        celery = Celery(place.folder, f"ringmill://{place.path}")
        keeper = ringmill.Engine(place.path)
        try:
            spread["celery.ringmill.delay.p50_us"] = [celery_delay(celery, 1000) for _ in range(runs)]
            spread["celery.ringmill.prefork2.jobs_per_s"] = [celery_rate(celery, count) for _ in range(runs)]
            spans = celery_handover(celery, rounds)
            spread["celery.ringmill.handover.p50_ms"] = spans
            spread["celery.ringmill.handover.p99_ms"] = [sorted(spans)[len(spans) * 99 // 100]]
        finally:
            celery.end()
            del keeper


def measure(is_quick: bool, only: str) -> dict[str, list[float]]:
    runs = 3 if is_quick else 5
    scale = 1 if is_quick else 4
    spread: dict[str, list[float]] = {}
    wanted = {
        "native.1p1w.single.jobs_per_s": lambda: native_rate(300_000 * scale, "single"),
        "native.1p1w.jobs.jobs_per_s": lambda: native_rate(500_000 * scale, "jobs"),
        "native.1p1w.batch.jobs_per_s": lambda: native_rate(1_000_000 * scale, "batch"),
        "mp_queue.1p1w.msgs_per_s": lambda: queue_rate(100_000 * scale),
        "faster_fifo.1p1w.batch.msgs_per_s": lambda: faster_fifo_rate(300_000 * scale, False),
        "faster_fifo.1p1w.raw_batch.msgs_per_s": lambda: faster_fifo_rate(300_000 * scale, True),
    }
    for name, one in wanted.items():
        if only in name:
            spread[name] = [one() for _ in range(runs)]
    if only in "native.handover":
        spans = native_handover(30 if is_quick else 200)
        spread["native.handover.p50_ms"] = spans
        spread["native.handover.p99_ms"] = [sorted(spans)[len(spans) * 99 // 100]]
    if only in "killed":
        spread.update(killed_figures(10 if is_quick else 50))
    if only in "celery.ringmill":
        ringmill_figures(spread, runs, 2000 * scale, 5 if is_quick else 20)
    if only in "celery.memory":
        floor_figure(spread, runs)
    if only in "celery.redis":
        redis_figures(spread, runs, 2000 * scale)
    return spread


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench-python")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="a part of the figures' names: native, celery.ringmill")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    spread = measure(given.quick, given.only)
    figures = {name: statistics.median(values) for name, values in spread.items()}
    for name, value in figures.items():
        print(f"{name:42} {value:>14,.1f}   {min(spread[name]):,.1f} .. {max(spread[name]):,.1f}")
    if given.json:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = head.stdout.strip()
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        ranges = {name: [min(values), figures[name], max(values)] for name, values in spread.items()}
        Path(given.json).write_text(
            json.dumps({"machine": machine, "commit": commit, "figures": figures, "spread": ranges}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
