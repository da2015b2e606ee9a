"""The phrases as Jinja filters, with the time of the request and the shop's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import Flask
from markupsafe import Markup

from admin_ui.context import backend, timezone
from admin_ui.phrases import ago, at, because, local_input, number, plural, title
from engine.values import EpochMs


def install(app: Flask) -> None:
    """Add the filters; times are told on the shop's own clock."""

    def absolute(time: EpochMs) -> str:
        return at(time, ZoneInfo(timezone()))

    def when(time: EpochMs) -> Markup:
        iso = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            iso, absolute(time), ago(time, backend().now())
        )

    app.add_template_filter(absolute, "at")
    app.add_template_filter(when, "when")
    app.add_template_filter(title, "title_of")
    app.add_template_filter(number, "number")
    app.add_template_filter(plural, "plural")
    app.add_template_filter(lambda time: local_input(time, timezone()), "local_input")
    app.add_template_filter(because, "because")
    app.jinja_env.globals["timezone"] = timezone
