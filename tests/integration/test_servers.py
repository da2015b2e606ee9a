"""The servers that tests stand on: they start, answer, survive a kill with their data, and end."""

import re
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from service.settings import load
from tools import servers
from tools.kafka.kafka_cluster import KafkaCluster
from tools.redis_server import RedisServer


def test_kafka_takes_and_gives_records(kafka_cluster: KafkaCluster, kafka_prefix: str) -> None:
    topic = kafka_prefix + "events"
    admin = KafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, acks="all", compression_type="zstd")
    producer.send(topic, b"hello").get(10)
    producer.close()
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka_cluster.bootstrap, auto_offset_reset="earliest")
    assert next(consumer).value == b"hello"
    consumer.close()


def test_redis_is_empty_for_each_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_empty_for_each_test_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_redis_keeps_port_and_appended_data_over_a_kill(redis_required: None, tmp_path: Path) -> None:
    with RedisServer(tmp_path, settings={"appendonly": "yes", "appendfsync": "always"}) as server:
        url, first = server.url, server.pid
        with redis.Redis.from_url(url) as client:
            client.set("kept", "yes")
        server.kill()
        assert server.pid is None
        server.start()
        assert (server.url, server.pid != first) == (url, True)
        with redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"
        # Another process finds it by its folder alone.
        assert RedisServer(tmp_path).pid == server.pid
    assert server.pid is None


def test_a_page_runs_scripts(page) -> None:
    page.set_content("<p id=a></p><script>a.textContent = [1, 2].map(n => n * 2).join()</script>")
    assert page.text_content("#a") == "2,4"


def test_kafka_keeps_address_and_records_over_a_kill(kafka_required: None, tmp_path: Path) -> None:
    with KafkaCluster(tmp_path) as cluster:
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all")
        admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
        admin.create_topics([NewTopic("kept", 1, 1)])
        producer.send("kept", b"yes").get(10)
        admin.close()
        producer.close()
        address = cluster.address(1)
        cluster.kill(1)
        assert cluster.pid(1) is None
        cluster.restart(1)
        assert cluster.address(1) == address
        consumer = KafkaConsumer("kept", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
        assert next(consumer).value == b"yes"
        consumer.close()
    assert cluster.pid(1) is None


def test_one_script_starts_both_and_says_with_which_settings(
    kafka_required: None,
    redis_required: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["servers", "start", "--dir", str(tmp_path)])
    assert servers.main() == 0
    kafka, store = KafkaCluster.open(tmp_path / "kafka"), RedisServer(tmp_path / "redis")
    try:
        environ = dict(re.findall(r"^export (\w+)=(.*)$", capsys.readouterr().out, re.MULTILINE))
        settings = load(environ=environ, folder=tmp_path).settings
        assert settings.kafka.bootstrap == (kafka.bootstrap,)
        assert settings.redis.url == store.url
        assert None not in (kafka.pid(1), store.pid)
        assert servers.main() == 0, "started again, it finds what runs"
        assert capsys.readouterr().out.count(kafka.bootstrap) == 1
    finally:
        monkeypatch.setattr("sys.argv", ["servers", "stop", "--dir", str(tmp_path)])
        assert servers.main() == 0
    assert kafka.pid(1) is None
    assert store.pid is None
