"""The marketer's path in a real browser, over real processes: from signing in to taking a change back, and asking why."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from engine.event import RawEvent
from tests.browser.conftest import PASSWORD, Shop

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

NUDGE = "cart_recovery.free_shipping_nudge"


def sign_in(page: Page, url: str, name: str = "marta", password: str = PASSWORD) -> None:
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def follow(page: Page, link: Locator) -> None:
    """Click on a link, and wait until the scripts of the page that it leads to are there."""
    with page.expect_navigation():
        link.click()


def retype(page: Page, line: Locator, text: str) -> None:
    """Replace a line of the editor by another, as a person does."""
    line.first.click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    page.keyboard.type(text)
    page.keyboard.press("Escape")


def test_a_marketer_changes_a_rule_while_the_shop_runs_and_takes_it_back(page: Page, shop: Shop) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1800, "height": 1000})  # no line wraps, so that Home is the start of the line
    now = int(time.time() * 1000)
    hesitating = f"session-{now}"
    shop.send([
        RawEvent("cart_added", hesitating, "e1", now - 60_000, None, {"product_id": "p1", "category": "shoes", "quantity": 1, "price": 160}),
        RawEvent("checkout_viewed", hesitating, "e2", now - 30_000, None, {"step": "address"}),
    ])  # fmt: skip

    # Signing in
    sign_in(page, shop.admin, password="not the password")
    expect(page.get_by_role("alert")).to_contain_text("don't go together")
    sign_in(page, shop.admin)
    expect(page.get_by_role("heading", name="Live: revision 1")).to_be_visible()
    # No model is trained here, and the home screen says so of every process that serves.
    expect(page.get_by_role("listitem").filter(has_text="worker-")).to_contain_text("no version of purchase_intent")

    # The rule, as a sentence, and from there to its place in the editor
    follow(page, page.get_by_role("link", name="Rules"))
    card = page.locator(f'[id="{NUDGE}"]')
    expect(card).to_contain_text("the cart value is at least 200.00 EUR")
    follow(page, card.get_by_role("link", name="Free shipping nudge"))
    expect(page.locator("#sentence")).to_contain_text("at least 200.00 EUR")

    # A mistake is named where it is, and a click on it leads there
    retype(page, page.locator(".cm-line", has_text="cart.value, at_least: 200"), "- {fact: cart.value, at_lest: 150}")
    problem = page.get_by_role("button", name=re.compile("did you mean at_least"))
    expect(problem).to_be_visible()
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    page.locator(".cm-line").first.click()
    problem.click()
    expect(page.locator(".cm-activeLine")).to_contain_text("at_lest")
    retype(page, page.locator(".cm-line", has_text="at_lest"), "- {fact: cart.value, at_least: 150}")
    expect(page.locator("#check-state")).to_contain_text("No mistakes")
    expect(page.locator("#sentence")).to_contain_text("at least 150.00 EUR")
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#save-state")).to_contain_text("Saved in the draft")

    # What it would change for a real session
    follow(page, page.get_by_role("link", name="Simulate").first)
    page.get_by_label("Begin with").select_option(hesitating)
    page.wait_for_url(f"**/simulate?session={hesitating}")
    page.get_by_label("purchase_intent").fill("0.2")
    page.get_by_role("button", name="Simulate").click()
    banner = page.get_by_role("region", name="cart_banner")
    expect(banner).to_contain_text("differs", timeout=15_000)
    expect(banner).to_contain_text("Free shipping")
    expect(banner).to_contain_text("Standard banner")
    nudge = page.locator("details.rule-line", has_text=NUDGE)
    expect(nudge).to_contain_text("draft differs")
    nudge.locator("summary").click()
    expect(nudge).to_contain_text("cart.value is at least 150.00 EUR (is 160.00 EUR)")
    expect(nudge).to_contain_text("40.00 EUR more")

    # A test beside the rule disagrees; nothing goes live until it is settled
    follow(page, page.get_by_role("link", name="Publish").first)
    expect(page.locator("ins", has_text="150.00")).to_be_visible()
    expect(page.locator("del", has_text="200.00")).to_be_visible()
    expect(page.get_by_text("one cent below 200 is not enough")).to_be_visible()
    expect(page.get_by_role("button", name="Publish revision")).to_have_count(0)
    follow(page, page.get_by_role("link", name=re.compile("Expected standard_banner")))
    boundary = page.locator(".cm-line", has_text="price: 199.99")
    retype(
        page, boundary, "- {at: 10:00:00, cart_added: {product_id: p1, category: shoes, quantity: 1, price: 149.99}}"
    )
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved in the draft")

    # Publishing, with every process agreeing
    follow(page, page.get_by_role("link", name="Review and publish"))
    expect(page.get_by_text(re.compile(r"All \d+ tests pass"))).to_be_visible(timeout=15_000)
    page.get_by_label("Note").fill("Free shipping from 150")
    page.get_by_role("button", name="Publish revision 2").click()
    expect(page.get_by_text(re.compile("Revision 2 is live. +[23] processes loaded it"))).to_be_visible(timeout=30_000)
    expect(page.get_by_role("listitem").filter(has_text="api-")).to_contain_text("has loaded and tested it")
    expect(page.get_by_role("listitem").filter(has_text="worker-")).to_contain_text("has loaded and tested it")
    follow(page, page.get_by_role("link", name="Publish").first)
    expect(page.get_by_role("heading", name="There is nothing to publish")).to_be_visible()

    # The shop decides by it
    answer = shop.decide({"session_id": hesitating, "placements": ["cart_banner"], "context": {"context.page": "cart"}})
    assert answer["revision"] == 2

    # Taking it back
    follow(page, page.get_by_role("link", name="History"))
    expect(page.get_by_role("listitem").filter(has_text="Free shipping from 150")).to_contain_text("live")
    follow(page, page.get_by_role("link", name="What changed in revision 2"))
    expect(page.locator("ins", has_text="150.00")).to_be_visible()
    follow(page, page.get_by_role("link", name="History").first)
    page.get_by_role("link", name="Go back to this revision 1").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why?").fill("Too generous")
    dialog.get_by_role("button", name="Go back to revision 1").click()
    expect(page.get_by_text("Revision 3 is live.")).to_be_visible(timeout=30_000)
    follow(page, page.get_by_role("link", name="Rules"))
    expect(page.locator(f'[id="{NUDGE}"]')).to_contain_text("at least 200.00 EUR")

    # Why a session does not get it now
    follow(page, page.get_by_role("link", name="Why", exact=True))
    page.get_by_label("Decision or session").fill(hesitating)
    page.get_by_role("button", name="Explain").click()
    standing = page.locator("details.rule-line", has_text=NUDGE)
    expect(standing).to_contain_text("40.00 EUR more")
    follow(page, page.get_by_role("row").filter(has_text=hesitating[:10]).get_by_role("link").first)
    expect(page.get_by_role("heading", name="Why this decision")).to_be_visible()
    expect(page.get_by_text(str(answer["decision_id"]))).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
