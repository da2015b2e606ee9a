"""The bundle: an immutable, content-hashed set of sources and model pins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from engine.values import EpochMs

FORMAT = 1


class BundleError(ValueError):
    """Bytes that are not a bundle, or not the bundle that they claim to be; the message says which."""


class Bundle(msgspec.Struct, frozen=True):
    """Sources and pins; `hash` tells bundles apart on every machine.

    Attributes:
        sources: Text of each file by its path in the ruleset folder, `/`-separated: `vocabulary.yaml`, `offers.yaml`,
            `segments.yaml`, and every other `.yaml` file as a ruleset.
        pins: Version (content hash) of each model that the vocabulary names, by model name.
    """

    sources: Mapping[str, str]
    pins: Mapping[str, str] = {}
    format: int = FORMAT

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over the canonical form: key order and machine do not matter, every byte of a source does."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The canonical form: JSON with sorted keys."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_bytes(cls, raw: bytes, expected_hash: str | None = None) -> Bundle:
        """Read `to_bytes`; raises `BundleError` for anything else, or where the hash is not the expected one."""
        try:
            bundle = msgspec.json.decode(raw, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"not a bundle: {error}"
            raise BundleError(message) from error
        if bundle.format != FORMAT:
            message = f"bundle of format {bundle.format}, this version reads format {FORMAT}"
            raise BundleError(message)
        if expected_hash is not None and bundle.hash != expected_hash:
            message = f"bundle has hash {bundle.hash[:12]}, expected {expected_hash[:12]}"
            raise BundleError(message)
        if bundle.to_bytes() != raw:
            message = "not a bundle as it was written: something in it was changed that means nothing"
            raise BundleError(message)
        return bundle


class Revision(msgspec.Struct, frozen=True):
    """A published bundle, by its number.

    Attributes:
        number: From 1, without gaps.
        bundle: Its hash.
        author: Who published it.
        time: When.
        note: Why.
        restores: For a rollback, the number of the revision whose bundle it brought back.
        signature: By whom all of this is vouched for, as `service.signing` writes it; empty where it is not.
    """

    number: int
    bundle: str
    author: str
    time: EpochMs
    note: str
    restores: int | None = None
    signature: str = ""
