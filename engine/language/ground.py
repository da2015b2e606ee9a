"""What rules stand on: the vocabulary, the segments and the declared offers, from three files of the folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.language.check_conditions import Conditions
from engine.language.check_values import Values
from engine.language.check_vocabulary import check_vocabulary, values_of
from engine.language.diagnostics import Found, Report
from engine.language.nodes import Mapping as MappingNode
from engine.language.nodes import Node, Scalar, Sequence, read_nodes
from engine.language.source import Source
from engine.language.syntax import OfferSyntax, SegmentDeclaration, VocabularySyntax
from engine.language.syntax_vocabulary import read_offers, read_segments, read_vocabulary
from engine.language.tree import Condition, FactSource, Place, Vocabulary

VOCABULARY = "vocabulary.yaml"
OFFERS = "offers.yaml"
SEGMENTS = "segments.yaml"

_HOLE = re.compile(r"\{\s*([^{}\s]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What rules stand on; made anew when one of its files changes.

    Attributes:
        texts: Of the three files, None for one that is not there.
        vocabulary: None where there is none to read.
        declared: The segments as declared, and `segments` as checked.
        offers: The offers as declared.
        naming: Those whose texts name something that is no fact, so that it must be bound by the rules that show them.
        found: What reading and checking all this found.
    """

    texts: tuple[str | None, ...]
    syntax: VocabularySyntax | None
    vocabulary: Vocabulary | None
    declared: tuple[SegmentDeclaration, ...]
    segments: Mapping[str, Condition]
    offers: tuple[OfferSyntax, ...]
    naming: frozenset[str]
    found: Found

    def values(self, report: Report) -> Values:
        """The reader of literals."""
        return values_of(self.syntax, report)

    @property
    def offer_names(self) -> frozenset[str]:
        """The ids of the declared offers."""
        return frozenset(offer.id.text for offer in self.offers)


def lay_ground(sources: Mapping[str, str], former: Ground | None, report: Report) -> Ground:
    """Read and check the three files; `former` itself where they are what they were. `report` lends itself."""
    texts = tuple(sources.get(file) for file in (VOCABULARY, OFFERS, SEGMENTS))
    if former is not None and former.texts == texts:
        return former
    with report.apart() as found:
        roots = {file: _root(file, sources, report) for file in (VOCABULARY, OFFERS, SEGMENTS)}
        syntax = _read(roots, report)
        offers = () if (root := roots[OFFERS]) is None else read_offers(root, report)
        declared = () if (root := roots[SEGMENTS]) is None else read_segments(root, report)
        if syntax is None:
            if VOCABULARY not in sources:
                message = "the folder has no vocabulary.yaml, which declares what rules may name"
                report.error_at("missing-file", Place(VOCABULARY, 1, 1), message, "add it, with currency: and events:")
            elif not found.errors:
                message = "vocabulary.yaml is empty"
                report.error_at("empty", Place(VOCABULARY, 1, 1), message, "add currency: and events:")
            return Ground(texts, None, None, declared, {}, offers, frozenset(), found)
        values = values_of(syntax, report)
        vocabulary = check_vocabulary(syntax, values, {offer.id.text: offer for offer in offers})
        segments = Conditions(vocabulary, values, declared).segments()
    naming = frozenset(
        offer.id.text
        for offer in offers
        if offer.content is not None and any(_is_bound(name, vocabulary) for name in _named(offer.content))
    )
    return Ground(texts, syntax, vocabulary, declared, segments, offers, naming, found)


def _root(file: str, sources: Mapping[str, str], report: Report) -> Node | None:
    return read_nodes(Source(file, sources[file]), report) if file in sources else None


def _read(roots: Mapping[str, Node | None], report: Report) -> VocabularySyntax | None:
    root = roots[VOCABULARY]
    return None if root is None else read_vocabulary(root, report)


def _is_bound(name: str, vocabulary: Vocabulary) -> bool:
    """Whether a hole that begins with this name needs a bound name."""
    fact = vocabulary.facts.get(name)
    return fact is None or fact.source is FactSource.CATALOGUE


def _named(content: Node) -> Iterator[str]:
    """What stands in the holes of a content's texts; of braces that are no holes, too much rather than too little."""
    if isinstance(content, MappingNode):
        for entry in content.entries:
            yield from _named(entry.value)
    elif isinstance(content, Sequence):
        for item in content.items:
            yield from _named(item)
    elif isinstance(content, Scalar):
        yield from _HOLE.findall(content.text)
