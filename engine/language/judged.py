"""The rules of a folder, judged one by one, and what makes the judgement of one depend on others: the offers' texts.

A rule is judged by its own text, the ground and the offers. The text of an offer may name what the rules bind that show
it, so offers with such texts are checked again when one of those rules changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.language.analysis import Ruled, Summary, analyse_conditions
from engine.language.bindings import holes
from engine.language.check_conditions import Conditions
from engine.language.check_rules import Nominating, Rules, check_fallbacks, check_offers
from engine.language.check_tests import check_tests
from engine.language.diagnostics import Found, Report
from engine.language.gist import gist_of
from engine.language.ground import Ground
from engine.language.passages import Passage, Placed, RulesetText
from engine.language.syntax import OfferActionSyntax
from engine.language.tree import Offer, RuleTest, TriggerAction


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What came of a rule.

    Attributes:
        id: As the rule would have it, also where there is none.
        ruled: None where it does not fit, which is in `found`.
        found: Places count from its first line.
    """

    placed: Placed
    id: str
    ruled: Ruled | None
    found: Found


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFile:
    """The rules and tests of a file.

    Attributes:
        ids: Of all its rules, once each.
        ruled: Those that fit.
        summary: Of these.
        noted: Those of its rules of which something was found.
    """

    text: RulesetText
    rules: tuple[Judged, ...]
    ids: frozenset[str]
    ruled: tuple[Ruled, ...]
    summary: Summary
    noted: tuple[Judged, ...]
    triggers: frozenset[str]
    found: Found
    tests: tuple[RuleTest, ...] = ()
    tests_found: Found | None = None

    def tell(self, report: Report) -> None:
        """Report what was found of them, but for what reading found."""
        for each in self.noted:
            report.take_in(each.found, self.text.file, each.placed.lines)
        report.take_in(self.found)
        if self.tests_found is not None:
            report.take_in(self.tests_found)


Shown = Mapping[str, Sequence[tuple[str, Passage]]]
"""By offer, the rules that show it by name, with their texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """All files of rules.

    Attributes:
        shown: Of the offers whose texts name what must be bound, the rules that show them.
        offers: Those that could be checked, by id.
        offers_found: What checking them found.
        beside: What can be said of the offers' own conditions and of the segments.
        triggers: The triggers that rules send.
    """

    ground: Ground
    shown: Shown
    offers: Mapping[str, Offer]
    offers_found: Found
    beside: Found
    triggers: frozenset[str]
    files: Mapping[str, JudgedFile]


def judge(texts: Mapping[str, RulesetText], ground: Ground, conditions: Conditions, former: Folder | None) -> Folder:
    """Judge all rules and tests.

    Args:
        texts: The files of rules.
        ground: What they stand on.
        conditions: Checks against it; its report lends itself.
        former: What came of a folder before.
    """
    if former is not None and former.ground is not ground:
        former = None
    report = conditions.report
    shown = _shown(texts, ground)
    if former is not None and former.shown == shown:
        offers, offers_found, beside = former.offers, former.offers_found, former.beside
    else:
        with report.apart():  # what is found of the rules is found again when they are judged
            nominating: Nominating = {
                offer: [(name, conditions.bindings(each.syntax.when)) for name, each in rules if each.syntax.when]
                for offer, rules in shown.items()
            }
        with report.apart() as offers_found:
            offers = check_offers(ground.offers, conditions, nominating)
            check_fallbacks(offers, conditions)
        if former is not None and _are_alike(offers, former.offers):
            offers, beside = former.offers, former.beside
        else:
            former = None
            assert ground.vocabulary is not None
            beside = analyse_conditions(ground.vocabulary, ground.segments, offers, report)
    rules = Rules(conditions, offers, ground.offer_names)
    files = {
        file: _judged_file(text, rules, None if former is None else former.files.get(file))
        for file, text in texts.items()
        if text.syntax is not None
    }
    triggers = frozenset[str]().union(*(each.triggers for each in files.values()))
    for file, each in files.items():
        before = None if former is None or former.triggers != triggers else former.files.get(file)
        files[file] = _with_tests(each, rules, triggers, before)
    return Folder(ground, shown, offers, offers_found, beside, triggers, files)


def _shown(texts: Mapping[str, RulesetText], ground: Ground) -> Shown:
    shown: dict[str, list[tuple[str, Passage]]] = {}
    for text in texts.values() if ground.naming else ():
        for passage, _, _ in text.rules:
            for action in passage.syntax.actions:
                if isinstance(action, OfferActionSyntax) and action.offer.text in ground.naming:
                    shown.setdefault(action.offer.text, []).append((passage.syntax.name.text, passage))
    return shown


def _are_alike(offers: Mapping[str, Offer], former: Mapping[str, Offer]) -> bool:
    """Whether rules can't tell them apart: what a hole means may have changed where its text did not."""
    return offers == former and all(
        [*holes(offer.content)] == [*holes(former[name].content)] for name, offer in offers.items()
    )


def _judged_file(text: RulesetText, rules: Rules, former: JudgedFile | None) -> JudgedFile:
    if former is not None and former.text is text:
        return former
    assert text.syntax is not None
    known: dict[int, Judged] = {}
    if former is not None and former.text.syntax is not None:
        head, before = text.syntax, former.text.syntax
        if (head.name.text, head.owner) == (before.name.text, before.owner):
            known = {id(each.placed.passage): each for each in former.rules}
    report = rules.report
    with report.apart() as found:
        name = rules.values.name(text.syntax.name, "a ruleset")
    judged = []
    for placed in text.rules:
        before_it = known.get(id(placed.passage))
        judged.append(_judged(placed, text, rules) if before_it is None else _moved(before_it, placed, text))
    ruled = tuple(each.ruled for each in judged if each.ruled is not None) if name is not None else ()
    triggers = frozenset(
        action.name for each in ruled for action in each.rule.actions if isinstance(action, TriggerAction)
    )
    noted = tuple(each for each in judged if each.found)
    ids = frozenset(each.id for each in judged)
    return JudgedFile(text, tuple(judged), ids, ruled, Summary.of(ruled), noted, triggers, found)


def _judged(placed: Placed, text: RulesetText, rules: Rules) -> Judged:
    assert text.syntax is not None
    passage, position, lines = placed
    with rules.report.apart() as found:
        rule = rules.check(passage.syntax, text.syntax, position, lines)
    ruled = None
    if rule is not None and not found.errors:
        ruled = Ruled(rule, gist_of(rule, rules.digests, rules.proofs))
    return Judged(placed, f"{text.syntax.name.text}.{passage.syntax.name.text}", ruled, found)


def _moved(judged: Judged, placed: Placed, text: RulesetText) -> Judged:
    """The judgement of the same text at another place of the file."""
    if judged.placed == placed:
        return judged
    ruled = judged.ruled
    if ruled is not None:
        rule = ruled.rule
        place = rule.place.below(placed.lines - rule.lines)
        order = (rule.order[0], placed.position, text.file)
        ruled = Ruled(replace(rule, place=place, lines=placed.lines, order=order), ruled.gist)
    return Judged(placed, judged.id, ruled, judged.found)


def _with_tests(file: JudgedFile, rules: Rules, triggers: frozenset[str], former: JudgedFile | None) -> JudgedFile:
    """The file with its tests, which may name any offer and any trigger."""
    if former is not None and former.text is file.text:
        return former
    syntax = file.text.syntax
    if syntax is None or not syntax.tests:
        return file
    with rules.report.apart() as found:
        tests = check_tests(syntax, rules.conditions, rules.declared_offers, triggers)
    return replace(file, tests=tests, tests_found=found)
