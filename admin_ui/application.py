"""The application factory."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from admin_ui import filters, security
from admin_ui.backend import Backend
from admin_ui.compiled import Compiler
from admin_ui.context import EXTENSION, Parts, draft, live
from admin_ui.options import Options
from admin_ui.screens import editor, history, home, publish, rules, session, simulate, why
from engine.ports import PortError

STATIC = Path(__file__).with_name("static")


def create_app(backend: Backend, options: Options) -> Flask:
    """Make the application; it starts no thread and opens nothing by itself.

    Args:
        backend: The rest of Salience.
        options: Frozen options.
    """
    app = Flask("admin_ui", static_folder=None, template_folder="templates")
    app.extensions[EXTENSION] = Parts(backend, options, Compiler(backend))
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    if options.proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask's documentation says
            app.wsgi_app, x_for=options.proxies, x_proto=options.proxies, x_host=options.proxies
        )
    security.protect(app, options)
    filters.install(app)
    _serve_assets(app)
    for screen in (session, home, rules, editor, simulate, publish, history, why):
        app.register_blueprint(screen.blueprint)
    app.context_processor(_frame)
    _explain_errors(app)
    return app


def _frame() -> dict[str, object]:
    """What the frame around every screen shows; it must come up also when the tables are gone."""

    def look(read: object) -> object:
        try:
            return read()  # type: ignore[operator]
        except PortError:
            return None

    return {"frame_live": lambda: look(live), "frame_draft": lambda: look(draft)}


def _serve_assets(app: Flask) -> None:
    """Serve static files below their common hash, so that browsers keep them for good and never mix versions.

    ES modules import each other by relative paths, so the hash must be in the path, not in a query.
    """
    digest = hashlib.sha256()
    for file in sorted(STATIC.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(STATIC).as_posix().encode() + b"\0" + file.read_bytes())
    version = digest.hexdigest()[:12]

    def assets(version: str, path: str) -> Response:
        response = send_from_directory(STATIC, path)
        is_current = version == app.config["ASSETS_VERSION"]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_current else "no-store"
        return response

    app.config["ASSETS_VERSION"] = version
    app.add_url_rule("/assets/<version>/<path:path>", "assets", assets)
    app.jinja_env.globals["asset"] = lambda path: url_for("assets", version=version, path=path)


def _explain_errors(app: Flask) -> None:
    """Every error is a page with a plain sentence and a way on; htmx gets the part that it can put in place."""

    def answer(code: int, title: str, text: str) -> ResponseReturnValue:
        if request.is_json:
            return {"error": text}, code
        if request.headers.get("HX-Request"):
            return render_template("parts/error.html", title=title, text=text), code
        return render_template("error.html", code=code, title=title, text=text), code

    @app.errorhandler(CSRFError)
    def no_token(error: CSRFError) -> ResponseReturnValue:
        if request.is_json:
            return {"error": "Your session has changed. Try once more.", "code": "token"}, 400
        return answer(
            400,
            "This page was open for too long",
            "Nothing was changed. Load the page again, then repeat what you did.",
        )

    @app.errorhandler(PortError)
    def unreachable(error: PortError) -> ResponseReturnValue:
        app.logger.warning("a port failed: %s", error)
        return answer(
            503,
            "Something that is needed can't be reached",
            f"Nothing was changed, and the shop goes on with the last live revision. What failed: {error}",
        )

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        titles = {
            403: "You may look at this, but not do it",
            404: "There is no such page",
            413: "That is too much at once",
        }
        texts = {403: f"{error.description} Ask somebody who has it.", 413: "Send at most 4 MB."}
        if code == 404 and not error.description:
            texts[404] = "The address is wrong, or what was there is gone."
        return answer(code, titles.get(code, error.name), texts.get(code, error.description or error.name))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> ResponseReturnValue:
        app.logger.error("a screen failed", exc_info=error)
        return answer(
            500, "This screen failed", f"That is our fault, not yours. Nothing was changed. ({type(error).__name__})"
        )
