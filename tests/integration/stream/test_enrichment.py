"""Profiles and the catalogue from compacted topics of a real Kafka into a real Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer
from redis import Redis

from engine.event import RawEvent
from engine.facts import FactKind
from engine.ports import NewRecord, OutputKind
from service.api.customers import tell
from service.cli import cli
from service.enrichment import Enrichment, Follower
from service.loading import load_stored
from service.settings import load
from service.wiring import Wiring
from service.worker.loop import Pace, Ports, Worker
from tests.unit.service.worker.bench import until
from tests.unit.service.worker.test_catalogue import LIVE
from tools.kafka.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(200)]

PARTITIONS = 2


@pytest.fixture
def flags(tmp_path: Path, kafka_cluster: KafkaCluster, kafka_prefix: str, redis_url: str) -> list[str]:
    return [
        f"data_dir={tmp_path}", f"kafka.bootstrap={kafka_cluster.bootstrap}", f"kafka.topic_prefix={kafka_prefix}",
        f"kafka.group={kafka_prefix}worker", f"redis.url={redis_url}", f"kafka.partitions={PARTITIONS}",
        "redis.timeout_ms=5000",
    ]  # fmt: skip


@pytest.fixture
def wiring(flags: list[str], tmp_path: Path) -> Iterator[Wiring]:
    with Wiring(load(environ={}, flags=flags, folder=tmp_path).settings) as made:
        made.ensure_topics()
        yield made


def follower(wiring: Wiring, kind: FactKind = FactKind.PROFILES) -> Follower:
    source = wiring.fact_source(kind)
    assert source is not None
    return Follower(kind, source, wiring.facts(kind))


def say(cluster: KafkaCluster, topic: str, said: Mapping[str, bytes | None]) -> None:
    """As a shop's own system writes, whatever its partitioner does."""
    with closing(KafkaProducer(bootstrap_servers=[cluster.bootstrap])) as producer:
        for key, value in said.items():
            producer.send(topic, key=key.encode(), value=value)
        producer.flush(30)


def test_what_is_said_last_is_in_the_store_and_comes_back_when_that_loses_it(
    wiring: Wiring, kafka_cluster: KafkaCluster, kafka_prefix: str, redis_url: str
) -> None:
    topic, store, bringing = f"{kafka_prefix}profiles", wiring.profiles(), follower(wiring)
    say(kafka_cluster, topic, {f"c{n}": b'{"customer.tier":"silver"}' for n in range(500)})
    say(kafka_cluster, topic, {"c1": b'{"customer.tier":"gold"}', "c2": None, "c3": b"null"})
    until(lambda: bringing.taken >= 503, bringing.round, seconds=60)
    expected = {"c0": b'{"customer.tier":"silver"}', "c1": b'{"customer.tier":"gold"}'}
    assert store.get(["c0", "c1", "c2", "c3", "c500"]) == expected
    with closing(Redis.from_url(redis_url)) as redis:
        redis.flushall()
    until(lambda: bringing.taken >= 1_006, bringing.round, seconds=60)
    assert store.get(["c0", "c1", "c2", "c3"]) == expected
    say(kafka_cluster, topic, {"c1": b'{"customer.tier":"bronze"}'})
    until(lambda: bringing.taken >= 1_007, bringing.round, seconds=60)
    assert store.get(["c1"]) == {"c1": b'{"customer.tier":"bronze"}'}


