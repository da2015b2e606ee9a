"""Topics as the settings say: made where missing, named where otherwise, never altered; on a real broker."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from connectors.kafka_ports import KafkaPorts
from connectors.kafka_topics import KafkaTopics, TopicPlan
from engine.ports import PortError
from service.cli import cli

DAY_MS = 86_400_000
PLAN = TopicPlan(events_retention_ms=3 * DAY_MS, outputs_retention_ms=DAY_MS)

pytestmark = pytest.mark.kafka


@pytest.fixture
def topics(kafka_cluster, kafka_prefix):
    def make(plan: TopicPlan = PLAN, partitions: int = 2) -> KafkaTopics:
        return KafkaPorts([kafka_cluster.bootstrap], partitions=partitions, prefix=kafka_prefix, plan=plan).topics()

    return make


@pytest.fixture
def admin(kafka_cluster):
    with closing(KafkaAdminClient(bootstrap_servers=[kafka_cluster.bootstrap])) as admin:
        yield admin


def faults(topics: KafkaTopics, prefix: str) -> set[tuple[str, str, str, str]]:
    return {(each.topic.removeprefix(prefix), each.setting, each.found, each.wanted) for each in topics.check()}


def test_what_is_missing_is_named_then_made_as_the_plan_says(topics, kafka_prefix):
    names = {"events", "triggers", "dead", "late", "positions", "profiles", "catalogue"}
    assert faults(topics(), kafka_prefix) == {(name, "topic", "", "there") for name in names}
    assert {name.removeprefix(kafka_prefix) for name in topics().create()} == names
    assert not topics().check()
    assert not topics().create()


def test_each_setting_that_is_otherwise_is_named_with_what_is_there_and_what_is_wanted(topics, kafka_prefix):
    topics().create()
    other = TopicPlan(replicas=3, min_insync=2, events_retention_ms=0, outputs_retention_ms=DAY_MS)
    found = faults(topics(other, partitions=3), kafka_prefix)
    names = ("events", "triggers", "dead", "late", "positions", "profiles", "catalogue")
    assert found == {
        ("events", "retention.ms", str(3 * DAY_MS), "-1"),
        *((name, "partitions", "2", "3") for name in names),
        *((name, "replicas", "1", "3") for name in names),
        *((name, "min.insync.replicas", "1", "2") for name in names),
    }


def test_a_topic_of_positions_that_forgets_by_age_is_named(topics, admin, kafka_cluster, kafka_prefix):
    """Its last record of an idle partition would go, and what is out with it."""
    topics().create()
    name = f"{kafka_prefix}positions"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": "delete"})])
    (fault,) = topics().check()
    assert str(fault) == (
        f"{name}: cleanup.policy is delete, wanted is compact: kafka-configs.sh --bootstrap-server "
        f"{kafka_cluster.bootstrap} --alter --entity-type topics --entity-name {name} --add-config cleanup.policy=compact"
    )
    assert not topics().create()
    assert len(topics().check()) == 1, "nothing is altered"


def test_more_copies_in_sync_than_wanted_are_no_fault(topics, admin, kafka_prefix):
    topics().create()
    name = f"{kafka_prefix}events"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"min.insync.replicas": "2"})])
    assert not topics().check()
    assert [each.setting for each in topics(replace(PLAN, min_insync=3)).check()].count("min.insync.replicas") == 7


def test_another_number_of_partitions_stops_a_start(topics):
    topics().create()
    with pytest.raises(PortError, match=r"events: partitions is 2, wanted is 3: .* set kafka\.partitions to 2"):
        topics(partitions=3).ensure()
    assert topics(replace(PLAN, events_retention_ms=0)).ensure()[0].setting == "retention.ms"


def test_more_replicas_than_brokers_are_refused_with_the_reason(topics):
    with pytest.raises(PortError, match=r"making the topics failed: .*[Rr]eplication"):
        topics(TopicPlan(replicas=3)).create()


def call(*words: str):
    return CliRunner().invoke(cli, list(words), standalone_mode=False)


def test_the_commands_make_check_and_tell(kafka_cluster, kafka_prefix, tmp_path):
    on_kafka = [
        f"--set=data_dir={tmp_path}", f"--set=kafka.bootstrap={kafka_cluster.bootstrap}",
        f"--set=kafka.topic_prefix={kafka_prefix}", "--set=kafka.partitions=2",
    ]  # fmt: skip
    missing = call(*on_kafka, "topics", "check")
    assert missing.return_value == 1
    assert "make it with `salience topics create`" in missing.stdout
    made = call(*on_kafka, "topics", "create")
    assert (made.return_value, made.stdout.count("made ")) == (0, 7)
    assert "nothing was missing" in call(*on_kafka, "topics", "create").stderr
    assert call(*on_kafka, "topics", "check").stdout == "7 topics are as the settings say\n"
    changed = call(*on_kafka, "--set=kafka.outputs_retention_ms=1000", "topics", "check", "--json")
    assert changed.return_value == 1
    told = json.loads(changed.stdout)
    assert {each["topic"].removeprefix(kafka_prefix) for each in told} == {"triggers", "dead", "late"}
    assert {(each["setting"], each["found"], each["wanted"]) for each in told} == {
        ("retention.ms", "604800000", "1000")
    }
    again = call(*on_kafka, "--set=kafka.outputs_retention_ms=1000", "topics", "create")
    assert again.return_value == 1
    assert "--add-config retention.ms=1000" in again.stdout


def test_a_kafka_that_is_down_is_a_sentence(tmp_path):
    down = call(f"--set=data_dir={tmp_path}", "--set=kafka.bootstrap=127.0.0.1:1", "topics", "check")
    assert "Kafka at 127.0.0.1:1" in str(down.exception)


def test_embedded_there_are_none(tmp_path):
    for word in ("create", "check"):
        told = call(f"--set=data_dir={tmp_path}", "topics", word)
        assert (told.return_value, told.stdout) == (0, "")
        assert "there are no topics" in told.stderr
