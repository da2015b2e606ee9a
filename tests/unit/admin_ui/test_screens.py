"""What the screens show and do, through the whole application over a backend in memory."""

from __future__ import annotations

import html
import re

import msgspec
import pytest

from admin_ui.backend import Process, StoredSession
from admin_ui.drafts import Drafts, Edit, base_of
from engine.decision import Decision, Request
from engine.event import RawEvent
from engine.offers import MemoryLimits, decide
from engine.vocabulary import admit
from tests.unit.admin_ui.conftest import Visitor
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


# ------------------------------------------------------------------ home


def test_home_says_what_is_live_and_who_is_well(viewer: Visitor) -> None:
    page = words(viewer.get("/").text)
    assert "Live: revision 1" in page
    assert "First revision" in page
    assert "api-1 well, on revision 1" in page


def test_home_is_loud_about_a_process_that_fell_silent(viewer: Visitor, backend: MemoryBackend) -> None:
    backend.running = [Process("api-1", "api", NOON - 60_000, 1), Process("worker-1", "worker", NOON, 1, "no model")]
    page = words(viewer.get("/").text)
    assert "No decision API is running" in page
    assert "api-1 last heard of 1 minute ago" in page
    assert "worker-1 no model" in page


def test_home_is_loud_about_rules_that_err(viewer: Visitor, backend: MemoryBackend) -> None:
    backend.activity.add(NOON // 60_000 - 1, {f"error/{NUDGE}": 3})
    page = words(viewer.get("/now").text)
    assert "1 thing to look at" in page
    assert "3 evaluations failed in the last hour" in page


def test_home_names_the_draft(viewer: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    page = words(viewer.get("/").text)
    assert "In the draft cart_recovery.yaml ed, just now" in page


def test_before_the_first_publication_every_screen_says_what_to_do(viewer: Visitor, backend: MemoryBackend) -> None:
    backend.revisions.clear()
    assert "Nothing is live yet" in viewer.get("/").text
    assert "No rules yet" in viewer.get("/rules").text
    assert "No files yet" in viewer.get("/editor").text
    assert "Nothing to simulate" in viewer.get("/simulate").text
    assert "nothing to publish" in viewer.get("/publish").text
    assert "Nothing was published yet" in viewer.get("/history").text
    assert "No decision was made yet" in viewer.get("/why").text


# ------------------------------------------------------------------ rules


def test_rules_stand_in_order_of_acting_each_as_a_sentence(viewer: Visitor, backend: MemoryBackend) -> None:
    page = viewer.get("/rules").text
    live = backend.live()
    assert live is not None
    places = [page.index(f'id="{rule.id}"') for rule in live.program.rules]
    assert places == sorted(places)
    assert "the cart value is at least 200.00 EUR" in words(page)


def test_search_and_filters_keep_what_fits(viewer: Visitor, backend: MemoryBackend) -> None:
    def shown(query: str) -> list[str]:
        return re.findall(r'<li class="rule[^"]*" id="([^"]+)"', viewer.get(f"/rules?{query}", HX_Request="true").text)

    assert shown("search=free+shipping") == [NUDGE]
    assert shown("search=free_shipping_nudge") == [NUDGE]
    assert all(rule.startswith("carousel.") for rule in shown("owner=merchandising"))
    assert shown("status=off") == []
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    assert shown("status=draft") == [NUDGE]
    assert "No rule fits" in viewer.get("/rules?search=nothing+like+this").text


def test_a_viewer_sees_no_switch(viewer: Visitor, editor: Visitor) -> None:
    assert 'role="switch"' not in viewer.get("/rules").text
    assert 'role="switch"' in editor.get("/rules").text


def test_a_switch_asks_before_it_acts(publisher: Visitor, backend: MemoryBackend) -> None:
    asked = publisher.get(f"/rules/{NUDGE}/switch", HX_Request="true").text
    assert "Switch off “Free shipping nudge”?" in asked
    assert len(backend.revisions) == 1


def test_switching_now_publishes_this_one_change_and_carries_it_into_the_draft(
    publisher: Visitor, backend: MemoryBackend
) -> None:
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    answer = publisher.post(f"/rules/{NUDGE}/switch", {"on": "0", "how": "now", "reason": "wrong prices"})
    assert answer.status_code == 302
    assert backend.revisions[-1].note == f"Switch off {NUDGE}: wrong prices"
    live = backend.live()
    assert live is not None
    rule = next(rule for rule in live.program.rules if rule.id == NUDGE)
    assert not rule.enabled
    assert "at_least: 200" in live.sources[FILE]
    draft = Drafts(backend.tables).read(live.sources)
    text = draft.files[FILE].text
    assert text is not None
    assert "enabled: false" in text
    assert "at_least: 150" in text
    assert draft.outdated == ()


def test_an_editor_switches_in_the_draft(editor: Visitor, backend: MemoryBackend) -> None:
    editor.post(f"/rules/{NUDGE}/switch", {"on": "0", "how": "draft"})
    assert len(backend.revisions) == 1
    page = words(editor.get("/rules?status=draft").text)
    assert "is switched off in the draft" in page
    assert "Changed in the draft" in page


def test_a_note_with_markup_is_text(viewer: Visitor, publisher: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(
        backend,
        "note: Free shipping for a full cart whose owner hesitates at the checkout",
        'note: "<script>alert(1)</script><img src=x onerror=alert(1)>"',
    )
    live = backend.live()
    assert live is not None
    backend.publish(
        Drafts(backend.tables).read(live.sources).sources(live.sources), "<b>eve</b>", "<script>alert(2)</script>"
    )
    for path in (
        "/",
        "/rules",
        "/history",
        "/history/compare?one=1&other=2",
        f"/editor?file={FILE}",
        "/history/1/rollback",
    ):
        page = publisher.get(path).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "<b>eve" not in page, path


# ------------------------------------------------------------------ editor


def check(visitor: Visitor, text: str) -> dict[str, list[dict[str, object]]]:
    answer = visitor.send("/editor/check", {"path": FILE, "text": text})
    assert answer.status_code == 200
    found = answer.get_json()
    assert isinstance(found, dict)
    return found


@pytest.fixture
def text(backend: MemoryBackend) -> str:
    live = backend.live()
    assert live is not None
    return live.sources[FILE]


def test_a_mistake_is_told_with_its_place_and_a_proposal(editor: Visitor, text: str) -> None:
    found = check(editor, text.replace("cart.value, at_least: 200", "cart.valeu, at_least: 200"))
    (mistake,) = [each for each in found["diagnostics"] if each["severity"] == "error"]
    assert mistake["proposal"] == "did you mean cart.value?"
    line = next(number for number, line in enumerate(text.split("\n"), 1) if "cart.value, at_least: 200" in line)
    assert (mistake["file"], mistake["line"]) == (FILE, line)
    assert not found["valid"]


def test_every_rule_of_the_file_comes_with_its_sentence(editor: Visitor, text: str) -> None:
    found = check(editor, text.replace("at_least: 200", "at_least: 150"))
    sentences = {rule["name"]: str(rule["sentence"]) for rule in found["rules"]}
    assert "at least 150.00 EUR" in sentences["free_shipping_nudge"]
    assert "too_fast" not in sentences


def test_text_that_is_no_yaml_at_all_is_answered(editor: Visitor) -> None:
    for broken in ("{", "\t", "a: [", "", "\x00", "- " * 5000):
        assert not check(editor, broken)["valid"]


def test_saving_changes_the_draft_and_no_other_byte(editor: Visitor, backend: MemoryBackend, text: str) -> None:
    odd = text.replace("\n", "\r\n") + "# a comment at the end without a line end"
    base = base_of({FILE: text}, FILE)
    answer = editor.send("/editor/save", {"path": FILE, "text": odd, "version": 0, "base": base})
    assert answer.get_json() == {"version": 1, "base": base}
    live = backend.live()
    assert live is not None
    assert Drafts(backend.tables).read(live.sources).files[FILE].text == odd


def test_the_second_of_two_people_is_told_and_shown_what_differs(
    editor: Visitor, publisher: Visitor, text: str
) -> None:
    base = base_of({FILE: text}, FILE)
    hers, his = text.replace("at_least: 200", "at_least: 180"), text.replace("at_least: 200", "at_least: 150")
    publisher.send("/editor/save", {"path": FILE, "text": hers, "version": 0, "base": base})
    answer = editor.send("/editor/save", {"path": FILE, "text": his, "version": 0, "base": base})
    assert answer.status_code == 409
    conflict = answer.get_json()
    assert conflict["author"] == "marta"
    assert conflict["theirs"] == hers
    changed = [line for kind, line in conflict["difference"] if kind in {"add", "del"}]
    assert len(changed) == 2
    again = {"path": FILE, "text": his, "version": conflict["version"], "base": conflict["base"]}
    assert editor.send("/editor/save", again).status_code == 200


def test_what_gave_way_is_shown_below_the_editor(editor: Visitor) -> None:
    lost = {"path": FILE, "text": "# my lost work", "author": "ed", "because": "gave way in a conflict"}
    assert editor.send("/editor/aside", lost).status_code == 204
    page = editor.get(f"/editor?file={FILE}").text
    assert "Set aside (1)" in page
    assert "# my lost work" in page


def test_a_new_file_begins_as_a_ruleset_of_its_author(editor: Visitor) -> None:
    assert editor.post("/editor/add", {"name": "Summer sale"}).headers["Location"] == "/editor?file=summer_sale.yaml"
    page = words(editor.get("/editor?file=summer_sale.yaml").text)
    assert "ruleset: summer_sale owner: ed" in page
    for bad in ("../../etc/passwd", "", "a/b", "-x"):
        assert editor.post("/editor/add", {"name": bad}).headers["Location"] == "/editor"


def test_words_are_proposed_from_the_vocabulary(editor: Visitor, text: str) -> None:
    line = len(text.split("\n"))
    answer = editor.send(
        "/editor/complete", {"path": FILE, "text": text + "x: {fact: cart.", "line": line, "column": 16}
    )
    found = answer.get_json()
    assert found["from"] == 11
    assert "cart.value" in [option["label"] for option in found["options"]]


def test_a_request_that_is_no_json_of_ours_is_refused_with_a_sentence(editor: Visitor) -> None:
    answer = editor.send("/editor/check", {"path": 1})
    assert answer.status_code == 400
    assert "can't be read" in answer.get_json()["error"]


# ------------------------------------------------------------------ simulate


def test_a_typed_session_is_decided_and_explained(viewer: Visitor) -> None:
    page = words(viewer.post("/simulate", {"events": EVENTS, "score.purchase_intent": "0.2"}).text)
    assert "Cart banner" in page
    assert "Standard banner the fallback" in page
    assert "40.00 EUR more" in page


def test_the_draft_stands_beside_live(viewer: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    page = words(viewer.post("/simulate", {"events": EVENTS, "score.purchase_intent": "0.2"}).text)
    assert "Cart banner differs Live (revision 1) Standard banner the fallback" in page
    assert "Draft Free shipping by cart_recovery.free_shipping_nudge" in page


def test_the_clock_closes_windows(viewer: Visitor) -> None:
    full = EVENTS.replace("160", "260")
    asked = {"events": full, "score.purchase_intent": "0.2"}
    assert "Free shipping by" in words(viewer.post("/simulate", asked | {"clock": "10:08:59"}).text)
    later = words(viewer.post("/simulate", asked | {"clock": "10:09:00"}).text)
    assert "Free shipping by" not in later
    assert "checkout_viewed happened in the last 5 minutes" in later


def test_a_model_can_be_made_silent(viewer: Visitor) -> None:
    asked = {"events": EVENTS.replace("160", "260"), "silent.purchase_intent": "1"}
    page = words(viewer.post("/simulate", asked).text)
    assert "Free shipping by" not in page
    assert "purchase_intent has no value" in page


def test_a_real_session_is_simulated_with_its_memory(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    form = viewer.get("/simulate?session=s-1").text
    assert 'value="s-1" selected' in form
    page = words(viewer.post("/simulate", {"session": "s-1"}).text)
    assert "(is 160.00 EUR)" in page


def test_a_session_goes_on_with_what_is_typed(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    more = "- {at: 13:00:00, cart_added: {product_id: p2, category: shoes, quantity: 1, price: 60}}"
    page = words(viewer.post("/simulate", {"session": "s-1", "events": more}).text)
    assert "(is 220.00 EUR)" in page
    assert "Free shipping by" in page


def test_the_profile_counts_as_it_is_now_unless_something_else_is_typed(
    viewer: Visitor, backend: MemoryBackend
) -> None:
    a_session(backend)  # of a gold customer, with something in the cart
    asked = {"session": "s-1", "fact.context.page": "cart"}
    assert "Points reminder by" in words(viewer.post("/simulate", asked).text)
    backend.sessions["s-1"] = msgspec.structs.replace(backend.sessions["s-1"], profile=b"{}")
    assert "Points reminder by" not in words(viewer.post("/simulate", asked).text)
    typed = asked | {"fact.customer.tier": "silver"}
    assert "Points reminder by" in words(viewer.post("/simulate", typed).text)


def test_simulating_changes_nothing(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    before = (dict(backend.sessions), list(backend.decisions.entries), dict(backend.activity.counts))
    viewer.post("/simulate", {"session": "s-1"})
    assert before == (backend.sessions, backend.decisions.entries, backend.activity.counts)


def test_facts_of_the_customer_and_the_page_count(viewer: Visitor) -> None:
    asked = {"events": EVENTS, "customer": "c1", "fact.customer.tier": "gold", "fact.context.page": "cart"}
    page = words(viewer.post("/simulate", asked).text)
    assert "Points reminder by service.points_reminder" in page


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"events": "- {at: 10:00:00, cart_aded: {}}"}, "did you mean cart_added?"),
        ({"events": "- {at: 10:00:00, cart_added: {quantity: many}}"}, "Line 1:"),
        ({"events": "- {at: 10:00:00"}, "Line"),
        ({"events": "[{}]"}, "no list of events in JSON"),
        ({"events": '[{"type": "cart_aded"}]'}, "is refused"),
        ({"clock": "noon"}, "is no time"),
        ({"score.purchase_intent": "7"}, "from 0 to 1"),
        ({"session": "gone"}, "no session gone any more"),
    ],
)
def test_what_can_not_be_simulated_says_why(viewer: Visitor, form: dict[str, str], says: str) -> None:
    assert says in words(viewer.post("/simulate", form).text)


def test_events_may_be_json_of_the_api(viewer: Visitor) -> None:
    events = [
        {"type": "cart_added", "time": NOON - 60_000, "attributes": {"product_id": "p", "quantity": 1, "price": 210}},
        {"type": "checkout_viewed", "time": "2026-11-23T11:59:30Z", "attributes": {}},
    ]
    form = {"events": msgspec.json.encode(events).decode(), "score.purchase_intent": "0.1"}
    assert "Free shipping by" in words(viewer.post("/simulate", form).text)


# ------------------------------------------------------------------ publish and history


def publish(visitor: Visitor, note: str) -> str:
    reviewed = re.search(r'name="reviewed" value="([^"]+)"', visitor.get("/publish").text)
    return visitor.post("/publish", {"note": note, "reviewed": reviewed[1] if reviewed else ""}).headers.get(
        "Location", ""
    )


def test_the_review_shows_the_change_as_a_sentence(viewer: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "checkout_viewed, within: 5 minutes", "checkout_viewed, within: 4 minutes")
    page = viewer.get("/publish").text
    assert "<del>5</del>" in page
    assert "<ins>4</ins>" in page


def test_a_failing_test_keeps_the_draft_from_being_published(publisher: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    page = words(publisher.get("/publish").text)
    assert "one cent below 200 is not enough" in page
    assert "Expected standard_banner in cart_banner; there came free_shipping" in page
    assert "can't be published before the failing tests are settled" in page


def test_a_good_draft_goes_live_with_its_note_and_is_a_draft_no_more(
    publisher: Visitor, backend: MemoryBackend
) -> None:
    put_into_draft(backend, "total: 5000 per day", "total: 4000 per day")
    followed = publisher.get(publish(publisher, "At most 4,000 a day"))
    assert "Revision 2 is live" in words(followed.text)
    assert (backend.revisions[-1].author, backend.revisions[-1].note) == ("marta", "At most 4,000 a day")
    assert "nothing to publish" in publisher.get("/publish").text


def test_a_publication_needs_a_note(publisher: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "total: 5000 per day", "total: 4000 per day")
    assert publish(publisher, " ") == ""
    assert len(backend.revisions) == 1


def test_a_draft_that_changed_under_the_reviewer_is_reviewed_again(publisher: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "total: 5000 per day", "total: 4000 per day")
    publisher.get("/publish")
    assert publisher.post("/publish", {"note": "x", "reviewed": "what I saw before"}).headers["Location"] == "/publish"
    assert len(backend.revisions) == 1
    assert "has changed while you looked at it" in words(publisher.get("/publish").text)


def test_a_draft_below_which_live_changed_is_settled_first(publisher: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "total: 5000 per day", "total: 4000 per day")
    live = backend.live()
    assert live is not None
    backend.publish({**live.sources, FILE: live.sources[FILE] + "# by the command line\n"}, "ops", "Something else")
    assert "Somebody published after this draft began" in words(publisher.get("/publish").text)
    publish(publisher, "Over it all")
    assert len(backend.revisions) == 2
    assert "was published by somebody else" in words(publisher.get(f"/editor?file={FILE}").text)
    publisher.post("/editor/accept", {"path": FILE})
    publish(publisher, "Looked at it")
    assert len(backend.revisions) == 3


def test_two_revisions_are_compared_the_older_one_first(viewer: Visitor, backend: MemoryBackend) -> None:
    live = backend.live()
    assert live is not None
    backend.publish({**live.sources, FILE: live.sources[FILE].replace("total: 5000", "total: 4000")}, "ed", "Less")
    page = viewer.get("/history/compare?one=2&other=1").text
    assert "Revision 1 → 2" in page
    assert "<ins>4000</ins>" in page


def test_going_back_needs_a_reason_and_becomes_a_revision(publisher: Visitor, backend: MemoryBackend) -> None:
    live = backend.live()
    assert live is not None
    backend.publish({**live.sources, FILE: live.sources[FILE].replace("total: 5000", "total: 4000")}, "ed", "Less")
    assert publisher.post("/history/1/rollback", {"reason": " "}).status_code == 422
    assert len(backend.revisions) == 2
    publisher.post("/history/1/rollback", {"reason": "Too few"})
    assert (backend.revisions[-1].restores, backend.revisions[-1].note) == (1, "Too few")
    assert "brought 1 back" in words(publisher.get("/history").text)


@pytest.mark.parametrize(
    "path", ["/history/compare?one=1&other=99", "/publish/unknown", "/rules/nobody/switch", "/nothing"]
)
def test_what_is_not_there_is_a_page_that_leads_on(publisher: Visitor, path: str) -> None:
    answer = publisher.get(path)
    assert answer.status_code == 404
    assert 'href="/"' in answer.text


# ------------------------------------------------------------------ why


def test_a_decision_is_explained_with_what_was_shown_and_how_far_the_others_were(
    viewer: Visitor, backend: MemoryBackend
) -> None:
    decision = a_session(backend)
    assert viewer.get(f"/why?q={decision.id}").headers["Location"] == f"/why/decision/{decision.id}"
    page = words(viewer.get(f"/why/decision/{decision.id}").text)
    assert "Standard banner the fallback" in page
    assert "All rules, as they were" in page
    assert "40.00 EUR more" in page


def test_an_old_decision_says_that_the_session_has_gone_on(viewer: Visitor, backend: MemoryBackend) -> None:
    decision = a_session(backend)
    stored = backend.sessions["s-1"]
    backend.sessions["s-1"] = msgspec.structs.replace(stored, clock=NOON)
    assert "The session has gone on since this decision" in words(viewer.get(f"/why/decision/{decision.id}").text)


def test_a_session_shows_every_rule_and_its_decisions(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    page = words(viewer.get("/why/session/s-1").text)
    assert f"{NUDGE} one condition short" in page
    assert "Its decisions" in page


def test_of_a_session_that_ended_its_decisions_remain(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    backend.sessions.clear()
    page = words(viewer.get("/why/session/s-1").text)
    assert "It has ended" in page
    assert "Cart banner: Standard banner" in page


def test_exposures_in_the_log_are_no_decisions(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    backend.decisions.append([("x_1", "s-1", NOON, b'{"id":"x_1","decision_id":"d-s-1"}')])
    assert viewer.get("/why").status_code == 200
    assert viewer.get("/why/decision/x_1").status_code == 404


def test_an_unknown_id_is_answered_with_what_to_do(viewer: Visitor) -> None:
    assert "Nothing is known of “nix”" in viewer.get("/why?q=nix").text
