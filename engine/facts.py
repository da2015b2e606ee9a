"""The port of facts: what is known of customers, and of the things of the catalogue."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class FactKind(enum.StrEnum):
    """Whose facts; also the name of the topic that says them."""

    PROFILES = "profiles"
    CATALOGUE = "catalogue"


class FactChange(msgspec.Struct, frozen=True):
    """What a partition of a topic says of a customer or a thing: `facts` as JSON, None where it is no more."""

    id: str
    offset: int
    facts: bytes | None


class FactStore(Protocol):
    """Facts as JSON bytes: of customers by customer id, or of things of the catalogue by `thing_id`."""

    def get(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Those that are known."""

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """Replace or (None) delete."""

    def follow(self, partition: int, changes: Sequence[FactChange]) -> None:
        """Take what a partition of the topic says, in order, and note how far that is.

        A key's older change never takes the place of a newer one, whoever brings it.
        """

    def followed(self) -> Mapping[int, int]:
        """The offset of the topic that is to be read next, by partition; those that were never read are left out."""

    def close(self) -> None:
        """Let go."""


def thing_id(kind: str, key: object) -> str:
    """The id of a thing in the catalogue: its kind is the attribute of events that its key comes from."""
    return f"{kind}/{key}"
