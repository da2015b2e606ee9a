"""Nodes to the syntax of vocabulary.yaml, offers.yaml and segments.yaml."""

from __future__ import annotations

from engine.language.diagnostics import Report, one_of
from engine.language.nodes import Mapping, Node, Scalar, kind_of
from engine.language.shape import Fields, mapping, named, word
from engine.language.syntax import (
    EventTypeSyntax,
    FactDeclaration,
    FeatureDeclaration,
    OfferSyntax,
    PlacementDeclaration,
    ScoreDeclaration,
    SegmentDeclaration,
    TypeSyntax,
    VocabularySyntax,
)
from engine.language.syntax_conditions import AGGREGATIONS, read_aggregate, read_condition
from engine.language.syntax_rules import read_limits
from engine.values import NUMERIC

COMPUTED = tuple(sorted(kind.value for kind in NUMERIC))
"""Types that can be computed."""
_KEYS = ("currency", "timezone", "session", "events", "facts", "features", "scores", "placements")
_OFFER_KEYS = (
    *("note", "content", "cost", "value", "propensity", "weight", "lever"),
    *("eligible", "group", "limits", "holdout"),
)


def read_vocabulary(root: Node, report: Report) -> VocabularySyntax | None:
    """vocabulary.yaml."""
    found = mapping(root, "the vocabulary", report)
    if found is None:
        return None
    fields = Fields(found, "the vocabulary", _KEYS, report)
    session_node = fields.mapping("session")
    session = Fields(session_node, "session", ("timeout", "keep_events"), report) if session_node is not None else None
    events = [
        EventTypeSyntax(name, tuple(_attributes(name, node, report)))
        for name, node in named(fields.node("events"), "events", report)
    ]
    facts = [_fact(name, node, report) for name, node in named(fields.node("facts"), "facts", report)]
    features = [_feature(name, node, report) for name, node in named(fields.node("features"), "features", report)]
    scores = [_score(name, node, report) for name, node in named(fields.node("scores"), "scores", report)]
    placements = [
        _placement(name, node, report) for name, node in named(fields.node("placements"), "placements", report)
    ]
    return VocabularySyntax(
        found.extent,
        fields.word("currency", needed=True),
        fields.word("timezone"),
        session.word("timeout") if session is not None else None,
        session.node("keep_events") if session is not None else None,
        tuple(events),
        tuple(fact for fact in facts if fact is not None),
        tuple(feature for feature in features if feature is not None),
        tuple(score for score in scores if score is not None),
        tuple(placement for placement in placements if placement is not None),
    )


def _attributes(event: Scalar, node: Node, report: Report) -> list[tuple[Scalar, TypeSyntax]]:
    attributes: list[tuple[Scalar, TypeSyntax]] = []
    for name, value in named(node, f"the attributes of {event.text}", report):
        read = _type(value, f"the type of {event.text}.{name.text}", report)
        if read is not None:
            attributes.append((name, read))
    return attributes


def _type(node: Node, what: str, report: Report) -> TypeSyntax | None:
    if isinstance(node, Scalar):
        name = word(node, what, report)
        return TypeSyntax(node.extent, name) if name is not None else None
    if not isinstance(node, Mapping):
        report.error("wrong-shape", node, f"{what} is a word or a mapping, this is {kind_of(node)}", "for example text")
        return None
    fields = Fields(node, what, ("choice", *COMPUTED), report)
    if "choice" in fields:
        return _choice(fields, node, report)
    return _computed(fields, node, what, report)


def _computed(fields: Fields, node: Mapping, what: str, report: Report) -> TypeSyntax | None:
    for kind in COMPUTED:
        if kind in fields:
            expression = fields.word(kind)
            return TypeSyntax(node.extent, fields.key(kind), expression=expression) if expression is not None else None
    if not node.entries:
        report.error("empty", node, f"{what} is empty", "for example text, or {choice: [gold, silver]}")
    return None


def _choice(fields: Fields, node: Mapping, report: Report) -> TypeSyntax | None:
    words = [word(each, "a choice", report) for each in fields.items("choice")]
    if not words:
        report.error("empty", fields.key("choice"), "there are no choices", "list them: [gold, silver]")
        return None
    return TypeSyntax(node.extent, None, choices=tuple(each for each in words if each is not None))


