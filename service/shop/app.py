"""The example shop's server: one page, its assets, the catalogue, and where the decision API is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from flask import Flask, Response, jsonify, request, send_from_directory

from service.shop.catalogue import catalogue, people

STATIC = str(files("service.shop").joinpath("static"))
SNIPPET = str(files("service").joinpath("static"))
PAGES = ("/", "/category/<name>", "/product/<name>", "/cart", "/checkout", "/thanks", "/help")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where the page finds the rest of the house: ports on the host that the page came from, and a storefront key."""

    api_port: int
    admin_port: int
    key: str


def create_app(neighbours: Neighbours) -> Flask:
    """The WSGI application."""
    app = Flask(__name__, static_folder=STATIC, static_url_path="/static")

    def page(name: str = "") -> Response:
        return send_from_directory(STATIC, "index.html")

    for path in PAGES:
        app.add_url_rule(path, view_func=page)

    @app.get("/salience.js")
    def snippet() -> Response:
        return send_from_directory(SNIPPET, "salience.js")

    @app.get("/config.json")
    def configuration() -> Response:
        return jsonify(
            endpoint=_beside(neighbours.api_port),
            admin=_beside(neighbours.admin_port),
            key=neighbours.key,
            products=catalogue(),
            people=[
                {"id": customer, "name": profile["customer.first_name"], "tier": profile["customer.tier"]}
                for customer, profile in people(0).items()
            ],
        )

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {_beside(neighbours.api_port)}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    return app


def _beside(port: int) -> str:
    """The origin of another port of the host by which the visitor reached this one."""
    host = request.host.rsplit(":", 1)[0]
    return f"{request.scheme}://{host}:{port}"
