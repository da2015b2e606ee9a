"""`salience topics`: the topics on Kafka, made and compared with the settings."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from connectors.kafka_topics import TopicFault
from engine.ports import PortError
from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.wiring import Wiring

EMBEDDED = "the event log is embedded in data_dir, so there are no topics (kafka.bootstrap is empty)"


@click.group("topics")
def command() -> None:
    """Make the topics on Kafka, and check that they are as the settings say."""


@command.command("create")
@json_option
@pass_invocation
def create_command(invocation: Invocation, as_json: bool) -> int:
    """Make the topics that are missing, as kafka.partitions, replicas, min_insync_replicas and the retentions say.

    What is there stays as it is: what differs from the settings is named, with a command that changes it, and the exit code
    is 1.
    """
    with Wiring(invocation.settings) as wiring:
        topics = wiring.topics()
        try:
            made = () if topics is None else topics.create()
            faults = () if topics is None else topics.check()
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json({"made": made, "faults": faults})
        return 1 if faults else 0
    for name in made:
        stdout().print(f"made {name}", markup=False)
    if topics is None:
        stderr().print(EMBEDDED)
    elif not made:
        stderr().print("nothing was missing")
    return _told(faults)


@command.command("check")
@json_option
@pass_invocation
def check_command(invocation: Invocation, as_json: bool) -> int:
    """Compare the topics with the settings: partitions, copies, retention, compaction. Changes nothing.

    Exit code 0 where all are as they shall be, 1 where one is missing or otherwise; each fault is told with what to do.
    """
    with Wiring(invocation.settings) as wiring:
        topics = wiring.topics()
        try:
            faults = () if topics is None else topics.check()
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(faults)
        return 1 if faults else 0
    if topics is None:
        stderr().print(EMBEDDED)
    elif not faults:
        stdout().print(f"{len(topics.wanted())} topics are as the settings say")
    return _told(faults)


def _told(faults: Sequence[TopicFault]) -> int:
    """The faults as a table with what to do below; the exit code."""
    if not faults:
        return 0
    console = stdout()
    table = Table("topic", "setting", "found", "wanted", box=None, pad_edge=False)
    for fault in faults:
        table.add_row(fault.topic, fault.setting, fault.found or "missing", fault.wanted, style="yellow")
    console.print(table)
    for remedy in dict.fromkeys(fault.remedy for fault in faults):
        console.print(f"- {remedy}", markup=False)
    return 1
