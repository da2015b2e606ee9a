"""`salience preview`: a signed link that shows a shop as it will be."""

from __future__ import annotations

import click
import msgspec

from engine.event import RawEvent
from engine.language import check
from engine.language.tree import FactSource, Program
from engine.ports import PortError
from engine.raw_values import ValueRefusedError, read_moment
from engine.units import parse_duration
from engine.values import EpochMs
from engine.vocabulary import EventRefusedError, admit, read_facts
from service.cli.console import print_json, stderr, stdout
from service.cli.decide import fact_option
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.clock import wall_ms
from service.control import Control
from service.installation import preview_secret
from service.preview import ImaginedEvent, Preview, name_of, sign
from service.wiring import Wiring

LONGEST = 30 * 86_400_000
"""A link that nobody remembers is not to work any more."""


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event as it is given: how long ago is told as people say it."""

    type: str
    attributes: dict[str, object] = {}
    ago: str = "0 seconds"


@click.command("preview")
@click.option("--valid", default="2 hours", show_default=True, help="How long the token is valid; 30 days at most.")
@click.option(
    "--at", "time", metavar="TIME", help="Decide for this moment: RFC 3339, such as 2026-11-27T18:00:00+01:00."
)
@click.option("--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact of the customer or the request.")
@click.option("--in", "inside", multiple=True, metavar="SEGMENT", help="Count the shopper as one of this segment.")
@click.option(
    "--not-in", "outside", multiple=True, metavar="SEGMENT", help="Count the shopper as none of this segment."
)
@click.option("--score", "scores", multiple=True, metavar="NAME=VALUE", help="What a model answers, 0 to 1; or none.")
@click.option(
    "--event", "events", multiple=True, metavar="JSON",
    help='Something that happened: {"type": "...", "attributes": {...}, "ago": "2 minutes"}.',
)  # fmt: skip
@click.option("--key", metavar="ID", help="The only API key that may use it.")
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    valid: str,
    time: str | None,
    facts: tuple[str, ...],
    inside: tuple[str, ...],
    outside: tuple[str, ...],
    scores: tuple[str, ...],
    events: tuple[str, ...],
    key: str | None,
    as_json: bool,
) -> None:
    """Make a token that previews what the live rules decide, with time, facts and audience as you say.

    Open a page of the shop with `?salience_preview=TOKEN`, or send it as `preview` with a decision. A preview takes
    from no limit or budget, and is in no log and no figure.
    """
    lasts = parse_duration(valid)
    if lasts is None or not 0 < lasts <= LONGEST:
        raise Failure(f"--valid {valid!r} is no time up to 30 days; give for instance `2 hours`")
    if both := set(inside) & set(outside):
        raise Failure(f"a shopper can't be in {min(both)} and not in it; leave one out")
    now = wall_ms()
    try:
        with Wiring(invocation.settings) as wiring:
            secret = preview_secret(wiring.tables())
            program = _live(Control(wiring.tables()))
    except PortError as error:
        raise Failure(f"the control tables can't be reached: {error}") from None
    preview = Preview(
        of=name_of(secret),
        until=now + lasts,
        key=key,
        time=None if time is None else _moment(time),
        facts=dict(fact_option(each, "--fact") for each in facts),
        segments=dict.fromkeys(inside, True) | dict.fromkeys(outside, False),
        scores=dict(map(_score, scores)),
        events=tuple(map(_event, events)),
    )
    _check(program, preview, now)
    token = sign(preview, secret)
    if as_json:
        print_json({"token": token, "until": preview.until, "forced": preview.forced})
        return
    stdout().print(token, soft_wrap=True, markup=False, highlight=False)
    forced = ", ".join(preview.forced) or "nothing"
    stderr().print(f"valid until {moment(preview.until)}; sets: {forced}", markup=False)


def _live(control: Control) -> Program:
    revision, _ = control.live()
    if revision is None:
        raise Failure("nothing is live, so there is nothing to preview; publish a ruleset with `salience publish`")
    program = check(control.bundle(revision.bundle).sources).program
    if program is None:
        raise Failure(f"revision {revision.number} was checked by another version of Salience; publish it again")
    return program


def _check(program: Program, preview: Preview, now: EpochMs) -> None:
    """Name the first thing that the live rules don't know."""
    vocabulary = program.vocabulary
    for name in preview.facts:
        fact = vocabulary.facts.get(name)
        if fact is not None and fact.source is FactSource.FEATURE:
            raise Failure(f"{name} is computed from events; say what happened with --event instead")
    for source in (FactSource.PROFILE, FactSource.REQUEST):
        mine = {
            name: value
            for name, value in preview.facts.items()
            if (name in vocabulary.facts and vocabulary.facts[name].source is FactSource.PROFILE)
            is (source is FactSource.PROFILE)
        }
        _, refused = read_facts(vocabulary, source, mine)
        if refused:
            raise Failure(f"--fact {refused[0].field}: {refused[0].message}")
    for name in preview.segments:
        if name not in program.segments:
            known = ", ".join(sorted(program.segments)) or "none"
            raise Failure(f"there is no segment {name}; the live rules have {known}")
    for name in preview.scores:
        if name not in vocabulary.scores:
            known = ", ".join(sorted(vocabulary.scores)) or "none"
            raise Failure(f"there is no score {name}; the live rules have {known}")
    for number, event in enumerate(preview.events):
        try:
            admit(vocabulary, RawEvent(event.type, "preview", f"e{number}", now, None, event.attributes), now)
        except EventRefusedError as refused:
            raise Failure(f"--event {event.type}: {refused.message}") from None


def _moment(text: str) -> EpochMs:
    try:
        return read_moment(text)
    except ValueRefusedError as refused:
        raise Failure(f"--at {text!r} {refused}") from None


def _score(text: str) -> tuple[str, float | None]:
    name, _, value = text.partition("=")
    if value == "none":
        return name, None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise Failure(f"--score {text!r} is no NAME=VALUE with a value of 0 to 1, or none where the model is silent")
    return name, number


def _event(text: str) -> ImaginedEvent:
    try:
        told = msgspec.json.decode(text, type=_Told)
    except msgspec.MsgspecError as error:
        raise Failure(f"--event {text[:100]!r}: {error}") from None
    ago = parse_duration(told.ago)
    if ago is None:
        raise Failure(f"--event {told.type}: {told.ago!r} is no length of time; give for instance `2 minutes`")
    return ImaginedEvent(told.type, told.attributes, ago)
