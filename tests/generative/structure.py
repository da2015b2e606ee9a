"""What a network consists of, whatever the order in which its parts came: the same for equal programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.rete.alpha.amended import AmendedType
from engine.rete.alpha.network import AlphaType, Feed
from engine.rete.beta.arrival import Arrival
from engine.rete.compilation import Compiled


def structure(compiled: Compiled) -> dict[object, Any]:
    """Quantities with what they read, nodes, edges, patterns and who looks at them; rules by name, the rest by id."""
    quantities, numbering = compiled.quantities, compiled.numbering
    ids = [each.id for each in quantities.all]
    live = [each for each in quantities.all if each.index not in quantities.gone]
    found: dict[object, Any] = {
        each.id: (
            each.subject,
            each.origin,
            each.is_timed,
            each.is_concluded,
            each.names,
            compiled.defaults[each.index],
            {ids[index] for index in each.reads},
            type(compiled.nodes.get(each.index)),
            each.index in compiled.windows,
            _selections(compiled, each.index),
            {ids[index] for index in compiled.readers.get(each.index, ())},
            {compiled.productions[index].rule.id for index in compiled.joined_rules.get(each.index, ())},
            each.index in compiled.offered,
            each.index in compiled.eligible_patterns,
            {
                compiled.productions[index].rule.id
                for index in compiled.index.readers(each.index)
                if each.index in compiled.productions[index].reads
            },
        )
        for each in live
    }
    for event, kind in compiled.alpha.items():
        found[event, "enters"] = {(ids[each.node.index], each.attribute, each.sign) for each in _feeds(kind)}
        found[event, "begins anew"] = {ids[node.index] for node in kind.resets}
        joined = [] if kind.joined is None else [each.node for each in _feeds(kind.joined)]
        found[event, "arrives"] = {
            (ids[each.index], numbering.selections[each.number]) for each in joined if isinstance(each, Arrival)
        }
    gone = quantities.gone
    for name, keys in (("nodes", compiled.nodes), ("patterns", compiled.patterns), ("readers", compiled.readers)):
        assert gone.isdisjoint(keys), f"{name} of what is gone"
    found["rules"] = [each.rule.id for each in compiled.acting]
    found["branching"] = [each.rule.id for each in compiled.branching]
    found["forms"] = [compiled.forms.of(each.rule.when) for each in compiled.acting]
    found["is plain"] = compiled.is_plain, compiled.has_clock_moments
    return found


def _selections(compiled: Compiled, index: int) -> set[object] | None:
    pattern = compiled.patterns.get(index)
    return None if pattern is None else {compiled.numbering.selections[number] for number in pattern.roles}


def _feeds(kind: AlphaType) -> Iterator[Feed]:
    if isinstance(kind, AmendedType):
        for each in (kind.base, *kind.more):
            yield from (feed for feed in _feeds(each) if feed.node.index not in kind.gone)
        return
    yield from kind.plain
    for memory in kind.memories:
        yield from memory.feeds
