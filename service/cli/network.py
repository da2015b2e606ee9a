"""`salience network`: what the rules became, drawn or listed, and what each part of it takes."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event, RawEvent
from engine.language import check
from engine.language.diagnostics import closest
from engine.language.tree import Program
from engine.rete import Memory, Network
from engine.rete.reports.listing import ListedNode, NodeKind
from engine.rete.reports.metering import Meter, Spent
from engine.testing import run_test
from engine.vocabulary import Admission, EventRefusedError
from service.cli.console import print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.replay import check_columns, load_mapping
from service.cli.validate import folder_sources, path_argument, print_diagnostics, summary
from service.replay.events import RowReader
from service.replay.rows import RecordingError, Row, open_recording

MOST_EXPENSIVE = 10
TITLES = {
    NodeKind.EVENT: "Events",
    NodeKind.SELECTION: "Selections",
    NodeKind.QUANTITY: "Quantities",
    NodeKind.PATTERN: "Patterns",
    NodeKind.CONDITION: "Conditions",
    NodeKind.SCORE: "Scores",
    NodeKind.RULE: "Rules",
}
SHAPES = {
    NodeKind.EVENT: ('(["', '"])'),
    NodeKind.PATTERN: ('[["', '"]]'),
    NodeKind.CONDITION: ('{{"', '"}}'),
    NodeKind.SCORE: ('{{"', '"}}'),
    NodeKind.RULE: ('("', '")'),
}
"""In mermaid; quantities and selections are boxes."""


class _NothingToListError(Failure):
    exit_code = 2


class Measured(msgspec.Struct, frozen=True):
    """What a run through the network took.

    Attributes:
        events: That entered it.
        refused: That the vocabulary refused.
        ns: Of all, in nanoseconds of CPU time; what is in no node is in the indexes.
        spent: By quantity.
        activations: By rule; None on tests, which don't tell them apart.
    """

    events: int
    refused: int
    ns: int
    spent: Mapping[int, Spent]
    activations: Mapping[str, int] | None


@click.command("network")
@path_argument
@click.option("--only", metavar="RULESET", help="Only the rules of this ruleset.")
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True, help="A list, or a drawing.")  # fmt: skip
@click.option("--recording", type=click.Path(path_type=Path), help="Measure each node on a recording (CSV, JSON lines, Parquet).")  # fmt: skip
@click.option("--mapping", "mapping_name", metavar="FILE|NAME", help="Which column of the recording is what.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows of the recording.")
@click.option("--tests", "on_tests", is_flag=True, help="Measure each node on the tests beside the rules.")
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    path: Path | None,
    only: str | None,
    form: str,
    recording: Path | None,
    mapping_name: str | None,
    limit: int | None,
    on_tests: bool,
    as_json: bool,
) -> int:
    """List the nodes of the network that the rules of a folder became, and what rules share.

    PATH is the folder with vocabulary.yaml; without it the setting bundle.folder. With --recording and --mapping, or
    with --tests, it also shows how often each node was reached and its time, and the ten conditions that took most.
    Behind each rule stands what an event may cost it, estimated from its structure: places that are touched for it alone.
    Models give no answer in a recording. Exit code 2 where there is nothing to list.
    """
    if (recording is None) != (mapping_name is None):
        raise click.UsageError("--recording and --mapping go together")
    if recording is not None and on_tests:
        raise click.UsageError("measure on a recording or on the tests, not on both")
    program = _program(invocation, path, only)
    nodes = Network.build(program).nodes()
    measured = None
    if recording is not None:
        measured = _on_recording(program, recording, str(mapping_name), limit)
    elif on_tests:
        measured = _on_tests(program)
    if as_json:
        print_json({"nodes": [_json(node, measured) for node in nodes], "measured": _run_json(measured)})
    elif form == "text":
        _list(nodes, measured)
    else:
        click.echo(drawing(nodes, form))
    return 0


def _program(invocation: Invocation, path: Path | None, only: str | None) -> Program:
    sources = folder_sources(invocation, path)
    checked = check(sources)
    if checked.program is None:
        print_diagnostics(checked, sources)
        raise _NothingToListError(f"{summary(checked)}; the network is made when the rules are without errors")
    program = checked.program
    if only is not None:
        names = sorted({rule.ruleset for rule in program.rules})
        if only not in names:
            raise _NothingToListError(f"there is no ruleset {only}; {closest(only, names) or ', '.join(names)}")
        tests = tuple(test for test in program.tests if test.ruleset == only)
        program = replace(program, rules=tuple(rule for rule in program.rules if rule.ruleset == only), tests=tests)
    if not program.rules:
        raise _NothingToListError("the folder has no rules")
    return program


# ---------------------------------------------------------------- drawings


def drawing(nodes: Sequence[ListedNode], form: str) -> str:
    """The network as mermaid or dot, events on the left."""
    lines = ["flowchart LR"] if form == "mermaid" else ["digraph network {", "  rankdir=LR; node [shape=box];"]
    for node in nodes:
        text = node.text.replace('"', "'")
        if form == "mermaid":
            begin, end = SHAPES.get(node.kind, ('["', '"]'))
            lines.append(f"  {node.id}{begin}{text}{end}")
        else:
            lines.append(f'  {node.id} [label="{text}"];')
    for node in nodes:
        arrow = "-->" if form == "mermaid" else "->"
        end = "" if form == "mermaid" else ";"
        lines += [f"  {node.id} {arrow} {each}{end}" for each in node.feeds]
    return "\n".join(lines if form == "mermaid" else [*lines, "}"])


def _list(nodes: Sequence[ListedNode], measured: Measured | None) -> None:
    out = stdout()
    for kind, found in itertools.groupby(nodes, key=lambda node: node.kind):
        listed = list(found)
        shared = sum(node.rules > 1 for node in listed) if kind is not NodeKind.RULE else 0
        of = f", {shared} shared" if shared else ""
        out.print(f"{TITLES[kind]} ({len(listed)}{of})", style="bold")
        for node in listed:
            rules = f"  [{node.rules} rules]" if kind is not NodeKind.RULE and node.rules > 1 else ""
            feeds = f"  -> {' '.join(node.feeds)}" if node.feeds else ""
            out.print(
                f"  {node.id:<4} {node.text}{rules}{feeds}{_estimate(node)}{_taken(node, measured)}", markup=False
            )
    if measured is None:
        return
    each = measured.ns / measured.events / 1000 if measured.events else 0.0
    refused = f", {measured.refused:,} refused by the vocabulary" if measured.refused else ""
    out.print(f"{measured.events:,} events in {measured.ns / 1e6:,.1f} ms, {each:.2f} us each{refused}")
    in_nodes = sum(spent.ns for spent in measured.spent.values())
    if measured.ns:
        out.print(f"{in_nodes / measured.ns:.0%} of it in quantities and patterns, the rest in indexes and rules")
    out.print("The most expensive conditions", style="bold")
    for spent, texts in expensive(nodes, measured):
        out.print(f"  {spent.ns / 1e6:9,.2f} ms {spent.times:>9,} times  {'; '.join(texts)}", markup=False)


def _estimate(node: ListedNode) -> str:
    """The event that costs a rule most."""
    event, places = next(iter(node.cost.items()), ("", 0))
    return f"  at most {places:,} places for a {event}" if event else ""


def _taken(node: ListedNode, measured: Measured | None) -> str:
    if measured is None:
        return ""
    if node.kind is NodeKind.RULE:
        return "" if measured.activations is None else f"  {measured.activations.get(node.text, 0):,} activations"
    spent = None if node.quantity is None else measured.spent.get(node.quantity)
    return "" if spent is None else f"  {spent.times:,} times, {spent.ns / 1e6:,.2f} ms"


def expensive(nodes: Sequence[ListedNode], measured: Measured) -> list[tuple[Spent, list[str]]]:
    """What took most: quantities and patterns, each with the conditions that look at it."""
    by_id = {node.id: node for node in nodes}
    found = []
    for node in nodes:
        spent = None if node.quantity is None else measured.spent.get(node.quantity)
        if spent is not None and spent.times:
            conditions = [by_id[each].text for each in node.feeds if by_id[each].kind is NodeKind.CONDITION]
            found.append((spent, conditions or [node.text]))
    return sorted(found, key=lambda each: -each[0].ns)[:MOST_EXPENSIVE]


def _json(node: ListedNode, measured: Measured | None) -> dict[str, object]:
    found: dict[str, object] = {
        "id": node.id,
        "kind": node.kind.value,
        "text": node.text,
        "feeds": node.feeds,
        "rules": node.rules,
    }
    if node.kind is NodeKind.RULE:
        found["cost"] = node.cost
    if measured is not None and node.kind is NodeKind.RULE and measured.activations is not None:
        found["activations"] = measured.activations.get(node.text, 0)
    elif measured is not None and node.quantity is not None and node.quantity in measured.spent:
        spent = measured.spent[node.quantity]
        found |= {"times": spent.times, "ns": spent.ns}
    return found


def _run_json(measured: Measured | None) -> object:
    if measured is None:
        return None
    return {"events": measured.events, "refused": measured.refused, "ns": measured.ns}


# ---------------------------------------------------------------- measuring


def _no_answer(_name: str, _read: FactReader) -> ScoreAnswer:
    return ScoreAnswer(ScoreStatus.MISSING)


def _on_tests(program: Program) -> Measured:
    """The events of the tests beside the rules, with all that a test asks at its moments."""
    if not program.tests:
        raise _NothingToListError("there are no tests beside these rules; measure on a recording")
    network = Network.build(program)
    meter = network.metered(time.thread_time_ns)
    began = time.thread_time_ns()
    for test in program.tests:
        run_test(program, network, test)
    events = sum(len(test.events) for test in program.tests)
    taken = time.thread_time_ns() - began
    return Measured(events, 0, taken, _spent(meter), None)


def _on_recording(program: Program, file: Path, mapping_name: str, limit: int | None) -> Measured:
    mapping = load_mapping(mapping_name)
    network = Network.build(program)
    meter = network.metered(time.thread_time_ns)
    sessions: dict[str, tuple[Memory, int]] = {}
    timeout = program.vocabulary.session_timeout
    events, taken, refused = 0, 0, Counter[str]()
    try:
        recording = open_recording(file)
        reader = RowReader(mapping, check_columns(mapping, recording, file))
        total = recording.count()
        with progress("measuring", limit if total is None else min(total, limit or total)) as bar:
            for event in _events(program, reader, recording.rows(list(mapping.columns())), limit, refused, bar.advance):
                memory, last = sessions.get(event.session_id, (None, 0))
                if memory is None or event.time - last > timeout:
                    memory = network.open(event.session_id)
                sessions[event.session_id] = (memory, max(last, event.time))
                began = time.thread_time_ns()
                step = network.insert(memory, event, _no_answer)
                taken += time.thread_time_ns() - began
                events += 1
                meter.note(step)
    except RecordingError as error:
        raise _NothingToListError(str(error)) from error
    if refused:
        (reason, _), *_rest = refused.most_common(1)
        stderr().print(f"events were refused, most of them because {reason}", style="yellow", markup=False)
    return Measured(events, sum(refused.values()), taken, _spent(meter), dict(meter.activations))


def _events(
    program: Program,
    reader: RowReader,
    rows: Iterator[Row],
    limit: int | None,
    refused: Counter[str],
    advance: Callable[[], None],
) -> Iterator[Event]:
    """The events of a recording, each once."""
    admission, decode = Admission(program.vocabulary), msgspec.json.Decoder(RawEvent).decode
    known: set[str] = set()
    for row in itertools.islice(rows, limit):
        advance()
        prepared = reader.prepare(row)
        if prepared is None:
            continue
        try:
            raw = decode(prepared.record.value)
            event = admission.admit(raw, prepared.time or 0)
        except (msgspec.DecodeError, EventRefusedError) as error:
            refused[getattr(error, "message", str(error))] += 1
            continue
        if event.id not in known:
            known.add(event.id)
            yield event


def _spent(meter: Meter) -> dict[int, Spent]:
    """Of what was reached at all."""
    return {index: each for index, each in meter.spent.items() if each.times}
