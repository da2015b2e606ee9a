"""What the admin UI can be told when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.values import Millis

MIN_SECRET = 32
"""Characters of a secret key: 32 hexadecimal ones are 128 bits."""


@dataclass(frozen=True, slots=True)
class Options:
    """Frozen options of the application.

    Attributes:
        secret_key: Signs session cookies and CSRF tokens; the same in every process, kept from start to start.
        is_https: Whether browsers reach it over HTTPS; then cookies are sent over HTTPS only.
        session: How long a sign-in lasts without a request.
        proxies: How many reverse proxies in front add `X-Forwarded-*`; 0 trusts none.
        shop_url: Where the shop can be seen, for a link on the home screen; None leaves the link out.
    """

    secret_key: str = field(repr=False)
    is_https: bool = False
    session: Millis = 12 * 60 * 60 * 1000
    proxies: int = 0
    shop_url: str | None = None

    def __post_init__(self) -> None:
        if len(self.secret_key) < MIN_SECRET:
            message = f"the secret key of the admin UI has {len(self.secret_key)} characters, it needs {MIN_SECRET}"
            raise ValueError(message)
