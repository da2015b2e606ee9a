"""What tests of the screens put on the stage, and how they read what is shown."""

from __future__ import annotations

import html
import re

from admin_ui.backend import StoredSession
from admin_ui.drafts import Drafts, Edit, base_of
from engine.decision import Decision, Request
from engine.event import RawEvent
from engine.offers import MemoryLimits, decide
from engine.vocabulary import admit
from tests.unit.admin_ui.memory_backend import NOON, MemoryBackend

FILE = "cart_recovery.yaml"
NUDGE = "cart_recovery.free_shipping_nudge"
EVENTS = """- {at: 10:00:00, cart_added: {product_id: p1, category: shoes, quantity: 1, price: 160}}
- {at: 10:04:00, checkout_viewed: {step: address}}"""


def words(page: str) -> str:
    """The text that people read."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def put_into_draft(backend: MemoryBackend, old: str, new: str, path: str = FILE) -> None:
    live = backend.live()
    assert live is not None
    assert old in live.sources[path]
    text = live.sources[path].replace(old, new, 1)
    drafts = Drafts(backend.tables)
    edit = Edit(path, text, drafts.read(live.sources).versions.get(path, 0), base_of(live.sources, path))
    drafts.save(edit, live.sources, "ed", backend.time)


def a_session(backend: MemoryBackend, name: str = "s-1") -> Decision:
    """A session with 160 euros in the cart at the checkout, and a decision about it."""
    live = backend.live()
    assert live is not None
    network, program = live.network, live.program
    memory = network.open(name, "anna")
    happened: list[tuple[int, str, dict[str, object]]] = [
        (120_000, "cart_added", {"product_id": "p1", "category": "shoes", "quantity": 1, "price": 160}),
        (60_000, "checkout_viewed", {"step": "address"}),
    ]
    for number, (age, kind, attributes) in enumerate(happened):
        moment = NOON - age
        event = admit(program.vocabulary, RawEvent(kind, name, f"e{number}", moment, "anna", attributes), moment)
        network.insert(memory, event, backend.score)
    view = network.view(memory, NOON - 30_000, {"context.page": "cart"}, backend.score)
    request = Request(name, "anna", NOON - 30_000, {"context.page": "cart"}, ("cart_banner",))
    decision, _ = decide(
        program, view, request, decision_id=f"d-{name}", score=backend.score, limits=MemoryLimits(), revision=1
    )
    clock = memory.clock
    assert clock is not None
    backend.sessions[name] = StoredSession(name, "anna", clock, network.snapshot(memory), b'{"customer.tier": "gold"}')
    backend.decisions.add(decision)
    return decision