def test_who_is_forgotten_stays_so_for_the_topic_and_though_the_store_forgets_it(
    wiring: Wiring, kafka_cluster: KafkaCluster, kafka_prefix: str, redis_url: str
) -> None:
    """The deletion is told to the topic, so that it is deleted again when all of that is read again."""
    log, store, bringing = wiring.fact_log(FactKind.PROFILES), wiring.profiles(), follower(wiring)
    assert log is not None
    log.append([NewRecord(f"c{n}", b'{"customer.tier":"gold"}') for n in range(9)], lambda _: None)
    log.flush(30_000)
    until(lambda: bringing.taken >= 9, bringing.round, seconds=60)
    store.forget(["c1"])
    tell(lambda: log, "c1")
    say(kafka_cluster, f"{kafka_prefix}profiles", {"c1": b'{"customer.tier":"silver"}'})
    until(lambda: bringing.taken >= 11, bringing.round, seconds=60)
    assert store.get(["c1", "c2"]) == {"c1": b"{}", "c2": b'{"customer.tier":"gold"}'}
    assert bringing.withheld == 1
    with closing(Redis.from_url(redis_url)) as redis:
        redis.flushall()
    tell(lambda: log, "c1")
    until(lambda: bringing.taken >= 23, bringing.round, seconds=60)
    assert store.get(["c1", "c2"]).keys() == {"c2"}


def test_another_goes_on_where_one_stopped(wiring: Wiring, kafka_cluster: KafkaCluster, kafka_prefix: str) -> None:
    topic = f"{kafka_prefix}catalogue"
    say(kafka_cluster, topic, {f"product_id/p{n}": b"{}" for n in range(50)})
    first = follower(wiring, FactKind.CATALOGUE)
    until(lambda: first.taken >= 50, first.round, seconds=60)
    first._source.close()
    say(kafka_cluster, topic, {"product_id/p7": b'{"product.stock":1}'})
    second = follower(wiring, FactKind.CATALOGUE)
    until(lambda: wiring.catalogue().get(["product_id/p7"])["product_id/p7"] != b"{}", second.round, seconds=60)
    assert second.taken == 1


def test_a_file_of_things_reaches_the_rules_of_the_stream(
    wiring: Wiring, flags: list[str], tmp_path: Path, kafka_prefix: str
) -> None:
    """By the command, the topic, the worker's thread and the store, into a trigger."""
    publisher = wiring.publisher()
    revision = publisher.publish(LIVE.bundle.sources, "anna", "").revision
    live = load_stored(publisher.control, wiring.signing(), revision, tmp_path / "models")
    words = [f"--set={flag}" for flag in flags]
    file = tmp_path / "things.jsonl"
    lines = [{"by": "product", "key": f"p{n}", "facts": {"product.stock": n}} for n in range(9)]
    file.write_text("\n".join(map(json.dumps, lines)))
    done = CliRunner().invoke(cli, [*words, "facts", "load", "catalogue", str(file)], standalone_mode=False)
    assert "9 of catalogue are in the topic" in done.stderr, done
    enrichment = Enrichment([follower(wiring, kind) for kind in FactKind])
    with ExitStack() as stack:
        enrichment.start()
        stack.callback(enrichment.stop)
        until(lambda: enrichment.counts()["catalogue_taken"] >= 9, lambda: None, seconds=60)
    shown = CliRunner().invoke(
        cli, [*words, "facts", "show", "catalogue", "product/p3", "--json"], standalone_mode=False
    )
    assert json.loads(shown.stdout) == {"product.stock": 3}
    ports = Ports(
        wiring.event_source(), wiring.event_log(), wiring.state(), wiring.outputs(), wiring.limits(), wiring.profiles(),
        wiring.catalogue(), wiring.identities(), wiring.activity(),
    )  # fmt: skip
    worker = Worker(ports, lambda: live, Pace())
    events = [RawEvent("seen", f"s{n}", f"e{n}", 1_700_000_000_000 + n, None, {"product": f"p{n}"}) for n in range(9)]
    wiring.event_log().append(
        [NewRecord(each.session_id, msgspec.json.encode(each)) for each in events], lambda _: None
    )
    until(lambda: worker.counts.applied == 9, worker.round, seconds=60)
    worker.stop()
    worker.run()
    sent = [json.loads(each.value) for each in wiring.outputs().read(OutputKind.TRIGGER, 100)]
    assert sorted(each["payload"]["product"] for each in sent) == ["p0", "p1", "p2", "p3"]