def _fact(name: Scalar, node: Node, report: Report) -> FactDeclaration | None:
    found = mapping(node, f"the fact {name.text}", report)
    if found is None:
        if isinstance(node, Scalar) and node.value is None:
            report.error("empty", name, f"the fact {name.text} has no type", "write {type: text, from: profile}")
        return None
    fields = Fields(found, f"the fact {name.text}", ("type", "choice", "from", "by"), report)
    source = fields.word("from", needed=True)
    if "choice" in fields:
        read = _choice(fields, found, report)
    else:
        word_of_type = fields.word("type", needed=True)
        read = TypeSyntax(word_of_type.extent, word_of_type) if word_of_type is not None else None
    return FactDeclaration(name, read, source, fields.word("by")) if source is not None else None


def _feature(name: Scalar, node: Node, report: Report) -> FeatureDeclaration | None:
    found = mapping(node, f"the feature {name.text}", report)
    if found is None:
        if isinstance(node, Scalar) and node.value is None:
            report.error("empty", name, f"the feature {name.text} has no definition")
        return None
    kinds = [entry.key.text for entry in found.entries if entry.key.text in AGGREGATIONS]
    if len(kinds) > 1:
        message = f"the feature {name.text} has two definitions: {' and '.join(kinds)}"
        report.error("two-conditions", name, message, "make it two features")
        return None
    if kinds:
        aggregate = read_aggregate(found, kinds[0], report)
        return FeatureDeclaration(name, aggregate) if aggregate is not None else None
    computed = [entry.key.text for entry in found.entries if entry.key.text in COMPUTED]
    if not computed:
        proposal = f"begin it with one of: {one_of((*AGGREGATIONS, *COMPUTED))}"
        where = found.entries[0].key if found.entries else name
        report.error("no-condition", where, f"the feature {name.text} does not say what it is", proposal)
        return None
    fields = Fields(found, f"the feature {name.text}", COMPUTED, report)
    definition = _computed(fields, found, f"the feature {name.text}", report)
    return FeatureDeclaration(name, definition) if definition is not None else None


def _score(name: Scalar, node: Node, report: Report) -> ScoreDeclaration | None:
    found = mapping(node, f"the score {name.text}", report)
    if found is None:
        return None
    fields = Fields(found, f"the score {name.text}", ("model", "within"), report)
    model = fields.word("model", needed=True)
    return ScoreDeclaration(name, model, fields.word("within")) if model is not None else None


def _placement(name: Scalar, node: Node, report: Report) -> PlacementDeclaration | None:
    found = mapping(node, f"the placement {name.text}", report)
    if found is None:
        if isinstance(node, Scalar) and node.value is None:
            report.error("missing-key", name, f"the placement {name.text} needs fallback", "add {fallback: <an offer>}")
        return None
    fields = Fields(found, f"the placement {name.text}", ("slots", "fallback", "within"), report)
    fallback = fields.word("fallback", needed=True)
    return PlacementDeclaration(name, fields.node("slots"), fallback, fields.word("within"))


def read_offers(root: Node, report: Report) -> tuple[OfferSyntax, ...]:
    """offers.yaml."""
    found = mapping(root, "offers.yaml", report)
    if found is None:
        return ()
    fields = Fields(found, "offers.yaml", ("offers",), report)
    offers = [_offer(name, node, report) for name, node in named(fields.needed("offers"), "offers", report)]
    return tuple(offer for offer in offers if offer is not None)


def _offer(name: Scalar, node: Node, report: Report) -> OfferSyntax | None:
    found = mapping(node, f"the offer {name.text}", report)
    if found is None:
        if isinstance(node, Scalar) and node.value is None:
            report.error("missing-key", name, f"the offer {name.text} needs content", "add content:")
        return None
    fields = Fields(found, f"the offer {name.text}", _OFFER_KEYS, report)
    limits = fields.mapping("limits")
    eligible = fields.node("eligible")
    return OfferSyntax(
        found.extent,
        name,
        fields.text("note"),
        fields.needed("content"),
        fields.node("cost"),
        fields.node("value"),
        fields.word("propensity"),
        fields.node("weight"),
        fields.node("lever"),
        read_condition(eligible, report) if eligible is not None else None,
        fields.word("group"),
        read_limits(limits, "the limits of an offer", report, has_budget=False) if limits is not None else None,
        fields.node("holdout"),
    )


def read_segments(root: Node, report: Report) -> tuple[SegmentDeclaration, ...]:
    """segments.yaml."""
    found = mapping(root, "segments.yaml", report)
    if found is None:
        return ()
    fields = Fields(found, "segments.yaml", ("segments",), report)
    segments: list[SegmentDeclaration] = []
    for name, node in named(fields.needed("segments"), "segments", report):
        condition = read_condition(node, report)
        if condition is not None:
            segments.append(SegmentDeclaration(name, condition))
    return tuple(segments)
