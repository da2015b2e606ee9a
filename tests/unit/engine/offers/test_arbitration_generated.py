"""Arbitration against one that asks for one candidate at a time, on generated shops."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engine.decision import Request
from engine.language.tree import Limit, LimitScope, Program
from engine.offers import MemoryLimits, claims, conclude, consider
from engine.ports import Claim, Verdict
from tests.unit.engine.offers.fakes import FakeView, Shop, offer, program, rule, shown

OFFERS = ("a", "b", "c", "d")
PLACEMENTS = ("banner", "hero")

limits = st.lists(st.integers(1, 2).map(lambda most: Limit(LimitScope.TOTAL, most)), max_size=1).map(tuple)
nominations = st.lists(
    st.tuples(st.sampled_from(OFFERS), st.sampled_from(PLACEMENTS)), min_size=1, max_size=4, unique=True
).map(tuple)


@st.composite
def shops(draw: st.DrawFn) -> Program:
    rules = tuple(
        rule(f"r{number}", *draw(nominations), priority=draw(st.integers(0, 2)), limits=draw(limits), position=number)
        for number in range(draw(st.integers(1, 5)))
    )
    offers = tuple(
        offer(
            name,
            value=draw(st.integers(1, 3)),
            group=draw(st.sampled_from([None, None, "g", "h"])),
            limits=draw(limits),
        )
        for name in OFFERS
    )
    return program(rules, offers, {name: draw(st.integers(1, 3)) for name in PLACEMENTS})


def one_by_one(bundle: Program, placement: str, store: MemoryLimits) -> list[str]:
    """The plain reading of the language: in order of rank, each candidate is looked at, then asked for, on its own."""
    view = FakeView(bundle)
    request = Request("s", None, view.now, {}, (placement,))
    considered = consider(bundle, view, request, decision_id="d", score=Shop(bundle).score)
    offers: list[str] = []
    groups: set[str] = set()
    for candidate in considered.fields[0].candidates:
        chosen = candidate.offer
        if len(offers) == considered.fields[0].placement.slots or chosen.id in offers or chosen.group in groups:
            continue
        caps = tuple(named.cap for named in candidate.caps)
        if store.take([Claim(candidate.token, caps)], 1, view.now, None)[0].granted:
            offers.append(chosen.id)
            groups |= {chosen.group} if chosen.group else set()
    return offers or [f"standard_{placement}"]


@given(bundle=shops(), sessions=st.integers(1, 3))
def test_rounds_of_claims_choose_what_one_claim_at_a_time_chooses(bundle: Program, sessions: int) -> None:
    store, plain = MemoryLimits(), MemoryLimits()
    for number in range(sessions):
        shop = Shop(bundle, store, decisions=number)
        plain_offers = one_by_one(bundle, "banner", _Renamed(plain, number))
        assert shown(shop.decide("banner", session=f"s{number}")) == plain_offers


class _Renamed(MemoryLimits):
    """Another store's limits, under tokens of this session: the plain reading names all its decisions alike."""

    def __init__(self, store: MemoryLimits, session: int) -> None:
        super().__init__()
        self._store, self._session = store, session

    def take(self, claims, slots, now, hold):
        return self._store.take(
            [Claim(f"{self._session}/{each.token}", each.caps) for each in claims], slots, now, hold
        )


@given(bundle=shops())
def test_what_is_taken_is_what_is_shown(bundle: Program) -> None:
    """Over two placements: within slots and groups, no offer twice in a placement, nothing taken for nobody."""
    view, store, verdicts = FakeView(bundle), MemoryLimits(), list[Verdict]()
    request = Request("s", None, view.now, {}, PLACEMENTS)
    considered = consider(bundle, view, request, decision_id="d", score=Shop(bundle).score)
    rounds = 0
    while asks := claims(considered, verdicts):
        rounds += 1
        assert len({ask.placement for ask in asks}) == len(asks)
        for ask in asks:
            assert ask.claims
            verdicts += store.take(ask.claims, ask.slots, view.now, None)
    assert rounds <= sum(len(placed.candidates) for placed in considered.fields)
    decision = conclude(considered, verdicts, revision=1, bundle="b")
    taken: Counter[str] = Counter()
    groups: list[str] = []
    for placed, found in zip(decision.placements, considered.fields, strict=True):
        offers = [each.offer for each in placed.offers if each.rule]
        assert len(offers) <= found.placement.slots
        assert len(set(offers)) == len(offers)
        groups += [group for name in offers if (group := bundle.offers[name].group)]
        acts = {(each.rule, each.offer) for each in placed.offers if each.rule}
        for candidate in found.candidates:
            if (candidate.rule.id, candidate.offer.id) in acts:
                taken.update(named.cap.key for named in candidate.caps)
        assert len(acts) + len(placed.lost) == len(found.candidates)
    assert len(set(groups)) == len(groups)
    caps = {named.cap.key: named.cap for found in considered.fields for each in found.candidates for named in each.caps}
    used = store.used(list(caps.values()), view.now)
    assert dict(zip(caps, used, strict=True)) == {key: taken[key] for key in caps}
    assert all(taken[key] <= cap.most for key, cap in caps.items())
