"""What one revision gives to the API, beside what `Loaded` has: readers of what comes in, made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.language.tree import FactSource, OfferAction, Program, Rule
from engine.offers.consent import uses_only_the_request
from engine.offers.content import figures
from engine.vocabulary import Admission, FactReaders
from service.api.memories import Memories
from service.loading import Loaded
from service.things import Things


@dataclass(frozen=True, slots=True)
class Rules:
    """One revision, ready to admit and to decide. Immutable: a request takes it once and keeps it.

    Attributes:
        profile_facts: Names of the facts that a profile can give.
        nominating: Rules by the placement that they nominate for, in order of acting.
        draws: Whether a rule or an offer holds anybody out.
        things: What the process knows of the catalogue.
        public: Placements that show everybody the same.
        memories: Of the sessions that were asked about lately.
        relevant: Facts of a request that can matter to a decision; with others, it is the same.
    """

    loaded: Loaded
    admission: Admission
    context: FactReaders
    profile: FactReaders
    profile_facts: tuple[str, ...]
    nominating: Mapping[str, tuple[Rule, ...]]
    draws: bool
    public: frozenset[str]
    things: Things
    memories: Memories
    relevant: frozenset[str]

    @classmethod
    def of(cls, loaded: Loaded) -> Rules:
        """Prepare a revision; costs some 100 microseconds."""
        vocabulary = loaded.program.vocabulary
        nominating: dict[str, list[Rule]] = {name: [] for name in vocabulary.placements}
        for rule in loaded.program.rules:
            for name in dict.fromkeys(each.placement for each in rule.actions if isinstance(each, OfferAction)):
                nominating[name].append(rule)
        return cls(
            loaded,
            Admission(vocabulary),
            FactReaders(vocabulary, FactSource.REQUEST),
            FactReaders(vocabulary, FactSource.PROFILE),
            tuple(fact.name for fact in vocabulary.facts.values() if fact.source is FactSource.PROFILE),
            {name: tuple(rules) for name, rules in nominating.items()},
            any(rule.holdout > 0 for rule in loaded.program.rules)
            or any(offer.holdout > 0 for offer in loaded.program.offers.values()),
            frozenset(name for name, rules in nominating.items() if _is_public(loaded.program, name, rules)),
            Things(vocabulary),
            Memories(loaded.network),
            _relevant(loaded),
        )


def _relevant(loaded: Loaded) -> frozenset[str]:
    """Request facts that something looks at; all where models or conditions of offers may look at any."""
    program, vocabulary = loaded.program, loaded.program.vocabulary
    names = frozenset(fact.name for fact in vocabulary.facts.values() if fact.source is FactSource.REQUEST)
    offers = program.offers.values()
    if vocabulary.scores or any(offer.eligible is not None for offer in offers):
        return names
    shown = {name for offer in offers for name in figures(offer, vocabulary).facts}
    return frozenset(name for name in names if name in shown or loaded.network.looks_at(name))


def _is_public(program: Program, placement: str, rules: Sequence[Rule]) -> bool:
    for rule in rules:
        for action in rule.actions:
            if not isinstance(action, OfferAction) or action.placement != placement:
                continue
            offer = program.offers[action.offer]
            if rule.limits or rule.budget is not None or rule.holdout or offer.limits or offer.holdout:
                return False
            if not uses_only_the_request(program.vocabulary, rule, offer):
                return False
    return True


class Holder(Protocol):
    """What the API needs of `service.ruleset_holder.RulesetHolder`."""

    @property
    def current(self) -> Loaded | None:
        """What this process serves."""

    @property
    def problem(self) -> str:
        """What is wrong, empty when nothing is."""


class LiveRules:
    """The rules of the revision that is live, in the event loop."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self._rules: Rules | None = None

    @property
    def current(self) -> Rules | None:
        """Take it once for each request."""
        loaded = self.holder.current
        if loaded is None:
            return None
        rules = self._rules
        if rules is None or rules.loaded is not loaded:
            rules = self._rules = Rules.of(loaded)
        return rules
