"""`salience state show`: a session's working memory, with what is personal hidden."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.ports import partition_of
from service.cli import cli
from service.wiring import Wiring
from tests.unit.service.small_shop import sources
from tests.unit.service.test_wiring import settings
from tests.unit.service.worker.bench import MINUTE, NOON, Bench, event, loaded, until

RULES = """\
  - rule: again
    when:
      all:
        - {event: seen, as: first, within: 1 hour}
        - {event: bought, where: {total: {above: $first.price}}}
    then: [{trigger: again, payload: {product: $first.product}}]
  - rule: valued
    when: {fact: customer.tier, is: gold}
    then: [{trigger: valued, payload: {}}]
tests:
"""


@pytest.fixture
def files():
    return sources(greeting=sources()["greeting.yaml"].replace("tests:\n", RULES))


@pytest.fixture
def shown(tmp_path, files):
    """Evaluates events and shows a session."""
    bench = Bench(tmp_path, partitions=2)
    bench.profiles.put({"c-1": b'{"customer.tier": "gold"}'})
    live = loaded(files)
    with Wiring(settings(tmp_path, "kafka.partitions=2")) as wiring:
        wiring.publisher().publish(files, "anna", "")

    def show(session: str, *options: str, values=()):
        bench.append(values)
        worker = bench.worker(lambda: live)
        until(lambda: worker.counts.read >= len(values), worker.round)
        worker.stop()
        worker.run()
        words = [f"--set=data_dir={tmp_path}", "--set=kafka.partitions=2", "state", "show", session, *options]
        return CliRunner().invoke(cli, words, standalone_mode=False)

    yield show
    bench.close()


EVENTS = [
    event("seen", "s1", 0, product="p-7", price="12.50", customer="c-1"),
    event("seen", "s1", 60, product="p-8", price="7.00"),
    event("bought", "s1", 61, total="19.50"),
]


def test_the_memory_is_shown_whole(shown):
    report = json.loads(shown("s1", "--json", "--reveal", values=EVENTS).stdout)
    assert (report["session_id"], report["customer_id"], report["revision"]) == ("s1", "c-1", 1)
    assert (report["partition"], report["offset"], report["watermark"]) == (partition_of("s1", 2), 3, NOON + 1_000)
    assert (report["started"], report["clock"], report["last_event"]) == (NOON, NOON + 61_000, NOON + 61_000)
    assert (report["due"], report["ends"]) == (NOON + 360_000, NOON + 61_000 + 30 * MINUTE)
    assert report["facts"] == {"customer.tier": "gold", "views": 2}
    assert [(each["rule"], each["bindings"]) for each in report["active"]] == [
        ("greeting.offer", []), ("greeting.again", [["first.price", 1250]]), ("greeting.again", [["first.price", 700]]),
        ("greeting.valued", []),
    ]  # fmt: skip
    assert [(each["at"], each["acts"]) for each in report["timers"]] == [
        (NOON + 360_000, True), (NOON + 60_000 + 20 * MINUTE, False), (NOON + 60 * MINUTE, False),
    ]  # fmt: skip
    assert [(each["type"], each["time"], each["attributes"]) for each in report["kept"]] == [
        ("seen", NOON, {"price": 1250, "product": "p-7"}),
        ("seen", NOON + 60_000, {"price": 700, "product": "p-8"}),
        ("bought", NOON + 61_000, {"total": 1950}),
    ]
    assert report["size"] > 100
    assert report["dropped"] is None


def test_what_is_personal_is_hidden_unless_asked_for(shown):
    for options in ((), ("--json",)):
        told = shown("s1", *options, values=EVENTS).stdout
        assert "***" in told
        assert not [each for each in ("c-1", "gold", "p-7", "p-8") if each in told]
    text = shown("s1", "--reveal").stdout
    assert "session s1 of customer c-1" in text
    assert "product = p-7, price = 12.50 EUR" in text
    assert "customer.tier  gold" in text
    assert "seen happened in the last 5 minutes" in text


def test_an_unknown_session_is_a_sentence_that_says_where_it_would_be(shown):
    failed = shown("nobody", values=EVENTS)
    number = partition_of("nobody", 2)
    assert "no session 'nobody' is stored" in str(failed.exception)
    assert f"partition {number}, whose state is at offset {3 if number == partition_of('s1', 2) else 0}" in str(
        failed.exception
    )


def test_without_rules_nothing_can_be_read(tmp_path):
    words = [f"--set=data_dir={tmp_path}", "state", "show", "s1"]
    assert "publish with `salience publish`" in str(CliRunner().invoke(cli, words, standalone_mode=False).exception)
