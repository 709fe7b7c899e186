"""The kombu transport, without Celery."""

import os
import socket
import threading
import time

import pytest
import ringmill

kombu = pytest.importorskip("kombu")

from conftest import GENEROUS, await_true  # noqa: E402
from ringmill._names import engine_name  # noqa: E402
from ringmill.kombu import path_of_url  # noqa: E402


@pytest.fixture
def connect(path):
    made = []

    def connect(**options):
        made.append(kombu.Connection(f"ringmill.kombu:Transport+ringmill://{path}", **options))
        return made[-1]

    yield connect
    for connection in made:
        connection.release()


def publish(connection, queue, body, **options):
    queue = kombu.Queue(queue, kombu.Exchange(queue), routing_key=queue)
    kombu.Producer(connection).publish(
        body, exchange=queue.exchange, routing_key=queue.routing_key, declare=[queue], **options
    )


def consume(connection, queues, most=1, timeout=GENEROUS, ack=True):
    """Bodies and messages, in the order of their arrival."""
    got = []

    def on_message(body, message):
        got.append((body, message))
        if ack:
            message.ack()

    queues = [kombu.Queue(name, kombu.Exchange(name), routing_key=name) for name in queues]
    with kombu.Consumer(connection, queues=queues, callbacks=[on_message], accept=["json", "pickle", "text/plain"]):
        while len(got) < most:
            connection.drain_events(timeout=timeout)
    return got


def test_urls():
    assert path_of_url("ringmill:///var/lib/jobs") == ("/var/lib/jobs", {})
    assert path_of_url("ringmill:///var/lib/jobs?keeper=0") == ("/var/lib/jobs", {"keeper": "0"})
    with pytest.raises(ValueError):
        path_of_url("ringmill://")


def test_a_class_path_of_another_module_is_still_refused_in_an_url(path):
    if not hasattr(kombu.connection, "_check_url_transport"):
        pytest.skip("before kombu 5.7")
    with pytest.raises(ValueError):
        kombu.Connection(f"os.path:join+ringmill://{path}")


def test_a_message_arrives_and_is_acknowledged(connect, engine):
    publish(connect(), "default", {"n": 1})
    [(body, message)] = consume(connect(), ["default"])
    assert body == {"n": 1}
    assert not message.delivery_info.get("redelivered")
    assert engine.levels()["default"]["running"] == engine.levels()["default"]["queued"] == 0


def test_bodies_of_bytes_come_whole(connect):
    publish(connect(), "default", {"bytes": b"\x00\xff"}, serializer="pickle")
    [(body, _)] = consume(connect(), ["default"])
    assert body == {"bytes": b"\x00\xff"}


def test_an_unacknowledged_message_comes_back_when_its_connection_closes(connect):
    publish(connect(), "default", "x")
    first = connect()
    consume(first, ["default"], ack=False)
    second = connect()
    with pytest.raises(socket.timeout):
        consume(second, ["default"], timeout=0.1)
    first.release()
    assert consume(second, ["default"])[0][0] == "x"


def test_a_rejected_message_is_gone_and_a_requeued_one_comes_again(connect):
    connection = connect()
    publish(connection, "default", "x")
    [(_, message)] = consume(connection, ["default"], ack=False)
    message.requeue()
    [(body, message)] = consume(connection, ["default"], ack=False)
    assert body == "x"
    assert message.delivery_info["redelivered"] and message.headers["redelivered"]
    message.reject()
    with pytest.raises(socket.timeout):
        consume(connection, ["default"], timeout=0.1)


def test_the_prefetch_count_bounds_what_is_held(connect, engine):
    publisher = connect()
    for n in range(5):
        publish(publisher, "default", n)
    connection = connect()
    channel = connection.channel()
    got = []
    queue = kombu.Queue("default", kombu.Exchange("default"), routing_key="default", channel=channel)
    consumer = kombu.Consumer(channel, queues=[queue], callbacks=[lambda body, message: got.append(message)])
    consumer.qos(prefetch_count=2)
    with consumer:
        for _ in range(2):
            connection.drain_events(timeout=GENEROUS)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.1)
        assert engine.levels()["default"]["running"] == 2
        got[0].ack()
        connection.drain_events(timeout=GENEROUS)
        assert len(got) == 3


