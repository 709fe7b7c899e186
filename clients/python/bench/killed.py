"""A consumer that is killed every 100 ms, and started again: what is lost of what a producer puts in meanwhile."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import queue
import signal
import time

import ringmill
from place import Place

FORK = multiprocessing.get_context("fork")
BATCH = 64
MOST = 8_000_000
EVERY_S = 0.1
STALLED_S = 3.0
WORK = range(60)


class Ledger:
    """Which messages a consumer has seen: memory that outlives it."""

    def __init__(self):
        self.seen = mmap.mmap(-1, MOST)
        self.counts = mmap.mmap(-1, 16)

    def put_in(self, count):
        self.counts[:8] = count.to_bytes(8, "little")

    def how_many_put_in(self):
        return int.from_bytes(self.counts[:8], "little")

    def note(self, message):
        for _ in WORK:  # about a microsecond, so that a kill finds some of a batch done and some not
            pass
        number = int.from_bytes(message[:8], "little")
        self.seen[number] = min(self.seen[number] + 1, 255)

    def how_many_seen(self, count):
        return count - self.seen[:count].count(0)


def messages_from(number):
    return [(number + n).to_bytes(8, "little") + b"x" * 92 for n in range(BATCH)]


def produce_until(stop, ledger, put_many):
    """About 200,000 a second, in batches: so fast that a consumer is mostly at work when it is killed."""
    count = 0
    while not stop.is_set() and count + BATCH <= MOST:
        put_many(messages_from(count))
        count += BATCH
        ledger.put_in(count)
        if count // BATCH % 4 == 0:
            time.sleep(0.001)


def run(produce, consume, kills):
    """Returns how many messages no consumer saw, how many more than one saw, and whether all stood still."""
    ledger, stop = Ledger(), FORK.Event()
    producer = FORK.Process(target=produce, args=(stop, ledger))
    producer.start()
    for _ in range(kills):
        consumer = FORK.Process(target=consume, args=(ledger,))
        consumer.start()
        time.sleep(EVERY_S)
        os.kill(consumer.pid, signal.SIGKILL)
        consumer.join()
    stop.set()
    consumer = FORK.Process(target=consume, args=(ledger,))
    consumer.start()
    # It has all the time that it needs, as long as it sees anything.
    seen, moved = -1, time.monotonic()
    while time.monotonic() - moved < STALLED_S:
        time.sleep(0.02)
        count = ledger.how_many_put_in()
        now = ledger.how_many_seen(count)
        if now == count and not producer.is_alive():
            break
        if now != seen:
            seen, moved = now, time.monotonic()
    stands_still = producer.is_alive()
    for process in (consumer, producer):
        process.kill()
        process.join()
    count = ledger.how_many_put_in()
    lost = count - ledger.how_many_seen(count)
    twice = sum(1 for times in ledger.seen[:count] if times > 1)
    return lost, twice, stands_still, count


def native(kills):
    with Place() as place:
        keeper = ringmill.Engine(place.path)

        def produce(stop, ledger):
            engine = ringmill.Engine(place.path, keeper=False)
            participant, kind, level = engine.attach("producer"), engine.kind("bench"), engine.level("default")

            def put_many(messages):
                while messages:
                    messages = messages[len(participant.enqueue_batch(kind, level, messages, 1.0)) :]

            produce_until(stop, ledger, put_many)

        def consume(ledger):
            batch = ringmill.Engine(place.path, keeper=False).attach("worker").claim_many(BATCH, 1.0)
            while True:
                for payload in batch.payloads:
                    ledger.note(payload)
                batch.complete_and_claim(BATCH, 1.0)

        result = run(produce, consume, kills)
        del keeper
        return result


def mp_queue(kills):
    messages = FORK.Queue(10_000)

    def produce(stop, ledger):
        def put_many(some):
            for one in some:
                messages.put(one)

        produce_until(stop, ledger, put_many)

    def consume(ledger):
        while True:
            ledger.note(messages.get())

    return run(produce, consume, kills)


def faster_fifo(kills):
    import faster_fifo

    messages = faster_fifo.Queue(max_size_bytes=16 * 1024 * 1024)

    def produce(stop, ledger):
        produce_until(stop, ledger, lambda some: messages.put_many(some, timeout=3600))

    def consume(ledger):
        while True:
            try:
                for one in messages.get_many(timeout=1, max_messages_to_get=BATCH):
                    ledger.note(one)
            except queue.Empty:
                pass

    return run(produce, consume, kills)


def killed_figures(kills):
    figures = {}
    for name, one in (("native", native), ("mp_queue", mp_queue), ("faster_fifo", faster_fifo)):
        lost, twice, stands_still, count = one(kills)
        figures[f"killed.{name}.put_in"] = [count]
        figures[f"killed.{name}.lost"] = [lost]
        figures[f"killed.{name}.seen_twice"] = [twice]
        figures[f"killed.{name}.stands_still"] = [int(stands_still)]
    return figures
