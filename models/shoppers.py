"""Simulated shoppers: a seeded behaviour model that stands in for a shop's history and its traffic.

A shopper has a segment, tastes, a sensitivity to prices and a profile. A visit of a shopper is a sequence of steps whose
course follows a hidden intent; offers that are shown when the shopper is about to pay shift the log-odds of paying by
`EFFECTS`, exactly, so that an estimate of an offer's lift can be held against the truth.

The same seed gives the same shoppers and, with the same offers shown, the same steps; wall clocks play no part.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.event import RawEvent
from engine.values import EpochMs, Millis

SECOND: Millis = 1_000
DAY: Millis = 86_400_000

EFFECTS: Mapping[str, float] = {
    "free_shipping": 0.9,
    "ten_percent": 0.7,
    "express_upgrade": 0.3,
    "bundle_discount": 0.2,
    "weekend_surprise": 0.15,
}
"""What an offer in sight adds to the log-odds that a checkout becomes a purchase. Offers not named here add nothing."""

NAMES = (
    "Ada",
    "Bo",
    "Chiara",
    "Dilan",
    "Elif",
    "Finn",
    "Grace",
    "Hana",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Mateo",
    "Nora",
)
QUERIES = ("linen", "lamp", "gift", "black boots", "ring", "apron", "wool", "tote", "candle", "vase")


@dataclass(frozen=True, slots=True)
class Segment:
    """A kind of shopper.

    Attributes:
        share: Of all shoppers; shares sum to 1.
        intent: Parameters (a, b) of the beta distribution that a visit's intent is drawn from.
        sensitivity: To prices, 0 to 1.
        tiers: Tiers of its customers.
        known: Share of its visits in which the shopper is signed in.
    """

    name: str
    share: float
    intent: tuple[float, float]
    sensitivity: float
    tiers: tuple[str, ...]
    known: float


SEGMENTS = (
    Segment("looking around", 0.45, (1.2, 5.0), 0.5, ("bronze",), 0.2),
    Segment("bargain hunters", 0.25, (2.0, 3.5), 0.95, ("bronze", "silver"), 0.4),
    Segment("regulars", 0.20, (3.0, 2.5), 0.4, ("silver", "gold"), 0.8),
    Segment("devoted", 0.10, (4.0, 2.0), 0.15, ("gold", "platinum"), 0.9),
)


@dataclass(frozen=True, slots=True)
class Product:
    """A thing of the catalogue; `price` in major units, as senders write it."""

    id: str
    name: str
    category: str
    price: float


@dataclass(frozen=True, slots=True)
class Shopper:
    """A person. `profile` are the facts that the shop keeps of the customer, as JSON."""

    number: int
    segment: Segment
    tastes: tuple[str, ...]
    sensitivity: float
    customer_id: str
    profile: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Step:
    """What a shopper does next: after `wait`, on `page`, the event."""

    wait: Millis
    page: str
    event: RawEvent


Steps = Generator[Step, frozenset[str], bool]
"""Yields steps and is sent the ids of the offers in sight after each; returns whether something was bought."""


def shopper(seed: int, number: int, catalogue: Sequence[Product], now: EpochMs) -> Shopper:
    """The shopper of this number; the profile is as of `now`."""
    draw = random.Random(f"{seed}/shopper/{number}")
    segment = draw.choices(SEGMENTS, [each.share for each in SEGMENTS])[0]
    categories = sorted({product.category for product in catalogue})
    orders = 0 if segment.share > 0.4 else 1 + int(draw.expovariate(0.4 * (1 + segment.sensitivity)))
    profile: dict[str, object] = {
        "customer.first_name": draw.choice(NAMES),
        "customer.tier": draw.choice(segment.tiers),
        "customer.orders": orders,
        "customer.newsletter": draw.random() < 0.4,
    }
    if orders:
        profile["customer.last_order"] = now - int(draw.uniform(2, 240)) * DAY
        profile["customer.average_order"] = round(draw.uniform(30, 220), 2)
    return Shopper(
        number=number,
        segment=segment,
        tastes=tuple(draw.sample(categories, min(2, len(categories)))),
        sensitivity=min(1.0, max(0.0, draw.gauss(segment.sensitivity, 0.1))),
        customer_id=f"c{seed}-{number:05d}",
        profile=profile,
    )


class Visit:
    """One session of a shopper on one device.

    Args:
        seed: Of the whole simulation.
        who: The shopper.
        number: Of the visit, from 0.
        catalogue: What can be looked at and bought.
    """

    def __init__(self, seed: int, who: Shopper, number: int, catalogue: Sequence[Product]) -> None:
        self._draw = random.Random(f"{seed}/visit/{who.number}/{number}")
        self._who = who
        self._catalogue = catalogue
        self.session_id = f"s{seed}-{who.number:05d}-{number}"
        self.device = self._draw.choices(("phone", "desktop", "tablet"), (0.6, 0.32, 0.08))[0]
        self.campaign = "summer" if self._draw.random() < 0.12 else None
        self.customer_id = who.customer_id if self._draw.random() < who.segment.known else None
        self.intent = self._draw.betavariate(*who.segment.intent)
        self._robot = self._draw.random() < 0.004
        self._cart: list[tuple[Product, int]] = []
        self._sent = 0

    def steps(self) -> Steps:
        """The visit, step by step: begin with `next`, then `send` the offers in sight."""
        yield self._step(0, "home", "page_viewed", page="home")
        if self._robot:
            for _ in range(self._draw.randint(45, 80)):
                yield self._step(self._draw.randint(60, 160), "category", "page_viewed", page="category")
            return False
        for _ in range(1 + self._often(9 * self.intent + 1.5)):
            yield from self._browse()
            if self._draw.random() < 0.06 + 0.1 * (1 - self.intent):
                return False
        if not self._cart:
            return False
        return (yield from self._pay())

    def _browse(self) -> Generator[Step, frozenset[str], None]:
        draw = self._draw
        if draw.random() < 0.12:
            yield self._step(
                self._think(8), "search", "search", query=draw.choice(QUERIES), results=int(draw.expovariate(0.1))
            )
        elif draw.random() < 0.3:
            category = draw.choice(self._who.tastes)
            yield self._step(self._think(6), "category", "page_viewed", page="category", category=category)
        product = self._choose()
        about = {"product_id": product.id, "category": product.category, "price": product.price}
        yield self._step(self._think(10), "product", "product_viewed", **about)
        if draw.random() < 0.25 * self.intent:  # comes back to it: a sign of wanting it
            yield self._step(self._think(15), "product", "product_viewed", **about)
        dear = product.price / 150 * self._who.sensitivity
        if draw.random() < _odds(-2.6 + 3.6 * self.intent - 0.8 * dear):
            quantity = 1 + (draw.random() < 0.15)
            self._cart.append((product, quantity))
            yield self._step(self._think(12), "product", "cart_added", **about, quantity=quantity)
        elif self._cart and draw.random() < 0.1 * self._who.sensitivity:
            taken, quantity = self._cart.pop(draw.randrange(len(self._cart)))
            yield self._step(
                self._think(9), "cart", "cart_removed", product_id=taken.id, category=taken.category,
                price=taken.price, quantity=quantity,
            )  # fmt: skip

    def _pay(self) -> Steps:
        draw = self._draw
        yield self._step(self._think(10), "cart", "page_viewed", page="cart")
        if draw.random() > 0.35 + 0.6 * self.intent:
            return False
        seen = yield self._step(self._think(15), "checkout", "checkout_viewed", step="cart")
        total = round(sum(product.price * quantity for product, quantity in self._cart), 2)
        # Those who mind prices stop at the cost of delivery, the more so the smaller the cart.
        doubt = self._who.sensitivity * (1.6 if total < 100 else 0.9)
        hesitates = draw.random() < 0.5 * self._who.sensitivity
        if hesitates:
            seen |= yield self._step(self._think(70), "cart", "page_viewed", page="cart")
            seen |= yield self._step(self._think(25), "checkout", "checkout_viewed", step="cart")
        if draw.random() < 0.05:
            yield self._step(self._think(40), "checkout", "payment_failed", method=draw.choice(("card", "wallet")))
            doubt += 0.5
        lift = sum(EFFECTS.get(offer, 0.0) for offer in seen)
        if draw.random() >= _odds(-0.9 + 3.4 * self.intent - doubt + lift):
            return False
        items = sum(quantity for _, quantity in self._cart)
        yield self._step(
            self._think(45), "checkout", "purchase", order_id=f"o-{self.session_id}", total=total, items=items
        )
        return True

    def _choose(self) -> Product:
        favourites = [product for product in self._catalogue if product.category in self._who.tastes]
        return self._draw.choice(favourites if self._draw.random() < 0.7 else self._catalogue)

    def _often(self, mean: float) -> int:
        """A Poisson number (Knuth 1969, section 3.4.1)."""
        limit, count, product = math.exp(-mean), 0, self._draw.random()
        while product > limit:
            count, product = count + 1, product * self._draw.random()
        return count

    def _think(self, seconds: float) -> Millis:
        """A log-normal pause with this median; those with little intent take longer."""
        return int(SECOND * min(600.0, seconds * (1.3 - 0.6 * self.intent) * self._draw.lognormvariate(0, 0.7)))

    def _step(self, wait: Millis, page: str, kind: str, /, **attributes: object) -> Step:
        self._sent += 1
        event = RawEvent(
            type=kind,
            session_id=self.session_id,
            id=f"{self.session_id}-{self._sent}",
            customer_id=self.customer_id,
            attributes=attributes,
        )
        return Step(wait, page, event)


def history(
    seed: int, visits: int, catalogue: Sequence[Product], start: EpochMs, days: int = 28
) -> Iterator[tuple[Shopper, list[RawEvent]]]:
    """Visits of many shoppers spread over `days` from `start`, in which nobody was shown an offer.

    A shopper comes back every few days, on any device. Each visit is a list of events with times, in their order.
    """
    shoppers = max(1, visits // 3)
    for number in range(visits):
        who = shopper(seed, number % shoppers, catalogue, start)
        visit = Visit(seed, who, number // shoppers, catalogue)
        clock = start + random.Random(f"{seed}/start/{number}").randrange(days * DAY)
        events: list[RawEvent] = []
        for step in unseen(visit):
            clock += step.wait
            step.event.time = clock
            events.append(step.event)
        yield who, events


def unseen(visit: Visit) -> Iterator[Step]:
    """The steps of a visit that is shown no offer."""
    steps = visit.steps()
    try:
        step = next(steps)
        while True:
            yield step
            step = steps.send(frozenset())
    except StopIteration:
        return


def _odds(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