def test_more_than_64_messages_are_held_at_a_time(connect, engine):
    publisher = connect()
    for n in range(150):
        publish(publisher, "default", n)
    connection = connect()
    got = consume(connection, ["default"], most=150, ack=False)
    assert [body for body, _ in got] == list(range(150))
    assert engine.levels()["default"]["running"] == 150
    for _, message in got:
        message.ack()
    assert engine.levels()["default"]["running"] == 0


def test_topic_and_fanout_reach_the_queues_of_other_connections(connect):
    topic = kombu.Exchange("news", type="topic")
    fanout = kombu.Exchange("all", type="fanout")
    first, second = connect(), connect()
    queues = {
        first: [kombu.Queue("sport", topic, routing_key="sport.#"), kombu.Queue("one", fanout, auto_delete=True)],
        second: [kombu.Queue("chess", topic, routing_key="*.chess"), kombu.Queue("two", fanout, auto_delete=True)],
    }
    got = {first: [], second: []}
    consumers = []
    for connection in (first, second):
        keep = got[connection]
        consumers.append(
            kombu.Consumer(connection, queues=queues[connection], no_ack=True,
                           callbacks=[lambda body, message, keep=keep: keep.append(body)])
        )  # fmt: skip
        consumers[-1].consume()
    producer = kombu.Producer(connect())
    producer.publish("chess", exchange=topic, routing_key="sport.chess", declare=[topic])
    producer.publish("tennis", exchange=topic, routing_key="sport.tennis", declare=[topic])
    producer.publish("to all", exchange=fanout, routing_key="", declare=[fanout])

    def drain(connection, count):
        while len(got[connection]) < count:
            connection.drain_events(timeout=GENEROUS)
        return sorted(got[connection])

    assert drain(first, 3) == ["chess", "tennis", "to all"]
    assert drain(second, 2) == ["chess", "to all"]


def test_a_mailbox_ends_with_its_process(connect, path, engine):
    exchange = kombu.Exchange("all", type="fanout")
    child = os.fork()
    if child == 0:
        connection = kombu.Connection(f"ringmill://{path}")
        kombu.Consumer(connection, queues=[kombu.Queue("gone", exchange, auto_delete=True)]).consume()
        os._exit(0)
    os.waitpid(child, 0)
    producer = kombu.Producer(connect())
    producer.publish("x", exchange=exchange, routing_key="", declare=[exchange])
    assert not any(name.endswith(".socket") for name in os.listdir(path + ".celery"))
    assert list(engine.levels()) == ["high", "default", "low"]  # what was sent there waits nowhere


def test_eta_waits_in_the_engine(connect, engine):
    connection = connect()
    eta = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    publish(connection, "default", "later", headers={"eta": eta})
    assert engine.levels()["default"]["delayed"] == 1
    [(body, message)] = consume(connection, ["default"])
    assert body == "later"
    assert message.headers["eta"] is None  # it has waited
    assert time.time() >= int(time.time()) - 2


def test_a_waiting_consumer_is_woken(connect):
    publisher = connect()
    threading.Timer(0.2, lambda: publish(publisher, "default", "x")).start()
    begun = time.monotonic()
    assert consume(connect(), ["default"])[0][0] == "x"
    assert 0.1 < time.monotonic() - begun < 10


def test_queues_are_made_purged_and_deleted(connect, engine):
    connection = connect()
    name = "a queue@with odd characters"
    for n in range(3):
        publish(connection, name, n)
    queue = kombu.Queue(name, kombu.Exchange(name), routing_key=name, channel=connection.channel())
    assert queue.queue_declare(passive=True).message_count == 3
    assert queue.purge() == 3
    assert await_true(lambda: queue.queue_declare(passive=True).message_count == 0)
    assert engine_name(name) in engine.levels()
    queue.delete()
    assert engine_name(name) not in engine.levels()


