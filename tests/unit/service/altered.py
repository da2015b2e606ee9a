"""Bundles that must not serve: invalid, truncated, unsigned, foreign, stripped, exchanged; each in the place of the live one."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec

from engine.bundle import Revision
from service.control import BUNDLES, LIVE, PUBLISHING
from service.last_good import LastGood
from service.signing import Signing
from tests.unit.service.small_shop import Installation

KINDS = 8


@dataclass
class Altered:
    """What became of them.

    Attributes:
        activated: Served, though nobody vouches for them.
        named: Refused with a sentence.
        kept: Times after which the last good one, on disk and in the process, was still that.
        right_is_taken: Whether what is right was taken in the end.
    """

    activated: int = 0
    named: int = 0
    kept: int = 0
    kinds: int = 0
    right_is_taken: bool = False


def put_altered(shop: Installation, chance: random.Random, count: int) -> Altered:
    """Put altered rows in the place of what is live, as somebody does who can write to the tables and has no key."""
    holder = shop.holder()
    holder.poll()
    good = holder.require().revision
    foreign = Signing(shop.folder / "elsewhere", shared=True)
    foreign.create()
    raw_bundle = shop.control.bundle(good.bundle).to_bytes()
    following = shop.signing.sign(msgspec.structs.replace(good, number=2, time=good.time + 1, signature=""))
    found = Altered()
    kinds = set()
    for number in range(count):
        kind = number % KINDS
        kinds.add(kind)
        live_row, bundle_row = _altered(kind, good, following, raw_bundle, foreign, chance)
        shop.tables.put(BUNDLES, good.bundle, bundle_row)
        shop.tables.put(PUBLISHING, LIVE, live_row)
        holder.poll()
        last_good = LastGood(shop.folder, "worker").read()
        found.activated += holder.require().revision != good
        found.named += bool(holder.problem)
        found.kept += holder.require().revision == good and last_good is not None and last_good[0] == good
    shop.tables.put(BUNDLES, good.bundle, raw_bundle)
    shop.tables.put(PUBLISHING, LIVE, msgspec.json.encode(following))
    holder.poll()
    found.kinds = len(kinds)
    found.right_is_taken = holder.require().revision == following
    return found


def _altered(
    kind: int, good: Revision, following: Revision, raw_bundle: bytes, foreign: Signing, chance: random.Random
) -> tuple[bytes, bytes]:
    """The row of the pointer, and that of the bundle."""
    raw_revision = msgspec.json.encode(good)
    unsigned = msgspec.structs.replace(good, number=2, time=good.time + 1, signature="")
    match kind:
        case 0:
            return flipped(chance, raw_revision.replace(b'"number":1', b'"number":2')), raw_bundle
        case 1:
            return raw_revision[: chance.randrange(1, len(raw_revision))], raw_bundle
        case 2:
            return msgspec.json.encode(unsigned), raw_bundle
        case 3:
            return msgspec.json.encode(foreign.sign(unsigned)), raw_bundle
        case 4:
            key, _, text = good.signature.partition(" ")
            cut = f"{key} {text[: chance.randrange(len(text))]}"
            return msgspec.json.encode(msgspec.structs.replace(unsigned, signature=cut)), raw_bundle
        case 5:
            return msgspec.json.encode(following), flipped(chance, raw_bundle)
        case 6:
            return msgspec.json.encode(following), raw_bundle[: chance.randrange(len(raw_bundle))]
        case _:
            changed = {chance.choice(["author", "note", "bundle"]): chance.randbytes(8).hex()}
            fields = msgspec.to_builtins(unsigned) | {"signature": good.signature} | changed
            return msgspec.json.encode(fields), raw_bundle


def flipped(chance: random.Random, raw: bytes) -> bytes:
    """One byte of it is another."""
    place = chance.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ chance.randrange(1, 256)]) + raw[place + 1 :]
