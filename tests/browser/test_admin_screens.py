"""Every screen of the admin UI in a real browser: for people with assistive technology, on a phone, by keyboard, under attack."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from admin_ui.backend import Process, StoredSession
from admin_ui.drafts import Drafts, Edit, base_of
from engine.decision import Request
from engine.event import RawEvent
from engine.offers import MemoryLimits, decide
from engine.vocabulary import admit
from tests.browser.conftest import PASSWORD, Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Route

pytestmark = pytest.mark.browser

AXE = Path(__file__).with_name("assets") / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FILE = "cart_recovery.yaml"
SCREENS = (
    "/",
    "/rules",
    "/rules?search=nothing+like+this",
    "/editor",
    "/simulate",
    "/simulate?session=s-1",
    "/publish",
    "/history",
    "/history/compare?one=1&other=2",
    "/history/1/rollback",
    "/rules/robots.too_fast/switch",
    "/why",
    "/why?q=unknown",
    "/why/decision/d-1",
    "/why/session/s-1",
    "/nothing",
)


def sign_in(page: Page, desk: Desk, name: str = "marta") -> None:
    page.goto(f"{desk.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{desk.url}/")


def furnish(desk: Desk) -> None:
    """Something on every screen: two revisions, a draft with a failing test, a session, a decision, errors, silence."""
    backend = desk.backend
    live = backend.live()
    assert live is not None
    backend.publish(
        {**live.sources, FILE: live.sources[FILE].replace("total: 5000", "total: 4000")}, "ed", "Less a day"
    )
    live = backend.live()
    assert live is not None
    change_draft(desk, "at_least: 200", "at_least: 150")
    minute = backend.time // 60_000
    for ago in range(60):
        backend.activity.add(
            minute - ago, {"decisions": 40 + ago % 7, "events": 90, f"shown/{live.program.rules[3].id}": ago % 5}
        )
    backend.activity.add(minute - 1, {"error/robots.too_fast": 2})
    backend.running.append(Process("worker-2", "worker", backend.time - 60_000, 1))
    memory = live.network.open("s-1", "anna")
    begins = backend.time - 60_000
    raw = RawEvent("cart_added", "s-1", "e1", begins, "anna", {"product_id": "p1", "quantity": 1, "price": 160})
    live.network.insert(memory, admit(live.program.vocabulary, raw, begins), backend.score)
    view = live.network.view(memory, backend.time, {"context.page": "cart"}, backend.score)
    asked = Request("s-1", "anna", backend.time, {"context.page": "cart"}, tuple(live.program.vocabulary.placements))
    made, _ = decide(
        live.program, view, asked, decision_id="d-1", score=backend.score, limits=MemoryLimits(), revision=2
    )
    backend.decisions.add(made)
    backend.sessions["s-1"] = StoredSession("s-1", "anna", begins, live.network.snapshot(memory), None)


def change_draft(desk: Desk, old: str, new: str) -> None:
    live = desk.backend.live()
    assert live is not None
    drafts = Drafts(desk.backend.tables)
    version = drafts.read(live.sources).versions.get(FILE, 0)
    text = live.sources[FILE].replace(old, new, 1)
    drafts.save(Edit(FILE, text, version, base_of(live.sources, FILE)), live.sources, "ed", desk.backend.time)


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        "async (rules) => (await axe.run(document, {runOnly: rules})).violations.map("
        "(each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`)",
        RULES,
    )
    return [f"{page.url}: {each}" for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_every_screen_is_accessible_and_fits(browser: Browser, desk: Desk, width: int, scheme: str) -> None:
    furnish(desk)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "warning" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{desk.url}/sign-in")
    complaints += violations(page)
    sign_in(page, desk)
    # The dark scheme differs in colours only, and these screens have all of them.
    for path in SCREENS if scheme == "light" else ("/", "/rules", "/editor", "/publish", "/why/decision/d-1"):
        page.goto(desk.url + path)
        complaints += violations(page)
        overhang = page.evaluate("document.documentElement.scrollWidth") - width
        if overhang > 0:
            complaints.append(f"{path} is {overhang} px too wide")
    context.close()
    assert not complaints, "\n".join(complaints)


def test_the_parts_that_scripts_bring_in_are_accessible(page: Page, desk: Desk) -> None:
    furnish(desk)
    sign_in(page, desk)
    page.goto(f"{desk.url}/rules")
    page.get_by_role("switch").first.click()
    page.get_by_role("dialog").wait_for()
    complaints = violations(page)
    page.goto(f"{desk.url}/simulate")
    page.get_by_role("button", name="Simulate").click()
    page.get_by_role("heading", name="Why: rule by rule").wait_for()
    page.locator("details.rule-line summary").first.click()
    complaints += violations(page)
    page.goto(f"{desk.url}/editor?file={FILE}")
    page.locator(".cm-line").first.click()
    page.keyboard.press("Home")
    page.keyboard.type("nonsense: x\n")
    page.get_by_role("button", name=re.compile("line")).first.wait_for()
    complaints += violations(page)
    assert not complaints, "\n".join(complaints)


def test_a_session_chosen_before_the_script_came_is_followed(page: Page, desk: Desk) -> None:
    furnish(desk)
    sign_in(page, desk)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/simulate.js", hold)
    with page.expect_request("**/simulate.js"):
        page.goto(f"{desk.url}/simulate", wait_until="commit")
    page.get_by_label("Begin with").select_option("s-1")
    held.pop().continue_()
    page.wait_for_url("**/simulate?session=s-1", wait_until="commit")


def test_the_strict_policy_is_never_violated(page: Page, desk: Desk) -> None:
    furnish(desk)
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if "Content Security" in message.text else None)
    sign_in(page, desk)
    for path in SCREENS:
        page.goto(desk.url + path)
    page.goto(f"{desk.url}/editor")
    page.locator(".cm-line").first.click()
    page.keyboard.press("Control+Space")
    page.keyboard.press("Control+f")
    assert not broken


def test_markup_in_notes_and_names_never_runs(page: Page, desk: Desk) -> None:
    live = desk.backend.live()
    assert live is not None
    attack = "<img src=x onerror=document.title='stolen'><script>document.title='stolen'</script>"
    sources = {
        **live.sources,
        FILE: live.sources[FILE].replace("note: Free shipping for a full cart", f'note: "{attack}"\n    #'),
    }
    desk.backend.publish(sources, attack, attack)
    sign_in(page, desk)
    for path in (
        "/",
        "/rules",
        "/history",
        "/history/compare?one=1&other=2",
        f"/editor?file={FILE}",
        "/history/1/rollback",
    ):
        page.goto(desk.url + path)
        assert "stolen" not in page.title()
    page.goto(f"{desk.url}/rules?search=onerror")
    page.get_by_text("<img src=x onerror").wait_for()


def test_typing_into_the_search_is_not_eaten_by_slow_answers(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    sign_in(page, desk)
    page.goto(f"{desk.url}/rules")

    def slowly(route: object) -> None:
        time.sleep(0.2)
        route.continue_()  # type: ignore[attr-defined]

    page.route("**/rules?*", slowly)
    box = page.get_by_role("searchbox")
    box.press_sequentially("free shipping", delay=60)
    expect(page.get_by_role("status").filter(has_text="1 rule shown")).to_be_attached()
    expect(box).to_have_value("free shipping")
    expect(box).to_be_focused()


def test_a_dialog_opens_and_closes_by_keyboard_and_gives_the_focus_back(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    sign_in(page, desk)
    page.goto(f"{desk.url}/rules")
    switch = page.get_by_role("switch").first
    switch.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label("Why?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(switch).to_be_focused()


def test_the_content_is_one_key_away(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    sign_in(page, desk)
    page.goto(f"{desk.url}/history")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_menu_of_a_phone_opens_and_closes(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 800})
    sign_in(page, desk)
    history = page.locator("#navigation").get_by_role("link", name="History")
    expect(history).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(history).to_be_visible()
    page.locator("#navigation").get_by_role("link", name="Rules").click()
    expect(page.get_by_role("heading", name="Rules")).to_be_visible()
    page.get_by_role("button", name="Menu").click()
    page.keyboard.press("Escape")
    expect(history).to_be_hidden()


def test_the_home_screen_lives(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    sign_in(page, desk)
    expect(page.get_by_role("listitem").filter(has_text="worker-1")).to_contain_text("well")
    desk.backend.running = [Process("worker-1", "worker", desk.backend.time, 1, "the disk is full")]
    expect(page.get_by_role("listitem").filter(has_text="worker-1")).to_contain_text("the disk is full", timeout=10_000)
    expect(page.get_by_text("No decision API is running")).to_be_visible()


# ------------------------------------------------------------------ the editor


def open_editor(page: Page, desk: Desk, name: str = "marta") -> None:
    page.set_viewport_size({"width": 1800, "height": 1000})
    sign_in(page, desk, name)
    page.goto(f"{desk.url}/editor?file={FILE}&line=20")
    page.locator(".cm-content").wait_for()


def test_two_people_at_one_file_lose_nothing(browser: Browser, desk: Desk) -> None:
    """The second to save is told, sees what differs, and decides; what gives way is set aside."""
    from playwright.sync_api import expect

    pages = [browser.new_context().new_page() for _ in range(2)]
    for page, name in zip(pages, ("marta", "ed"), strict=True):
        open_editor(page, desk, name)
        page.locator(".cm-line").first.click()
        page.keyboard.press("Home")
        page.keyboard.type(f"# seen by {name}\n")
    hers, his = pages
    hers.get_by_role("button", name="Save draft").click()
    expect(hers.locator("#save-state")).to_have_text("Saved in the draft")
    his.get_by_role("button", name="Save draft").click()
    expect(his.get_by_text("marta has changed this file meanwhile.")).to_be_visible()
    his.get_by_text("What differs between theirs and yours").click()
    expect(his.locator("#conflict-difference .add")).to_have_text("+# seen by ed")
    expect(his.locator("#conflict-difference .del")).to_have_text("-# seen by marta")
    his.get_by_role("button", name="Keep mine").click()
    expect(his.locator("#save-state")).to_have_text("Saved in the draft")
    his.reload()
    expect(his.locator(".cm-line").first).to_have_text("# seen by ed")
    his.get_by_text("Set aside (1)").click()
    his.get_by_text(re.compile("^marta, .*replaced in a conflict")).click()
    expect(his.locator(".set-aside pre")).to_contain_text("# seen by marta")

    hers.locator(".cm-line").first.click()
    hers.keyboard.type("# and once more ")
    hers.keyboard.press("Control+s")
    expect(hers.get_by_text("ed has changed this file meanwhile.")).to_be_visible()
    hers.get_by_role("button", name="Keep theirs").click()
    expect(hers.locator(".cm-line").first).to_have_text("# seen by ed")
    expect(hers.get_by_role("button", name="Save draft")).to_be_disabled()
    for page in pages:
        page.context.close()


def test_leaving_with_unsaved_work_is_asked_about(page: Page, desk: Desk) -> None:
    open_editor(page, desk)
    page.locator(".cm-line").first.click()
    page.keyboard.type("# not saved ")
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.goto(f"{desk.url}/rules")
    assert asked == ["beforeunload"]


def test_words_are_completed_while_typing(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    open_editor(page, desk)
    page.locator(".cm-line", has_text="cart.value, at_least: 200").click()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("- {fact: cart.rem", delay=20)
    expect(page.locator(".cm-tooltip-autocomplete li").first).to_contain_text("cart.removals")
    page.wait_for_timeout(200)  # the editor takes no Enter for a proposal that nobody can have read yet
    page.keyboard.press("Enter")
    page.keyboard.type(", at_l", delay=20)
    expect(page.locator(".cm-tooltip-autocomplete li").first).to_contain_text("at_least")
    page.wait_for_timeout(200)
    page.keyboard.press("Enter")
    page.keyboard.type("1")
    expect(page.locator("#sentence")).to_contain_text("cart removals is at least 1")
    expect(page.locator("#check-state")).to_have_text("No mistakes")


def test_a_viewer_reads_and_can_not_type(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    open_editor(page, desk, "vic")
    before = page.locator(".cm-content").inner_text()
    page.locator(".cm-line").first.click()
    page.keyboard.type("mine")
    assert page.locator(".cm-content").inner_text() == before
    expect(page.get_by_role("button", name="Save draft")).to_have_count(0)
    expect(page.get_by_text("Editing needs the role editor.")).to_be_visible()


def test_line_ends_of_windows_survive_an_edit(page: Page, desk: Desk) -> None:
    """Every byte that nobody edited stays."""
    from playwright.sync_api import expect

    live = desk.backend.live()
    assert live is not None
    text = "# first\r\n" + live.sources[FILE].replace("\n", "\r\n")
    desk.backend.publish({**live.sources, FILE: text}, "ed", "From Windows")
    open_editor(page, desk)
    page.locator(".cm-line").first.click()
    page.keyboard.press("End")
    page.keyboard.type(" line")
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_have_text("Saved in the draft")
    now = desk.backend.live()
    assert now is not None
    assert Drafts(desk.backend.tables).read(now.sources).files[FILE].text == text.replace("# first", "# first line")


def test_a_server_that_does_not_answer_leaves_the_text_where_it_is(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    open_editor(page, desk)
    page.route("**/editor/save", lambda route: route.abort())
    page.locator(".cm-line").first.click()
    page.keyboard.type("# keep me ")
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Your text is still here")
    page.unroute("**/editor/save")
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#save-state")).to_have_text("Saved in the draft")


def test_work_survives_a_session_that_ended_and_began_anew_in_another_tab(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    open_editor(page, desk)
    page.locator(".cm-line").first.click()
    page.keyboard.type("# typed before lunch ")
    page.context.clear_cookies()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Sign in again in another tab")
    other = page.context.new_page()
    sign_in(other, desk)
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#save-state")).to_have_text("Saved in the draft")


def test_a_home_screen_that_gets_no_answer_says_so_until_it_does(page: Page, desk: Desk) -> None:
    from playwright.sync_api import expect

    sign_in(page, desk)
    page.route("**/now", lambda route: route.abort())
    expect(page.get_by_text("The server does not answer.")).to_be_visible(timeout=10_000)
    page.unroute("**/now")
    expect(page.get_by_text("The server does not answer.")).to_be_hidden(timeout=10_000)
