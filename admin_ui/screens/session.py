"""Sign in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf

from admin_ui.accounts import Accounts
from admin_ui.context import backend, parts
from admin_ui.security import begin_session

blueprint = Blueprint("session", __name__)


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """The form."""
    return render_template("sign_in.html", next=_inside(request.args.get("next")))


@blueprint.post("/sign-in")
def enter() -> ResponseReturnValue:
    """Check name and password; the answer does not tell which of them was wrong."""
    name = request.form.get("name", "").strip()
    target = _inside(request.form.get("next"))
    now = backend().now()
    address = request.remote_addr or "unknown"
    by_name, by_address = parts().by_name, parts().by_address
    wait = max(by_name.wait(f"{address}/{name}", now), by_address.wait(address, now))
    if wait:
        minutes = -(-wait // 60_000)
        message = f"Too many tries. Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again."
        return render_template("sign_in.html", next=target, name=name, error=message), 429
    account = Accounts(backend().tables).verify(name, request.form.get("password", ""))
    if account is None:
        by_name.failed(f"{address}/{name}", now)
        by_address.failed(address, now)
        message = "This name and password don't go together."
        return render_template("sign_in.html", next=target, name=name, error=message), 401
    by_name.forget(f"{address}/{name}")
    begin_session(account)
    return redirect(target)


@blueprint.get("/token")
def token() -> ResponseReturnValue:
    """A fresh token, for a page that was open while its session ended and another began: its work must not be lost."""
    return {"token": generate_csrf()}


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    return redirect(url_for("session.sign_in"))


def _inside(target: str | None) -> str:
    """A path of ours, or the home screen: a sign-in must not send people to another site."""
    if target:
        parsed = urlsplit(target)
        if not parsed.scheme and not parsed.netloc and target.startswith("/") and not target.startswith(("//", "/\\")):
            return target
    return url_for("home.show")
