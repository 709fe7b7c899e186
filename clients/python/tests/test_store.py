"""Values by key, where the results of Celery and Dramatiq are."""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest
import ringmill
from conftest import await_true
from ringmill._handles import Handles
from ringmill._chords import Chord
from ringmill._store import Store


@pytest.fixture
def store(path):
    return Store(Handles(path, True))


def values_in(engine):
    return engine.totals()["cells_used"]


def test_values_are_kept_and_replaced(store):
    assert store.get(b"a") is None
    store.set(b"a", b"1")
    store.set(b"a", b"\x00two")
    store.set(b"b", b"x" * 1_000_000)
    assert store.get_many([b"a", b"none", b"b"]) == [b"\x00two", None, b"x" * 1_000_000]
    store.delete(b"a")
    assert store.get(b"a") is None


def test_a_value_longer_than_a_payload_is_kept_in_parts(store, engine):
    before = values_in(engine)
    for longer in (1, engine.most_payload):
        value = os.urandom(engine.most_payload + longer)
        store.set(b"long", value)
        assert store.get(b"long") == value
    store.set(b"long", b"short")
    assert store.get(b"long") == b"short"
    store.set(b"long", b"\0ringmill:parts:")
    assert store.get(b"long") == b"\0ringmill:parts:"
    assert not store.set(b"long", value, only_if_absent=True)
    assert store.get(b"long") == b"\0ringmill:parts:"
    store.delete(b"long")
    assert store.get(b"long") is None
    assert await_true(lambda: values_in(engine) == before)


@pytest.mark.parametrize("size", [1, 96, 97, 1000])
def test_a_key_has_any_length(store, size):
    first, second = b"k" * size, b"k" * (size - 1) + b"x"
    store.set(first, b"1")
    store.set(second, b"2")
    assert store.get_many([first, second]) == [b"1", b"2"]


def test_values_end_with_their_time(store, engine):
    before = values_in(engine)
    store.set(b"a", b"1", 0.05)
    store.set(b"b", b"1")
    store.expire(b"b", 0.05)
    store.set(b"c", b"1", 60)
    time.sleep(0.1)
    assert store.get_many([b"a", b"b", b"c"]) == [None, None, b"1"]
    assert await_true(lambda: values_in(engine) == before + 1)


def test_a_counter_misses_no_increment_of_threads_and_processes(store):
    def count():
        for _ in range(50):
            store.increment(b"n", ttl=60)
            store.expire(b"n", 60)

    children = [os.fork() for _ in range(1)]
    if children[0] == 0:
        try:
            count()
        finally:
            os._exit(0)
    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert store.increment(b"n") == 151


def test_a_counter_begins_anew_after_its_time(store):
    assert store.increment(b"n") == 1
    store.expire(b"n", 0.02)
    time.sleep(0.05)
    assert store.increment(b"n") == 1


def test_values_are_there_when_the_segment_was_lost(tmp_path):
    path = str(tmp_path / "lost")
    shared = Path(tempfile.mkdtemp(dir="/dev/shm"))
    ringmill.create(path, capacity=1024, shm_dir=str(shared))
    child = os.fork()
    if child == 0:
        handles = Handles(path, True)
        Store(handles).set(b"a", b"1")
        Store(handles).increment(b"n")
        handles.producer.wait_durable()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    segments = list(shared.iterdir())
    assert segments
    for segment in segments:
        segment.unlink()
    store = Store(Handles(path, True))
    assert store.get(b"a") == b"1"
    assert store.increment(b"n") == 2
    ringmill.remove(path, True)
    shutil.rmtree(shared)


@pytest.fixture
def chord(store):
    return Chord(store, b"celery-taskset-meta-1", 60.0)


def test_the_last_part_of_a_chord_finds_all_values_in_their_order(chord):
    chord.set_size(3)
    assert [chord.part_returned(n, f"part-{n}", b"%d" % n) for n in (2, 0)] == [False, False]
    assert chord.part_returned(1, "part-1", b"1")
    assert chord.values() == [b"0", b"1", b"2"]
    chord.forget()
    assert chord.values() == []


def test_a_part_that_runs_again_counts_once(chord):
    chord.set_size(2)
    assert not chord.part_returned(0, "first", b"a")
    assert not chord.part_returned(0, "first", b"a")
    assert chord.part_returned(1, "last", b"b")
    assert chord.part_returned(1, "last", b"b")  # it was killed before the callback was sent
    assert not chord.part_returned(0, "first", b"a")
    chord.forget()
    assert not chord.part_returned(0, "first", b"a")


def test_a_chord_waits_for_the_parts_that_were_added_while_it_ran(chord):
    chord.set_size(1)
    chord.add_part()
    assert not chord.part_returned(0, "first", b"a")
    assert chord.part_returned(None, "added", b"b")
    assert chord.values() == [b"a", b"b"]
    chord.forget()
    chord.set_size(1)  # the same chord, applied again
    assert chord.part_returned(0, "first", b"c")


def test_one_part_is_the_last_one_whichever_processes_return_them(chord):
    count, processes = 400, 4
    chord.set_size(count)
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            code = 255
            try:
                parts = range(number, count, processes)
                code = sum(chord.part_returned(n, f"part-{n}", b"%d" % n) for n in parts)
            finally:
                os._exit(code)
        children.append(child)
    assert sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children) == 1
    assert chord.values() == [b"%d" % n for n in range(count)]
