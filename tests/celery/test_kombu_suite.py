"""kombu's reusable integration tests, from its released source distribution, on ringmill. What is excluded says why."""

from __future__ import annotations

import contextlib
import socket

import kombu
import pytest
import ringmill.kombu  # the transport has its name from now on

from .common import (
    BaseExchangeTypes,
    BaseFailover,
    BaseMessage,
    BasePriority,
    BaseTimeToLive,
    BasicFunctionality,
)


@pytest.fixture
def url(tmp_path):
    path = str(tmp_path / "engine")
    ringmill.create(path, capacity=4096)
    yield f"ringmill://{path}"
    ringmill.remove(path, True)


@pytest.fixture
def connection(url):
    return kombu.Connection(url)


@pytest.fixture
def failover_connection(url):
    return kombu.Connection(f"ringmill:///proc/no/engine;{url}")


@pytest.fixture
def invalid_connection():
    return kombu.Connection("ringmill:///proc/no/engine")


class TestBasicFunctionality(BasicFunctionality):
    pass


class TestExchangeTypes(BaseExchangeTypes):
    pass


class TestTimeToLive(BaseTimeToLive):
    pass


class TestPriority(BasePriority):
    """As with RabbitMQ: 9 is the most urgent. drain_events() hands over one message, as that of Redis and MongoDB."""

    def test_publish_consume(self, connection):
        with EachDrainTakesAll(connection):
            super().test_publish_consume(connection)

    def test_publish_requeue_consume(self, connection):
        with EachDrainTakesAll(connection):
            super().test_publish_requeue_consume(connection)


class EachDrainTakesAll:
    """Lets one call of drain_events() hand over all that is there."""

    def __init__(self, connection):
        self.connection = connection
        self.one = connection.drain_events

    def __enter__(self):
        def drain_all(timeout=None, **kwargs):
            self.one(timeout=timeout, **kwargs)
            with contextlib.suppress(socket.timeout):
                while True:
                    self.one(timeout=0.1, **kwargs)

        self.connection.drain_events = drain_all

    def __exit__(self, *_):
        del self.connection.drain_events


class TestMessage(BaseMessage):
    pass


class TestFailover(BaseFailover):
    @pytest.mark.skip(reason="the test tells brokers apart by their ports; ours have paths. test_connect fails over")
    def test_failover_switches_to_alternate_url(self):
        pass
