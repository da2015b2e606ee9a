"""What a screen finds in its request: the backend, the person, the time, and the draft beside live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app, g

from admin_ui.accounts import Account, Role
from admin_ui.backend import Backend, Live
from admin_ui.compiled import Compiled, Compiler
from admin_ui.drafts import Draft, Drafts
from admin_ui.options import Options
from admin_ui.throttle import Throttle
from admin_ui.traffic import Traffic, TrafficReader

EXTENSION = "salience"
FIVE_MINUTES = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """What `create_app` was given, and what lives as long as the application.

    Five wrong passwords for a name from one address, thirty from an address over all names, in five minutes: a person
    who mistypes does not notice it, a list of leaked passwords takes years.
    """

    backend: Backend
    options: Options
    compiler: Compiler
    traffic: TrafficReader = field(default_factory=TrafficReader)
    by_name: Throttle = field(default_factory=lambda: Throttle(5, FIVE_MINUTES))
    by_address: Throttle = field(default_factory=lambda: Throttle(30, FIVE_MINUTES))


def parts() -> Parts:
    """The parts of the current application."""
    return cast("Parts", current_app.extensions[EXTENSION])


def backend() -> Backend:
    """The rest of Salience."""
    return parts().backend


def person() -> Account:
    """Who is signed in; only where `security` has let the request in."""
    return cast("Account", g.account)


def may(role: Role) -> bool:
    """Whether the person has the role."""
    account = cast("Account | None", g.get("account"))
    return account is not None and account.role.may(role)


def live() -> Live | None:
    """What serves now, looked up once in a request."""
    if "live" not in g:
        g.live = backend().live()
    return cast("Live | None", g.live)


def drafts() -> Drafts:
    """The store of the draft."""
    return Drafts(backend().tables)


def draft() -> Draft:
    """The draft, read once in a request."""
    if "draft" not in g:
        g.draft = drafts().read(live_sources())
    return cast("Draft", g.draft)


def live_sources() -> dict[str, str]:
    """The live files; empty before the first publication."""
    current = live()
    return {} if current is None else dict(current.sources)


def draft_sources() -> dict[str, str]:
    """All files with the draft's in place."""
    return draft().sources(live_sources())


def compiled_draft() -> Compiled:
    """The draft, checked and compiled."""
    return parts().compiler.compile(draft_sources())


def timezone() -> str:
    """The shop's own time zone, in which people read and write times; UTC before anything is live."""
    current = live()
    return "UTC" if current is None else current.program.vocabulary.timezone


def traffic() -> Traffic:
    """The counters of the last day."""
    return parts().traffic.read(backend().activity, backend().now())
