"""The whole way from source texts to a checked program, with everything that is found on it.

What a check made stays with its answer, each part beside what it was made from. A check of a changed folder that is
given the answer before takes over what stands on nothing that changed: it answers the same, only sooner.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.language.alike import Alikes
from engine.language.analysis import Ruled, analyse, order_of
from engine.language.check_conditions import Conditions
from engine.language.diagnostics import Diagnostic, Report
from engine.language.ground import OFFERS, SEGMENTS, VOCABULARY, Ground, lay_ground
from engine.language.judged import Folder, judge
from engine.language.passages import RulesetText, read_ruleset_text
from engine.language.tree import Place, Program, RuleTest

__all__ = ["OFFERS", "SEGMENTS", "VOCABULARY", "Checked", "check"]


@dataclass(frozen=True, slots=True)
class Stages:
    """What a check made on its way: the texts read, what rules stand on, and the rules and tests of each file."""

    texts: Mapping[str, RulesetText]
    ground: Ground
    folder: Folder | None = None
    rules: tuple[Ruled, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `program` is None when any diagnostic is an error."""

    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    stages: Stages | None = field(default=None, repr=False, compare=False)


def check(sources: Mapping[str, str], previous: Checked | None = None) -> Checked:
    """Check a folder of sources.

    Args:
        sources: Text by path in the folder, `/`-separated: `vocabulary.yaml`, `offers.yaml`, `segments.yaml`, and every
            other `.yaml` file as a ruleset. Newlines as they are in the file.
        previous: What came of another check, of a folder much like this one: makes no difference but to the time.

    Returns:
        The program, if nothing is wrong, and all diagnostics, by file, line and column. Never raises on any text.
    """
    report = Report()
    former = None if previous is None else previous.stages
    texts: dict[str, RulesetText] = {}
    alikes = Alikes()
    for file in sorted(sources):
        if not file.endswith(".yaml"):
            message = f"{file} is not read: rules are in files that end in .yaml"
            report.warning_at("unknown-file", Place(file, 1, 1), message)
        elif file not in {VOCABULARY, OFFERS, SEGMENTS}:
            read = None if former is None else former.texts.get(file)
            texts[file] = read_ruleset_text(file, sources[file], read, report, alikes)
            report.take_in(texts[file].found)
    ground = lay_ground(sources, None if former is None else former.ground, report)
    report.take_in(ground.found)
    if ground.vocabulary is None or ground.syntax is None:
        # Without the vocabulary, every name in every other file would be reported as unknown.
        return Checked(None, report.diagnostics(), Stages(texts, ground))
    with report.apart():  # what it finds has been found, when the ground was laid
        conditions = Conditions(ground.vocabulary, ground.values(report), ground.declared)
    conditions.know(ground.segments)
    folder = judge(texts, ground, conditions, None if former is None else former.folder)
    report.take_in(folder.offers_found)
    for each in folder.files.values():
        each.tell(report)
    _declare_twice(folder, report)
    rules = _ordered(folder, former)
    tests: list[RuleTest] = [test for each in folder.files.values() for test in each.tests]
    program = Program(
        ground.vocabulary, folder.offers, ground.segments, tuple(each.rule for each in rules), tuple(tests)
    )
    if not report.has_errors:  # proofs about a part of the rules would be proofs of nothing
        summaries = [each.summary for each in folder.files.values()]
        analyse(program, rules, summaries, folder.beside, report)
    return Checked(None if report.has_errors else program, report.diagnostics(), Stages(texts, ground, folder, rules))


def _declare_twice(folder: Folder, report: Report) -> None:
    """Ids of rules are unique over all files."""
    files = folder.files.values()
    taken: set[str] = set().union(*(each.ids for each in files))
    if len(taken) == sum(len(each.rules) for each in files):
        return
    taken.clear()
    for file in files:
        for each in file.rules:
            if each.id in taken:
                with report.apart() as found:
                    message = f"the rule {each.id} is declared twice"
                    report.error("duplicate-name", each.placed.passage.syntax.name, message, "give one another name")
                report.take_in(found, file.text.file, each.placed.lines)
            taken.add(each.id)


def _ordered(folder: Folder, former: Stages | None) -> tuple[Ruled, ...]:
    """The rules in order of acting. Most often all stand where they stood before."""
    before = None if former is None else former.folder
    if former is not None and before is not None and before.files.keys() == folder.files.keys():
        pairs = [(before.files[name].ruled, file.ruled) for name, file in folder.files.items()]
        others = [(old, new) for olds, news in pairs if olds is not news for old, new in zip(olds, news, strict=False)]
        if all(len(olds) == len(news) for olds, news in pairs) and all(
            order_of(old) == order_of(new) for old, new in others
        ):
            rules = list(former.rules)
            for old, new in others:
                if old is not new:
                    rules[bisect_left(rules, order_of(new), key=order_of)] = new
            return tuple(rules)
    return tuple(sorted((each for file in folder.files.values() for each in file.ruled), key=order_of))
