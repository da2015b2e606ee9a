"""Who may do what, and what browsers are told: sessions, roles, CSRF, rate limits, security headers."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from flask import Flask, Response, abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from admin_ui.accounts import Account, Accounts, Role
from admin_ui.context import backend, may
from admin_ui.options import Options

P = ParamSpec("P")
R = TypeVar("R")

OPEN = frozenset({"session.sign_in", "session.enter", "assets"})
"""Endpoints that need no sign-in."""

csrf = CSRFProtect()


def protect(app: Flask, options: Options) -> None:
    """Put every request of the application behind sign-in, CSRF tokens and security headers."""
    app.config.update(
        SECRET_KEY=options.secret_key,
        SESSION_COOKIE_NAME="salience_admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=options.is_https,
        PERMANENT_SESSION_LIFETIME=timedelta(milliseconds=options.session),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session; a tab left open over lunch must still be able to save
        MAX_CONTENT_LENGTH=4 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=4 * 1024 * 1024,
    )
    csrf.init_app(app)
    app.before_request(_admit)
    app.after_request(_headers)
    app.context_processor(lambda: {"csp_nonce": csp_nonce, "may": may, "Role": Role, "person": g.get("account")})


def begin_session(account: Account) -> None:
    """Begin a session; whatever an earlier one held is dropped, so that a planted cookie gains nothing."""
    session.clear()
    session.permanent = True
    session["user"] = account.name
    session["stamp"] = account.stamp


def _admit() -> ResponseReturnValue | None:
    """Let the request in, or send it to the sign-in; roles and removals count at once."""
    if request.endpoint in OPEN:
        return None
    name = session.get("user")
    account = Accounts(backend().tables).get(name) if isinstance(name, str) else None
    if account is not None and secrets.compare_digest(account.stamp, str(session.get("stamp"))):
        g.account = account
        return None
    # Not all of the session: a page that goes on asking in one tab must not spoil the sign-in form of another.
    session.pop("user", None)
    session.pop("stamp", None)
    target = url_for("session.sign_in", next=request.full_path.rstrip("?") if request.method == "GET" else None)
    if request.headers.get("HX-Request"):
        response = Response(status=401)
        response.headers["HX-Redirect"] = url_for("session.sign_in")
        return response
    if request.is_json:
        return {"error": "Your session has ended. Sign in again in another tab, then try once more."}, 401
    return redirect(target)


def needs(role: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only people with this role in; others get the forbidden page."""

    def wrap(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if not may(role):
                abort(403, f"This needs the role {role}.")
            return view(*args, **kwargs)

        return guarded

    return wrap


def csp_nonce() -> str:
    """The nonce of this answer, for the one style sheet that the editor makes at run time."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(18)
    return str(g.csp_nonce)


def _headers(response: Response) -> Response:
    nonce = csp_nonce()
    policy = (
        "default-src 'none'; script-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers.setdefault("Content-Security-Policy", policy)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    if request.endpoint != "assets":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