def test_a_missing_engine_is_made_and_a_missing_parent_is_an_error(tmp_path):
    made = str(tmp_path / "made")
    with kombu.Connection(f"ringmill://{made}") as connection:
        publish(connection, "default", 1)
    ringmill.remove(made, True)
    with pytest.raises(ringmill.Error):
        kombu.Connection(f"ringmill://{tmp_path}/no/parent").connect()


def test_a_message_is_dropped_when_its_time_is_over(connect, engine):
    connection = connect()
    publish(connection, "default", "over", expiration=0.05)
    publish(connection, "default", "there", expiration=60)
    time.sleep(0.1)
    assert [body for body, _ in consume(connection, ["default"])] == ["there"]
    assert engine.levels()["default"]["queued"] == 0
    assert engine.totals()["dead"] == 0


def test_the_next_url_is_taken_when_the_first_engine_cannot_be_opened(path):
    with kombu.Connection(f"ringmill:///proc/no/engine;ringmill://{path}") as connection:
        publish(connection, "default", "x")
        assert consume(connection, ["default"])[0][0] == "x"


def test_a_message_that_is_always_sent_back_is_a_dead_letter(connect, engine):
    connection = connect(transport_options={"max_requeues": 3})
    publish(connection, "default", "x")
    for _ in range(4):
        [(_, message)] = consume(connection, ["default"], ack=False)
        message.requeue()
    with pytest.raises(socket.timeout):
        consume(connection, ["default"], timeout=0.1)
    assert await_true(lambda: engine.totals()["dead"] == 1)


def test_a_message_that_was_sent_back_and_acknowledged_leaves_nothing(connect, engine):
    connection = connect()
    publish(connection, "default", "x")
    for _ in range(5):
        [(_, message)] = consume(connection, ["default"], ack=False)
        message.requeue()
    consume(connection, ["default"])
    assert connection.default_channel.box.requeues == {}
    assert await_true(lambda: engine.totals()["cells_used"] == 0)


def test_the_more_urgent_message_of_a_queue_with_priorities_comes_first(connect, engine):
    def queue(**options):
        return kombu.Queue("pressing", kombu.Exchange("pressing"), routing_key="pressing", **options)

    publisher = connect()
    for priority in (0, 5, 9, None, 3):
        kombu.Producer(publisher).publish(
            {"priority": priority}, exchange=queue().exchange, routing_key="pressing", priority=priority,
            declare=[queue(max_priority=10)],
        )  # fmt: skip
    # A producer that has not declared the queue so finds it.
    kombu.Producer(connect()).publish({"priority": 8}, exchange=queue().exchange, routing_key="pressing", priority=8)
    publish(publisher, "default", {"priority": "none"})
    connection, got = connect(), []

    def on_message(body, message):
        got.append(body["priority"])
        message.ack()

    assert queue()(connection.default_channel).queue_declare(passive=True).message_count == 6
    with kombu.Consumer(connection, queues=[queue(max_priority=10)], callbacks=[on_message], accept=["json"]):
        while len(got) < 6:
            connection.drain_events(timeout=GENEROUS)
    assert got == [9, 8, 5, 3, 0, None]
    channel = connection.default_channel
    channel.queue_delete("pressing")
    assert not [name for name in engine.levels() if name.startswith("pressing")]


def test_one_connection_declares_a_mailbox_and_another_one_consumes_it(connect):
    """As results by rpc:// do it."""
    queue = kombu.Queue("replies", kombu.Exchange("", "direct"), routing_key="replies", auto_delete=True, durable=False)
    declaring, consuming, got = connect(), connect(), []
    queue(declaring.default_channel).declare()
    kombu.Producer(connect()).publish({"early": 1}, routing_key="replies")
    with kombu.Consumer(consuming, queues=[queue], callbacks=[lambda body, _: got.append(body)], no_ack=True):
        consuming.drain_events(timeout=GENEROUS)
        declaring.release()  # the other one goes on with it
        kombu.Producer(connect()).publish({"late": 2}, routing_key="replies")
        consuming.drain_events(timeout=GENEROUS)
    assert got == [{"early": 1}, {"late": 2}]
