"""`salience state`: the working memory of a session, and what was live at which offset, for operators."""

from __future__ import annotations

from collections.abc import Mapping

import click
from rich.table import Table

from engine.language.tree import Vocabulary
from engine.ports import PortError, partition_of
from engine.rete import SnapshotError
from engine.units import duration_text, money_text
from engine.values import EpochMs, Kind, Value, ValueType
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.loading import BundleRefusedError, Loaded, load_stored
from service.session_report import HIDDEN, SessionReport, report_session
from service.wiring import Wiring


@click.group("state")
def command() -> None:
    """Show what is stored of sessions, and what partitions were evaluated with."""


@command.command("show")
@click.argument("session")
@click.option("--reveal", is_flag=True, help="Show the customer, the profile and free texts, which are hidden else.")
@json_option
@pass_invocation
def show_command(invocation: Invocation, session: str, reveal: bool, as_json: bool) -> None:
    """Show the working memory of SESSION as stored, with the live revision: facts, timers, rules that hold, kept events.

    It is as of the session's clock, its latest event or timer; `salience why --session` says how rules stand now. What is
    personal is shown as `***`: the customer's id and profile, and every text that came with an event.
    """
    settings = invocation.settings
    with Wiring(settings) as wiring:
        try:
            control = wiring.publisher().control
            live, _ = control.live()
            if live is None:
                raise Failure("nothing is live, so that no session can be read; publish with `salience publish`")
            partition = partition_of(session, settings.kafka.partitions)
            store = wiring.state()
            position = store.position(partition)
            state = store.load(partition, [session]).get(session)
            if state is None or state.snapshot is None:
                raise Failure(
                    f"no session {session!r} is stored: it ended, or none of its events was evaluated. It belongs to "
                    f"partition {partition}, whose state is at offset {position.offset:,}; `salience lag` says how far that is"
                )
            loaded = load_stored(control, wiring.signing(), live, settings.models.registry)
            report = report_session(loaded, partition, position, state, wiring.catalogue(), reveal=reveal)
        except (PortError, BundleRefusedError, SnapshotError) as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(report)
    else:
        _show(report, loaded)


@command.command("history")
@json_option
@pass_invocation
def history_command(invocation: Invocation, as_json: bool) -> None:
    """Show for each partition what it was evaluated with, from which offset on: revision, models, allowed lateness.

    It is recorded with the state of the batch that began it; `salience rebuild` evaluates by it.
    """
    with Wiring(invocation.settings) as wiring:
        try:
            found = [list(wiring.state().regimes(number)) for number in range(invocation.settings.kafka.partitions)]
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(found)
        return
    table = Table("partition", "from offset", "revision", "bundle", "models", "lateness", box=None, pad_edge=False)
    for number, regimes in enumerate(found):
        for each in regimes:
            at = f"{each.offset:,}" + (f" step {each.step}" if each.step else "")
            models = ", ".join(f"{score} {version[:12]}" for score, version in sorted(each.models.items()))
            lateness = duration_text(each.lateness)
            table.add_row(str(number), at, str(each.revision), each.bundle[:12], models or "none", lateness)
    stdout().print(table)


def _show(report: SessionReport, loaded: Loaded) -> None:
    console = stdout()
    of = f" of customer {report.customer_id}" if report.customer_id else ""
    console.print(f"session {report.session_id}{of}", style="bold", markup=False)
    console.print(
        f"partition {report.partition}, state at offset {report.offset:,}, watermark {_at(report.watermark or None)}; "
        f"{report.size:,} bytes; shown with revision {report.revision}"
    )
    console.print(
        f"began {_at(report.started)}, last event {_at(report.last_event)}, clock {_at(report.clock)}, "
        f"due {_at(report.due)}, ends {_at(report.ends)}"
    )
    vocabulary = loaded.program.vocabulary
    types = {name: fact.type for name, fact in vocabulary.facts.items()}
    facts = Table("fact", "value", box=None, pad_edge=False)
    for name, value in report.facts.items():
        facts.add_row(name, _told(value, types[name], vocabulary))
    for name in report.unknown:
        facts.add_row(name, "unknown", style="dim")
    console.print(facts)
    active = Table("rule that holds", "for", box=None, pad_edge=False)
    for each in report.active:
        active.add_row(each.rule, ", ".join(f"{name} = {value}" for name, value in each.bindings))
    console.print(active if report.active else "no rule holds")
    if report.timers:
        timers = Table("time changes", "at", "", box=None, pad_edge=False)
        for timer in report.timers:
            timers.add_row(timer.of, moment(timer.at), "a rule may act" if timer.acts else "")
        console.print(timers)
    dropped = "" if report.dropped is None else f"; those up to {moment(report.dropped)} had to go"
    console.print(f"{len(report.kept)} kept events{dropped}", markup=False)
    if report.kept:
        kept = Table("time", "event", "attributes", box=None, pad_edge=False)
        for event in report.kept:
            declared = vocabulary.events.get(event.type)
            known = {} if declared is None else {name: each.type for name, each in declared.attributes.items()}
            kept.add_row(moment(event.time), event.type, _attributes(event.attributes, known, vocabulary))
        console.print(kept)


def _attributes(values: Mapping[str, Value], types: Mapping[str, ValueType], vocabulary: Vocabulary) -> str:
    return ", ".join(f"{name} = {_told(value, types.get(name), vocabulary)}" for name, value in values.items())


def _told(value: Value, kind: ValueType | None, vocabulary: Vocabulary) -> str:
    """A value as the vocabulary means it."""
    if value == HIDDEN or kind is None or not isinstance(value, int):
        return str(value)
    match kind.kind:
        case Kind.MONEY:
            return money_text(value, vocabulary.minor_units, vocabulary.currency)
        case Kind.DURATION:
            return duration_text(value)
        case Kind.TIMESTAMP:
            return moment(value)
        case _:
            return str(value)


def _at(time: EpochMs | None) -> str:
    return "-" if time is None else moment(time)
