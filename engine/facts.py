"""The port of facts: what is known of customers, and of the things of the catalogue."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from engine.values import Millis


class FactKind(enum.StrEnum):
    """Whose facts; also the name of the topic that says them."""

    PROFILES = "profiles"
    CATALOGUE = "catalogue"


class FactChange(msgspec.Struct, frozen=True):
    """What a partition of a topic says of a customer or a thing: `facts` as JSON, None where it is no more."""

    id: str
    offset: int
    facts: bytes | None


FORGOTTEN_MS: Millis = 30 * 86_400_000
"""So long other systems can't bring back who was forgotten: as long as the law gives them for forgetting, too."""


class FactStore(Protocol):
    """Facts as JSON bytes: of customers by customer id, or of things of the catalogue by `thing_id`."""

    def get(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Those that are known; of whom was forgotten it is known that there is nothing: `{}`."""

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """Replace or (None) delete, whatever was before: who puts, knows."""

    def forget(self, ids: Sequence[str]) -> None:
        """Delete, and for `FORGOTTEN_MS` take nothing of them but by `put`."""

    def learn(self, facts: Mapping[str, bytes]) -> Collection[str]:
        """Replace by what another system says; those that stay as they are, since they were forgotten or deleted by a topic."""

    def follow(self, partition: int, begin: int, changes: Sequence[FactChange]) -> int | None:
        """Take what a partition of the topic says from `begin` on, in order, and note how far that is.

        A key's older change never takes the place of a newer one, whoever brings it.

        Returns:
            How many were left out as forgotten. None: the store does not stand at `begin`, so that something would be missing
            before: read on from where `followed` says.
        """

    def followed(self) -> Mapping[int, int]:
        """The offset of the topic that is to be read next, by partition; those that were never read are left out."""

    def close(self) -> None:
        """Let go."""


def thing_id(kind: str, key: object) -> str:
    """The id of a thing in the catalogue: its kind is the attribute of events that its key comes from."""
    return f"{kind}/{key}"
