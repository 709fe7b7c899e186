"""The fixtures that Dramatiq's tests ask for, with ringmill in the place of its brokers and backends. The released
source distribution has the tests, and neither fixtures nor `common`."""

from __future__ import annotations

import random
import subprocess
import sys

import dramatiq
import pytest
import ringmill
from dramatiq import Worker
from ringmill.dramatiq import RingmillBroker, RingmillRateLimiterBackend, RingmillResultBackend

random.seed(1337)


@pytest.fixture
def engine_path(tmp_path):
    path = str(tmp_path / "engine")
    ringmill.create(path, capacity=65536)
    yield path
    ringmill.remove(path, True)


class Broker(RingmillBroker):
    """With `fail_fast` as the stub broker has it: join() raises what the first dead message has failed with."""

    fail_fast = False

    def emit_before(self, signal, *arguments, **options):
        if signal == "nack":
            self.__dict__.setdefault("dead", []).append(arguments[0]._exception)
        super().emit_before(signal, *arguments, **options)

    def join(self, queue_name, *, fail_fast=None, **options):
        super().join(queue_name, **options)
        dead = self.__dict__.pop("dead", [])
        if dead and (self.fail_fast if fail_fast is None else fail_fast):
            raise dead[0] or Exception("Message failed with unknown error")


def made_broker(path):
    broker = Broker(path)
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    return broker


def worker_of(broker, **options):
    worker = Worker(broker, worker_threads=32, **options)
    worker.start()
    return worker


@pytest.fixture
def redis_broker(engine_path):
    broker = made_broker(engine_path)
    yield broker
    broker.close()


@pytest.fixture
def stub_broker(redis_broker):
    redis_broker.fail_fast = True
    return redis_broker


@pytest.fixture
def redis_worker(redis_broker):
    worker = worker_of(redis_broker)
    yield worker
    worker.stop()


@pytest.fixture
def stub_worker(stub_broker):
    worker = worker_of(stub_broker, worker_timeout=100)
    yield worker
    worker.stop()


@pytest.fixture
def result_backend(engine_path):
    return RingmillResultBackend(engine_path)


@pytest.fixture
def result_backends(result_backend):
    return {"redis": result_backend, "stub": result_backend}


redis_result_backend = stub_result_backend = result_backend


@pytest.fixture
def rate_limiter_backend(engine_path):
    return RingmillRateLimiterBackend(engine_path)


@pytest.fixture
def rate_limiter_backends(rate_limiter_backend):
    return {"redis": rate_limiter_backend, "stub": rate_limiter_backend}


redis_rate_limiter_backend = stub_rate_limiter_backend = rate_limiter_backend


# What the tests of the Redis and the stub broker ask of their insides.
EXCLUDED = {
    "reads or writes Redis itself": (
        "test_redis_unacked_messages_can_be_requeued",
        "test_redis_messages_can_be_dead_lettered",
        "test_redis_dead_lettered_messages_are_cleaned_up",
        "test_redis_messages_belonging_to_missing_actors_are_rejected",
        "test_redis_requeues_unhandled_messages_on_shutdown",
        "test_redis_requeues_unhandled_delay_messages_on_shutdown",
        "test_redis_broker_can_connect_via_url",
        "test_redis_broker_can_connect_via_client",
        "test_redis_consumer_ack_can_retry_on_connection_error",
        "test_redis_consumer_nack_can_retry_on_connection_error",
        "test_redis_join_race_condition",
    ),
    "reads or writes the stub broker's queues in memory": (
        "test_actors_can_be_sent_messages",
        "test_messages_belonging_to_missing_actors_are_rejected",
        "test_worker_handles_non_numeric_eta_and_logs_warning",
        "test_worker_handles_none_eta",
    ),
}


def pytest_collection_modifyitems(items):
    for item in items:
        for reason, names in EXCLUDED.items():
            if item.originalname in names:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def info_logging(caplog):
    caplog.set_level("INFO")


@pytest.fixture
def start_cli():
    started = []

    def run(broker_module, *, extra_args=None, **options):
        options.setdefault("bufsize", 0)
        command = [sys.executable, "-m", "dramatiq", broker_module, *(extra_args or [])]
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield run
    for process in started:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
