"""Signed revisions: who may say what the rules are, whoever can write to the control tables.

A publisher signs each revision, and with it the hash of its bundle, by Ed25519; a process that decides activates only what
a key signed that it trusts. Private keys are on publishers' disks, trusted public keys on the disks of those who decide or
in their settings, never in the tables.

| in the data folder | |
|---|---|
| `secrets/signing.key` | the private key that signs here |
| `secrets/signing.next.key` | one that waits to take its place |
| `trusted_keys/<id>.pub` | public keys that are trusted here |

Where the tables are files of the same folder, whoever can write to them can as well write the keys: so the embedded
default goes unsigned, until it has a key.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.bundle import Revision

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX = "salience-ed25519"
DOMAIN = b"salience revision 1\0"
"""So that no signature of anything else is ever one of a revision."""
ONLY_OWNER = 0o600


class SigningError(Exception):
    """A key that can't be used, or a revision that is not signed as it must be; the message names it."""


class PublicKey(msgspec.Struct, frozen=True):
    """A key that may be trusted. Its id is a hash of it, so that nobody can give two keys one name."""

    raw: bytes

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """As it is handed on: one line."""
        return f"{PREFIX} {base64.b64encode(self.raw).decode()}"

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """Read such a line; raises `SigningError`."""
        word, _, rest = text.strip().partition(" ")
        try:
            raw = base64.b64decode(rest.partition(" ")[0], validate=True)
        except ValueError:
            raw = b""
        if word != PREFIX or len(raw) != 32:
            raise SigningError(f"{text.strip()[:60]!r} is no public key: it reads `{PREFIX}` and 44 characters")
        return cls(raw)

    def verifies(self, content: bytes, signature: bytes) -> bool:
        """Whether its private key signed this."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  the embedded default never needs it
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, content)
        except InvalidSignature:
            return False
        return True


class Signing:
    """The keys of this host. They are read when they are used, so that a change holds at once.

    Args:
        data_dir: Folder of the installation.
        trusted: Public keys that the settings name, as lines.
        shared: Whether others can write to the control tables: then nothing unsigned is activated.
    """

    def __init__(self, data_dir: Path, trusted: Sequence[str] = (), *, shared: bool) -> None:
        self._own = data_dir / "secrets" / "signing.key"
        self._next = data_dir / "secrets" / "signing.next.key"
        self._folder = data_dir / "trusted_keys"
        self._named = tuple(trusted)
        self._shared = shared

    # -------------------------------------------------------------- keys

    @property
    def is_required(self) -> bool:
        """Whether a revision must be signed to be activated here."""
        return self._shared or bool(self.trusted())

    def trusted(self) -> dict[str, PublicKey]:
        """Keys that are trusted here, by id; raises `SigningError` for one that can't be read."""
        found = [PublicKey.read(line) for line in self._named]
        try:
            found += (PublicKey.read(path.read_text("ascii")) for path in sorted(self._folder.glob("*.pub")))
        except (OSError, UnicodeDecodeError) as error:
            raise SigningError(f"the trusted keys in {self._folder} can't be read: {error}") from error
        return {key.id: key for key in found}

    def own(self) -> PublicKey | None:
        """The public half of the key that signs here; None where there is none. Raises `SigningError`."""
        key = _read_private(self._own)
        return None if key is None else _public(key)

    def waiting(self) -> PublicKey | None:
        """The public half of the one that waits."""
        key = _read_private(self._next)
        return None if key is None else _public(key)

    def create(self) -> PublicKey:
        """Make a key and trust it here. The first one signs from now on; a later one waits until `use`.

        Raises:
            SigningError: one waits already, or the file can't be written.
        """
        path = self._own if _read_private(self._own) is None else self._next
        if path is self._next and _read_private(path) is not None:
            raise SigningError(f"a key waits already ({_id_of(self.waiting())}); use that one first")
        return self._make(path)

    def use(self) -> PublicKey:
        """Let the key that waits sign from now on; the one before it is destroyed, and stays trusted."""
        key = self.waiting()
        if key is None:
            raise SigningError("no key waits; make one with `salience signing create`")
        try:
            self._next.replace(self._own)
        except OSError as error:
            raise SigningError(f"{self._own} can't be written: {error.strerror}") from error
        return key

    def trust(self, key: PublicKey) -> None:
        """Trust a key here; raises `SigningError`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f".{key.id}.{os.getpid()}.{secrets.token_hex(4)}"
            draft.write_text(key.text + "\n", "ascii")
            draft.replace(self._folder / f"{key.id}.pub")
        except OSError as error:
            raise SigningError(f"{self._folder} can't be written: {error.strerror}") from error

    def distrust(self, key_id: str) -> None:
        """Trust a key no more; raises `SigningError` where it can't be."""
        if key_id in {PublicKey.read(line).id for line in self._named}:
            raise SigningError(f"key {key_id} is trusted by the setting bundle.trusted_keys; take it out there")
        if key_id == _id_of(self.own()):
            raise SigningError(f"key {key_id} signs here; make another with `salience signing create` and `use` first")
        path = self._folder / f"{key_id}.pub"
        if path not in self._folder.glob("*.pub"):
            raise SigningError(f"no key {key_id} is trusted here; `salience signing list` shows those that are")
        path.unlink()

    # -------------------------------------------------------------- revisions

    def sign(self, revision: Revision) -> Revision:
        """The revision as it is published: signed, wherever it must be. Makes the first key where one is needed.

        Raises:
            SigningError: the key can't be made or read, or is not trusted on this very host.
        """
        key = _read_private(self._own)
        if key is None:
            if not self._shared:
                if self.trusted():
                    raise SigningError("only signed rules are taken here, and this host has no key to sign with: "
                                       "publish where the key is, or make one with `salience signing create`")  # fmt: skip
                return revision
            self._make(self._own)
            key = _read_private(self._own)
            assert key is not None
        public = _public(key)
        if public.id not in self.trusted():
            raise SigningError(f"key {public.id} signs here and is not trusted here; `salience signing trust` it")
        signature = base64.b64encode(key.sign(_content(revision))).decode()
        return msgspec.structs.replace(revision, signature=f"{public.id} {signature}")

    def check(self, revision: Revision, serving: Revision | None = None) -> None:
        """Raise `SigningError` for a revision that must not be activated here.

        An old revision is vouched for, too: where one `serving` is newer, nobody goes back by putting the old one in its
        place. Going back is a new revision.
        """
        if not revision.signature:
            if self.is_required:
                raise SigningError(f"revision {revision.number} is not signed, and only signed ones are activated here; "
                                   "publish it again")  # fmt: skip
            return
        key_id, _, text = revision.signature.partition(" ")
        key = self.trusted().get(key_id)
        if key is None:
            if not self.is_required:
                return
            raise SigningError(f"revision {revision.number} is signed by key {key_id[:40]!r}, which is not trusted here; if it "
                               "is yours, trust it with `salience signing trust`")  # fmt: skip
        try:
            signature = base64.b64decode(text, validate=True)
        except ValueError:
            signature = b""
        if not key.verifies(_content(revision), signature):
            raise SigningError(f"revision {revision.number} was altered after key {key_id} signed it")
        if serving is not None and revision.number < serving.number and revision.time < serving.time:
            raise SigningError(f"revision {revision.number} is older than revision {serving.number}, which serves; "
                               "`salience rollback` goes back")  # fmt: skip

    def accepts(self, revision: Revision) -> bool:
        """Whether it may be activated here."""
        try:
            self.check(revision)
        except SigningError:
            return False
        return True

    def _make(self, path: Path) -> PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  as above

        key = Ed25519PrivateKey.generate()
        self.trust(_public(key))
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_OWNER), "wb") as file:
                file.write(base64.b64encode(key.private_bytes_raw()) + b"\n")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # of several processes that make the first key, the first one's counts
        except OSError as error:
            raise SigningError(f"{path} can't be written: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
        made = _read_private(path)
        assert made is not None
        public = _public(made)
        if public != _public(key):
            (self._folder / f"{_public(key).id}.pub").unlink(missing_ok=True)
            self.trust(public)
        return public


def _content(revision: Revision) -> bytes:
    """What is signed: all of the revision, in one form."""
    return DOMAIN + msgspec.json.encode(msgspec.structs.replace(revision, signature=""), order="deterministic")


def _read_private(path: Path) -> Ed25519PrivateKey | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SigningError(f"{path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise SigningError(f"{path} may be read by other users (mode {mode:o}): chmod 600, and make another key")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  as above

    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw.strip(), validate=True))
    except ValueError:
        raise SigningError(f"{path} holds no key; put it back from a copy, or remove it and make another") from None


def _public(key: Ed25519PrivateKey) -> PublicKey:
    public: Ed25519PublicKey = key.public_key()
    return PublicKey(public.public_bytes_raw())


def _id_of(key: PublicKey | None) -> str | None:
    return None if key is None else key.id
