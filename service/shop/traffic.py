"""`python -m service.shop.traffic`: simulated shoppers that use the decision API as the example shop's page does.

They send real events, see real offers, and react to them by the known amounts of `models.shoppers.EFFECTS`.
"""

from __future__ import annotations

import contextlib
import heapq
import http.client
import itertools
import logging
import random
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from config.schema import Settings
from models.shoppers import Product, Step, Steps, Visit, shopper
from service.settings import load
from service.shop.catalogue import products
from service.shop.prepare import SHOPPERS_KEY, read_key

logger = logging.getLogger("salience.traffic")

PLACEMENTS: Mapping[str, tuple[str, ...]] = {
    "home": ("home_hero", "carousel"),
    "category": ("cart_banner",),
    "product": ("cart_banner", "carousel"),
    "search": ("cart_banner",),
    "cart": ("cart_banner",),
    "checkout": ("cart_banner", "checkout_note"),
}
RETRY_SECONDS = 2.0
START_POLL_SECONDS = 0.2
SHOPPERS = 400  # so that some come back within an hour of watching


class ApiError(Exception):
    """The API could not be reached or refused; the message says which."""


class Client:
    """A connection to the decision API that is kept and made anew when it breaks."""

    def __init__(self, host: str, port: int, key: str, timeout_s: float = 5.0) -> None:
        self._address = (host, port)
        self._key = key
        self._timeout = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: object) -> object:
        """Send a JSON value and return the answer's. Raises `ApiError`; a stale connection is tried once more."""
        for attempt in (1, 2):
            try:
                return self._send(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise ApiError(f"{path}: {error}") from error
        raise AssertionError  # the loop returns or raises

    def await_answer(self) -> None:
        """Wait until the API listens; it starts at the same time as its shoppers."""
        while True:
            try:
                with socket.create_connection(self._address, self._timeout):
                    return
            except OSError:
                time.sleep(START_POLL_SECONDS)

    def _send(self, method: str, path: str, body: object) -> object:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        self._connection.request(method, path, msgspec.json.encode(body), headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        if answer.status >= 400:
            raise ApiError(f"{path}: {answer.status} {raw[:300].decode('utf-8', 'replace')}")
        return msgspec.json.decode(raw) if raw else None


@dataclass(slots=True)
class Underway:
    """A visit that is going on."""

    visit: Visit
    steps: Steps
    next: Step


class Traffic:
    """Starts visits at a rate and takes each through its steps in real time.

    Args:
        client: Of the decision API.
        seed: Of shoppers and visits.
        per_minute: Visits that begin in a minute, at random moments.
        catalogue: What they look at.
    """

    def __init__(self, client: Client, seed: int, per_minute: int, catalogue: Collection[Product]) -> None:
        self._client = client
        self._seed = seed
        self._per_minute = per_minute
        self._catalogue = tuple(catalogue)
        self._draw = random.Random(seed)
        self._due: list[tuple[float, int, Underway | None]] = []
        self._order = itertools.count()
        self._visits = itertools.count(int(time.time()) // 60)  # another run brings other visits of the same shoppers
        self._known: set[str] = set()

    def run(self) -> None:
        """Until told to stop."""
        self._plan(0.0, None)
        while True:
            when, _, underway = self._due[0]
            if (wait := when - time.monotonic()) > 0:
                time.sleep(wait)
                continue
            heapq.heappop(self._due)
            try:
                self._arrive() if underway is None else self._go_on(underway)
            except ApiError as error:
                logger.warning("a shopper left, the API did not answer: %s", error)
                time.sleep(RETRY_SECONDS)

    def _plan(self, seconds: float, underway: Underway | None) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), underway))

    def _arrive(self) -> None:
        self._plan(self._draw.expovariate(self._per_minute / 60), None)
        number = self._draw.randrange(SHOPPERS)
        who = shopper(self._seed, number, self._catalogue, int(time.time() * 1000))
        visit = Visit(self._seed, who, next(self._visits), self._catalogue)
        if visit.customer_id is not None and visit.customer_id not in self._known:
            self._known.add(visit.customer_id)
            self._client.send("PUT", f"/v1/customers/{visit.customer_id}", {"facts": who.profile})
        steps = visit.steps()
        self._go_on(Underway(visit, steps, next(steps)))

    def _go_on(self, underway: Underway) -> None:
        shown = self._ask(underway.visit, underway.next)
        with contextlib.suppress(StopIteration):
            underway.next = underway.steps.send(shown)
            self._plan(underway.next.wait / 1000, underway)

    def _ask(self, visit: Visit, step: Step) -> frozenset[str]:
        """Send the step's event along with the question what to show on its page; the offers in sight."""
        context = {"context.page": step.page, "context.device": visit.device}
        if visit.campaign:
            context["context.campaign"] = visit.campaign
        body = {
            "session_id": visit.session_id,
            "customer_id": visit.customer_id,
            "placements": PLACEMENTS[step.page],
            "context": context,
            "events": [step.event],
        }
        answer = self._client.send("POST", "/v1/decide", body)
        assert isinstance(answer, dict)
        return frozenset(offer["offer"] for each in answer["placements"] for offer in each.get("offers", ()))


def main() -> None:
    """Shoppers at the rate of the settings."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    settings = load().settings
    run(settings)


def run(settings: Settings) -> None:
    """Until told to stop; returns at once where the settings want no shoppers."""
    if settings.shop.sessions_per_minute:
        client = Client(settings.api.host, settings.api.port, read_key(settings.data_dir, SHOPPERS_KEY))
        client.await_answer()
        Traffic(client, 1, settings.shop.sessions_per_minute, products()).run()


if __name__ == "__main__":
    main()
