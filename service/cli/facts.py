"""`salience facts`: what is known of customers and things, from a file or one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
import msgspec

from engine.facts import FactKind, FactStore, thing_id
from engine.language.tree import FactSource, Vocabulary
from engine.ports import EventLog, NewRecord, PortError
from engine.vocabulary import FactReaders
from service.cli.console import print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.loading import BundleRefusedError, load_stored
from service.wiring import Wiring

AT_ONCE = 1_000
FLUSH_MS = 60_000
SHOWN = 5
"""Lines that don't fit, named."""
SOURCES = {FactKind.PROFILES: FactSource.PROFILE, FactKind.CATALOGUE: FactSource.CATALOGUE}

kind_argument = click.argument("kind", type=click.Choice([kind.value for kind in FactKind]))


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a file of facts.

    Attributes:
        key: The customer's id, or the thing's key.
        by: For a thing, the attribute of events that its key comes from, as the vocabulary has it.
        facts: None: it is no more.
    """

    key: str
    facts: dict[str, object] | None
    by: str = ""


@click.group("facts")
def command() -> None:
    """Load and show what is known of customers (profiles) and of things (catalogue)."""


@command.command("load")
@kind_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_invocation
def load_command(invocation: Invocation, kind: str, file: Path) -> None:
    """Load FILE: a JSON object a line, with key, facts and, for the catalogue, by.

    Such as {"by": "product_id", "key": "p1", "facts": {"product.stock": 4}}, and {"key": "c17", "facts": {"customer.tier":
    "gold"}} for profiles; what is there before of the same key is replaced, and "facts": null removes it. All lines are compared
    with the live vocabulary first, and nothing is loaded where one does not fit. On Kafka they go to the compacted topic of that
    name, from which the workers bring them into the store; embedded, to the store at once.
    """
    of = FactKind(kind)
    with Wiring(invocation.settings) as wiring, progress("lines", None) as bar:
        try:
            readers, keys = _readers(wiring, of)
            count = _check(file, of, readers, keys)
            bar.expect(count)
            log = wiring.fact_log(of)
            for entries in _batches(file, of):
                if log is not None:
                    _append(log, entries)
                else:
                    wiring.facts(of).put(dict(entries))
                bar.advance(len(entries))
        except PortError as error:
            raise Failure(str(error)) from error
    where = "in the store" if log is None else "in the topic; the workers bring them into the store"
    stderr().print(f"{count:,} of {kind} are {where}")


@command.command("show")
@kind_argument
@click.argument("id_", metavar="ID")
@json_option
@pass_invocation
def show_command(invocation: Invocation, kind: str, id_: str, as_json: bool) -> None:
    """Show what is stored of ID: a customer, or a thing as by/key, such as product_id/p1."""
    with Wiring(invocation.settings) as wiring:
        store: FactStore = wiring.facts(FactKind(kind))
        try:
            found = store.get([id_]).get(id_)
        except PortError as error:
            raise Failure(str(error)) from error
    if found is None:
        raise Failure(f"nothing is known of {id_!r} in {kind}")
    facts = msgspec.json.decode(found)
    if as_json:
        print_json(facts)
    else:
        stdout().print(msgspec.json.format(found.decode()), markup=False)


def _readers(wiring: Wiring, of: FactKind) -> tuple[FactReaders | None, set[str]]:
    """What types facts, and the attributes that are keys of things; None where nothing is live to compare with."""
    control = wiring.publisher().control
    live, _ = control.live()
    if live is None:
        return None, set()
    try:
        loaded = load_stored(control, wiring.signing(), live, wiring.settings.models.registry)
    except BundleRefusedError as error:
        raise Failure(f"revision {live.number} is live but can't be loaded: {error}") from error
    vocabulary: Vocabulary = loaded.program.vocabulary
    keys = {fact.by for fact in vocabulary.facts.values() if fact.source is FactSource.CATALOGUE and fact.by}
    return FactReaders(vocabulary, SOURCES[of]), keys


def _check(file: Path, of: FactKind, readers: FactReaders | None, keys: set[str]) -> int:
    """How many lines there are; raises `Failure` that names those that don't fit."""
    wrong, count = [], 0
    for count, text in enumerate(_lines(file), 1):
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            wrong.append(f"{file}:{count}: {error}")
            continue
        if not line.key or bool(line.by) != (of is FactKind.CATALOGUE):
            wrong.append(f"{file}:{count}: a key is needed, and by for the catalogue alone")
        elif line.by and readers is not None and line.by not in keys:
            wrong.append(f"{file}:{count}: no fact of the vocabulary is looked up by {line.by}")
        elif readers is not None and line.facts:
            wrong += [f"{file}:{count}: {each.message}" for each in readers.read(line.facts)[1]]
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        raise Failure("nothing was loaded:\n" + "\n".join(wrong[:SHOWN]) + more)
    return count


def _batches(file: Path, of: FactKind) -> Iterator[list[tuple[str, bytes | None]]]:
    lines = (msgspec.json.decode(text, type=Line) for text in _lines(file))
    entries = (
        (
            thing_id(line.by, line.key) if of is FactKind.CATALOGUE else line.key,
            None if line.facts is None else msgspec.json.encode(line.facts),
        )
        for line in lines
    )
    while batch := list(islice(entries, AT_ONCE)):
        yield batch


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        yield from (line for line in lines if line.strip())


def _append(log: EventLog, entries: Sequence[tuple[str, bytes | None]]) -> None:
    answers: list[PortError | None] = []
    log.append([NewRecord(id_, facts or b"") for id_, facts in entries], answers.append)
    log.flush(FLUSH_MS)
    if not answers or answers[0] is not None:
        raise Failure(f"not all was written, load it again: {answers[0] if answers else 'the log gave no answer'}")
