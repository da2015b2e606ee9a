"""The servers that tests stand on: they start, answer, survive a kill with their data, and end."""

from pathlib import Path

import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

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
