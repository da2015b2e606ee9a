"""Home, rules, publishing and history, through the whole application over a backend in memory."""

from __future__ import annotations

import re

import pytest

from admin_ui.backend import Process
from admin_ui.drafts import Drafts
from engine.rete.reports.listing import NodeKind
from tests.unit.admin_ui.conftest import Visitor
from tests.unit.admin_ui.memory_backend import NOON, MemoryBackend
from tests.unit.admin_ui.scenes import FILE, NUDGE, put_into_draft, words

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


def test_each_rule_says_what_an_event_may_cost_it(viewer: Visitor, backend: MemoryBackend) -> None:
    """The same places as in `salience network`; of the event that costs it most."""
    live = backend.live()
    assert live is not None
    page = viewer.get("/rules").text
    for node in live.network.nodes():
        if node.kind is NodeKind.RULE and node.cost:
            card = words(page.split(f'id="{node.text}"')[1].split("</li>")[0])
            event, places = next(iter(node.cost.items()))
            assert f"Cost: at most {places} place{'' if places == 1 else 's'} for {event}" in card
    assert "Cost: at most" in page
    assert "Cost is estimated" in page


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
