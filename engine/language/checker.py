"""The whole way from source texts to a checked program, with everything that is found on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.language.analysis import analyse
from engine.language.check_conditions import Conditions
from engine.language.check_rules import Rules, check_fallbacks, check_offers
from engine.language.check_tests import check_tests
from engine.language.check_vocabulary import check_vocabulary, values_of
from engine.language.diagnostics import Diagnostic, Report
from engine.language.nodes import read_nodes
from engine.language.source import Source
from engine.language.syntax import OfferSyntax, RulesetSyntax, SegmentDeclaration, VocabularySyntax
from engine.language.syntax_rules import read_ruleset
from engine.language.syntax_vocabulary import read_offers, read_segments, read_vocabulary
from engine.language.tree import Place, Program

VOCABULARY = "vocabulary.yaml"
OFFERS = "offers.yaml"
SEGMENTS = "segments.yaml"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `program` is None when any diagnostic is an error."""

    program: Program | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class _Files:
    vocabulary: VocabularySyntax | None = None
    offers: tuple[OfferSyntax, ...] = ()
    segments: tuple[SegmentDeclaration, ...] = ()
    rulesets: list[RulesetSyntax] | None = None


def check(sources: Mapping[str, str]) -> Checked:
    """Check a folder of sources.

    Args:
        sources: Text by path in the folder, `/`-separated: `vocabulary.yaml`, `offers.yaml`, `segments.yaml`, and every
            other `.yaml` file as a ruleset. Newlines as they are in the file.

    Returns:
        The program, if nothing is wrong, and all diagnostics, by file, line and column. Never raises on any text.
    """
    report = Report()
    files = _read(sources, report)
    syntax = files.vocabulary
    if syntax is None:
        if VOCABULARY not in sources:
            message = "the folder has no vocabulary.yaml, which declares what rules may name"
            report.error_at("missing-file", Place(VOCABULARY, 1, 1), message, "add it, with currency: and events:")
        elif not report.has_errors:
            report.error_at("empty", Place(VOCABULARY, 1, 1), "vocabulary.yaml is empty", "add currency: and events:")
        # Without the vocabulary, every name in every other file would be reported as unknown.
        return Checked(None, report.diagnostics())
    values = values_of(syntax, report)
    declared = {offer.id.text: offer for offer in files.offers}
    vocabulary = check_vocabulary(syntax, values, declared)
    conditions = Conditions(vocabulary, values, files.segments)
    segments = conditions.segments()
    rulesets = files.rulesets or []
    offers = check_offers(files.offers, conditions, rulesets)
    check_fallbacks(offers, conditions)
    rules = Rules(conditions, offers, declared.keys()).check(rulesets)
    tests = check_tests(rulesets, conditions, declared.keys(), rules)
    program = Program(vocabulary, offers, segments, rules, tests)
    if not report.has_errors:  # proofs about a part of the rules would be proofs of nothing
        analyse(program, report)
    return Checked(None if report.has_errors else program, report.diagnostics())


def _read(sources: Mapping[str, str], report: Report) -> _Files:
    files = _Files(rulesets=[])
    assert files.rulesets is not None
    for file in sorted(sources):
        source = Source(file, sources[file])
        if not file.endswith(".yaml"):
            message = f"{file} is not read: rules are in files that end in .yaml"
            report.warning_at("unknown-file", Place(file, 1, 1), message)
            continue
        root = read_nodes(source, report)
        if root is None:
            continue
        if file == VOCABULARY:
            files.vocabulary = read_vocabulary(root, report)
        elif file == OFFERS:
            files.offers = read_offers(root, report)
        elif file == SEGMENTS:
            files.segments = read_segments(root, report)
        else:
            ruleset = read_ruleset(file, root, report)
            if ruleset is not None:
                files.rulesets.append(ruleset)
    return files
