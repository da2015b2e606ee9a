"""Keys of the example shop: made at its first start, kept where only this user can read them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from engine.ports import Tables
from engine.values import EpochMs
from service.keys import KeyKind, Scope, create, listed, revoke

PAGE_KEY = "shop-page.key"
SHOPPERS_KEY = "shop-shoppers.key"


def read_key(data_dir: Path, name: str) -> str:
    """The text of a key that `prepare_keys` made. Raises `FileNotFoundError` where it did not."""
    return (data_dir / "secrets" / name).read_text("ascii").strip()


def prepare_keys(tables: Tables, data_dir: Path, origins: Sequence[str], now: EpochMs) -> None:
    """Make the page's storefront key, for the origins of its page, and the simulated shoppers' server key.

    A key that is there and valid is kept; the page's is made anew when its origins or scopes changed.
    """
    valid = {key.id: key for key in listed(tables) if key.revoked is None}
    # The page's panel shows reasons, which a real shop keeps to itself: hence the scope `read` on a key that all can see.
    page = frozenset({Scope.EVENTS, Scope.DECIDE, Scope.READ})
    wanted = (
        (PAGE_KEY, "example shop page", KeyKind.STOREFRONT, page, tuple(origins)),
        (SHOPPERS_KEY, "simulated shoppers", KeyKind.SERVER, frozenset(Scope), ()),
    )
    for file, name, kind, scopes, allowed in wanted:
        try:
            key = valid.get(read_key(data_dir, file).split("_")[2])
        except (FileNotFoundError, IndexError):
            key = None
        if key is None or set(key.origins) != set(allowed) or key.scopes != scopes:
            if key is not None:
                revoke(tables, key.id, now)
            _, text = create(tables, name, kind, now, scopes=scopes, origins=allowed)
            _keep(data_dir / "secrets" / file, text)


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
    partial.replace(path)
