"""Who gets in, what they may do, and what browsers are told."""

from __future__ import annotations

import pytest
from flask import Flask

from admin_ui.accounts import Accounts, Role
from admin_ui.options import Options
from tests.unit.admin_ui.conftest import PASSWORD, Visitor
from tests.unit.admin_ui.memory_backend import MemoryBackend

SCREENS = ("/", "/now", "/rules", "/editor", "/simulate", "/publish", "/history", "/history/compare", "/why")
CHANGES = (
    ("/rules/robots.too_fast/switch", Role.EDITOR),
    ("/editor/save", Role.EDITOR),
    ("/editor/aside", Role.EDITOR),
    ("/editor/discard", Role.EDITOR),
    ("/editor/accept", Role.EDITOR),
    ("/editor/remove", Role.EDITOR),
    ("/editor/add", Role.EDITOR),
    ("/publish", Role.PUBLISHER),
    ("/history/1/rollback", Role.PUBLISHER),
)


@pytest.mark.parametrize("path", SCREENS)
def test_every_screen_asks_a_stranger_to_sign_in_and_leads_back(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/sign-in?next=")


def test_every_route_but_a_few_is_behind_the_sign_in(app: Flask, stranger: Visitor) -> None:
    """A new screen that forgets nothing needs nothing: the door is in front of all of them."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint in {"session.sign_in", "session.enter", "assets"}:
            continue
        path = rule.rule.replace("<int:number>", "1").replace("<rule_id>", "x").replace("<ticket>", "x")
        path = path.replace("<decision_id>", "x").replace("<session_id>", "x")
        if "GET" in (rule.methods or ()):
            assert stranger.get(path).status_code == 302, path


@pytest.mark.parametrize("path", SCREENS)
def test_every_screen_comes_up_for_a_viewer(viewer: Visitor, path: str) -> None:
    assert viewer.get(path).status_code == 200


@pytest.mark.parametrize(("path", "role"), CHANGES)
def test_a_viewer_changes_nothing(viewer: Visitor, backend: MemoryBackend, path: str, role: Role) -> None:
    answer = viewer.post(path)
    assert answer.status_code == 403
    assert f"needs the role {role}" in answer.text
    assert len(backend.revisions) == 1
    assert not backend.tables.rows("drafts")


def test_an_editor_publishes_nothing(editor: Visitor, backend: MemoryBackend) -> None:
    assert editor.post("/publish").status_code == 403
    assert editor.get("/history/1/rollback").status_code == 403
    assert editor.post("/rules/robots.too_fast/switch", {"on": "0", "how": "now"}).status_code == 403
    assert len(backend.revisions) == 1


@pytest.mark.parametrize(
    "path", [path for path, _ in CHANGES] + ["/sign-in", "/sign-out", "/simulate", "/editor/check"]
)
def test_a_change_without_the_token_is_refused(publisher: Visitor, backend: MemoryBackend, path: str) -> None:
    answer = publisher.client.post(path, data={"on": "0", "how": "now", "reason": "x", "note": "x"})
    assert answer.status_code == 400
    assert "open for too long" in answer.text
    assert len(backend.revisions) == 1


def test_a_removed_user_is_out_at_the_next_click(publisher: Visitor, backend: MemoryBackend) -> None:
    assert publisher.get("/").status_code == 200
    Accounts(backend.tables).remove("marta")
    assert publisher.get("/").status_code == 302


def test_a_new_password_ends_the_sessions_of_the_old_one(publisher: Visitor, backend: MemoryBackend) -> None:
    Accounts(backend.tables).set_password("marta", "another long password")
    assert publisher.get("/").status_code == 302


def test_a_lower_role_counts_at_the_next_click(publisher: Visitor, backend: MemoryBackend) -> None:
    Accounts(backend.tables).set_role("marta", Role.VIEWER)
    assert publisher.post("/publish").status_code == 403


def test_signing_out_ends_the_session(publisher: Visitor) -> None:
    publisher.post("/sign-out")
    assert publisher.get("/").status_code == 302


def test_a_page_that_goes_on_asking_does_not_spoil_the_sign_in_of_another_tab(stranger: Visitor) -> None:
    token = stranger.token()
    assert stranger.get("/now", HX_Request="true").status_code == 401
    form = {"csrf_token": token, "name": "marta", "password": PASSWORD}
    assert stranger.client.post("/sign-in", data=form).status_code == 302


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Visitor) -> None:
    cookie = stranger.sign_in("marta").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_behind_https_the_cookie_is_sent_over_https_only(backend: MemoryBackend) -> None:
    from admin_ui.application import create_app

    visitor = Visitor(create_app(backend, Options("s" * 40, is_https=True)).test_client())
    token = visitor.client.get("/sign-in", base_url="https://localhost")
    assert "Secure" in token.headers["Set-Cookie"]


def test_the_answer_does_not_tell_which_of_name_and_password_was_wrong(stranger: Visitor) -> None:
    wrong_password = stranger.sign_in("marta", "not the password")
    wrong_name = stranger.sign_in("nobody")
    assert wrong_password.status_code == wrong_name.status_code == 401
    assert "don&#39;t go together" in wrong_password.text
    assert "don&#39;t go together" in wrong_name.text


def test_guessing_is_slowed_down_also_for_the_right_password(stranger: Visitor, backend: MemoryBackend) -> None:
    for _ in range(5):
        assert stranger.sign_in("marta", "a wrong password").status_code == 401
    slowed = stranger.sign_in("marta")
    assert slowed.status_code == 429
    assert "Wait 5 minutes" in slowed.text
    backend.time += 5 * 60_000
    assert stranger.sign_in("marta").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_a_sign_in_never_leads_to_another_site(stranger: Visitor, target: str) -> None:
    answer = stranger.post("/sign-in", {"name": "marta", "password": PASSWORD, "next": target})
    assert answer.headers["Location"] == "/"


def test_a_sign_in_leads_back_to_where_one_wanted_to_go(stranger: Visitor) -> None:
    answer = stranger.post("/sign-in", {"name": "marta", "password": PASSWORD, "next": "/why?q=d-1"})
    assert answer.headers["Location"] == "/why?q=d-1"


@pytest.mark.parametrize("path", ["/sign-in", "/", "/nothing", "/editor"])
def test_every_answer_carries_the_security_headers(publisher: Visitor, path: str) -> None:
    answer = publisher.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_style_nonce_differs_from_answer_to_answer(publisher: Visitor) -> None:
    policies = {publisher.get("/editor").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3


def test_assets_are_kept_for_good_below_their_hash_only(app: Flask, stranger: Visitor) -> None:
    version = app.config["ASSETS_VERSION"]
    assert "immutable" in stranger.get(f"/assets/{version}/css/salience.css").headers["Cache-Control"]
    assert stranger.get("/assets/old/css/salience.css").headers["Cache-Control"] == "no-store"
    assert stranger.get(f"/assets/{version}/../application.py").status_code == 404
    assert stranger.get(f"/assets/{version}/%2e%2e/application.py").status_code == 404


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 32"):
        Options("short")


def test_the_secret_is_not_shown() -> None:
    assert "s" * 40 not in repr(Options("s" * 40))


def test_when_the_tables_are_gone_every_screen_says_so_and_nothing_breaks(
    publisher: Visitor, backend: MemoryBackend
) -> None:
    backend.tables.is_gone = True
    answer = publisher.get("/rules")
    assert answer.status_code == 503
    assert "can&#39;t be reached" in answer.text
    assert "Try again" in answer.text
