"""Values by key, where Celery's results are."""

import os
import threading
import time

import pytest
from ringmill._store import Store


@pytest.fixture
def store(tmp_path):
    directory = tmp_path / "engine"
    directory.mkdir(mode=0o700)
    return Store(str(directory))


def test_values_are_kept_and_replaced(store):
    assert store.get(b"a") is None
    store.set(b"a", b"1")
    store.set(b"a", b"\x00two")
    store.set(b"b", b"x" * 1_000_000)
    assert store.get_many([b"a", b"none", b"b"]) == [b"\x00two", None, b"x" * 1_000_000]
    store.delete(b"a")
    assert store.get(b"a") is None


def test_values_end_with_their_time(store):
    store.set(b"a", b"1", 0.05)
    store.set(b"b", b"1")
    store.expire(b"b", 0.05)
    store.set(b"c", b"1", 60)
    time.sleep(0.1)
    assert store.get_many([b"a", b"b", b"c"]) == [None, None, b"1"]
    assert store.sweep() == 2


def test_a_counter_misses_no_increment_of_threads_and_processes(store):
    def count():
        for _ in range(50):
            store.increment(b"n")

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


def test_the_folder_has_the_rights_of_the_engines(store, tmp_path):
    assert os.stat(tmp_path / "engine.celery").st_mode & 0o777 == 0o700
