"""Signed revisions: what nobody vouches for is never served, and the refusal names the key or the revision."""

from __future__ import annotations

import random
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.bundle import Bundle, BundleError, Revision
from service.control import LIVE, PUBLISHING
from service.last_good import LastGood
from service.publisher import PublishRefusedError
from service.ruleset_holder import RulesetHolder
from service.signing import PublicKey, Signing, SigningError
from tests.unit.service.altered import put_altered
from tests.unit.service.small_shop import Installation, sources, with_threshold


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Installation]:
    """An installation on shared tables, with a first revision."""
    installation = Installation(tmp_path, Signing(tmp_path, shared=True))
    installation.publisher.publish(sources(), "anna", "")
    yield installation
    installation.close()


def live_of(shop: Installation) -> Revision:
    live = shop.publisher.live()
    assert live is not None
    return live


def put_live(shop: Installation, revision: Revision) -> None:
    """As somebody does who can write to the tables, and has no key."""
    shop.tables.put(PUBLISHING, LIVE, msgspec.json.encode(revision))


def foreign(tmp_path: Path) -> Signing:
    other = Signing(tmp_path / "elsewhere", shared=True)
    other.create()
    return other


def test_the_first_publication_makes_a_key_that_only_its_owner_can_read(shop: Installation) -> None:
    key = shop.signing.own()
    assert key is not None
    path = shop.folder / "secrets" / "signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert live_of(shop).signature.startswith(f"{key.id} ")
    assert (shop.folder / "trusted_keys" / f"{key.id}.pub").read_text() == key.text + "\n"
    holder = shop.holder()
    holder.poll()
    assert holder.require().revision == live_of(shop)


def test_the_embedded_default_goes_unsigned_until_it_has_a_key(tmp_path: Path) -> None:
    shop = Installation(tmp_path)
    shop.publisher.publish(sources(), "anna", "")
    assert live_of(shop).signature == ""
    assert not (tmp_path / "secrets").exists()
    holder = shop.holder()
    holder.poll()
    assert holder.require().revision.number == 1
    shop.signing.create()
    assert shop.signing.is_required
    shop.publisher.publish(with_threshold(3), "anna", "")
    holder.poll()
    assert holder.require().revision.number == 2
    put_live(shop, msgspec.structs.replace(live_of(shop), signature=""))
    holder.poll()
    assert "not signed" in holder.problem
    shop.close()


@pytest.mark.parametrize("what", ["unsigned", "foreign", "altered", "older"])
def test_what_is_not_vouched_for_is_refused_by_name_and_the_last_good_serves(
    shop: Installation, tmp_path: Path, what: str
) -> None:
    first = live_of(shop)
    shop.clock.now += 1_000
    shop.publisher.publish(with_threshold(3), "anna", "")
    holder = shop.holder()
    holder.poll()
    good = live_of(shop)
    evil = Bundle(with_threshold(1))
    shop.control.store(evil, frozenset())
    planted = Revision(3, evil.hash, "mallory", shop.clock() + 5, "")
    other = foreign(tmp_path)
    other_key = other.own()
    assert other_key is not None
    revision, why = {
        "unsigned": (planted, "revision 3 is not signed"),
        "foreign": (other.sign(planted), f"signed by key '{other_key.id}', which is not trusted here"),
        "altered": (msgspec.structs.replace(good, number=3, bundle=evil.hash), "was altered after key"),
        "older": (first, "revision 1 is older than revision 2, which serves"),
    }[what]
    put_live(shop, revision)
    holder.poll()
    assert why in holder.problem
    assert holder.require().revision == good
    fresh = shop.holder(name="another")  # a start finds the disk's
    fresh.start()
    fresh.stop()
    if what != "older":
        assert fresh.require().revision == good
        assert why in fresh.problem


def test_a_stage_that_nobody_vouches_for_gets_a_no(shop: Installation, tmp_path: Path) -> None:
    holder = shop.holder()
    holder.poll()
    shop.on_sleep = holder.poll
    shop.publisher.signing = foreign(tmp_path)
    with pytest.raises(PublishRefusedError, match=r"worker: revision 2 is signed by key .* which is not trusted here"):
        shop.publisher.publish(with_threshold(3), "mallory", "")
    assert live_of(shop).number == 1


def test_the_last_good_bundle_on_disk_is_checked_too(shop: Installation) -> None:
    holder = shop.holder()
    holder.poll()
    kept = LastGood(shop.folder, "worker")
    found = kept.read()
    assert found is not None
    revision, _, ancestry = found
    evil = Bundle(with_threshold(1))
    kept.keep(msgspec.structs.replace(revision, bundle=evil.hash), evil, ancestry)
    put_live(shop, msgspec.structs.replace(live_of(shop), signature=""))
    fresh = shop.holder(name="another")
    fresh.start()
    fresh.stop()
    assert fresh.current is None
    assert "was altered after key" in fresh.problem


def test_no_rollback_gives_our_signature_to_what_somebody_wrote_into_the_tables(shop: Installation) -> None:
    shop.publisher.publish(with_threshold(3), "anna", "")
    evil = Bundle(with_threshold(1))
    shop.control.store(evil, frozenset())
    shop.control.record(Revision(1, evil.hash, "anna", 1, ""), shop.control.row_version(1))
    with pytest.raises(PublishRefusedError, match="revision 1 is not signed"):
        shop.publisher.rollback("the first was better", "anna", 1)
    assert live_of(shop).number == 2


def test_a_rollback_is_signed_and_served(shop: Installation) -> None:
    shop.clock.now += 1_000
    shop.publisher.publish(with_threshold(3), "anna", "")
    holder = shop.holder()
    holder.poll()
    shop.clock.now += 1_000
    shop.on_sleep = holder.poll
    shop.publisher.rollback("the first was better", "anna")
    holder.poll()
    assert holder.require().revision.restores == 1
    assert holder.problem == ""


def test_publishing_the_same_content_signs_what_was_not(tmp_path: Path) -> None:
    """An installation of before signatures: its files are at hand, so it is published again."""
    old = Installation(tmp_path)
    old.publisher.publish(sources(), "anna", "")
    old.publisher.signing = Signing(tmp_path, shared=True)
    done = old.publisher.publish(sources(), "anna", "")
    assert (done.changed, done.revision.number) == (True, 2)
    assert old.publisher.signing.accepts(done.revision)
    assert not old.publisher.publish(sources(), "anna", "").changed
    old.close()


def test_keys_rotate_without_a_moment_in_which_nothing_is_accepted(shop: Installation) -> None:
    signing, first = shop.signing, shop.signing.own()
    assert first is not None
    holder = shop.holder()
    holder.poll()
    shop.on_sleep = holder.poll
    second = signing.create()
    assert (signing.own(), signing.waiting()) == (first, second)
    with pytest.raises(SigningError, match=f"a key waits already \\({second.id}\\)"):
        signing.create()
    assert signing.accepts(live_of(shop))
    with pytest.raises(SigningError, match="signs here"):
        signing.distrust(first.id)
    assert signing.use() == second == signing.own()
    done = shop.publisher.sign_anew(live_of(shop), "anna")
    assert done.acknowledged == ("worker",)
    assert done.revision.signature.startswith(second.id)
    holder.poll()
    signing.distrust(first.id)
    assert signing.accepts(live_of(shop))
    assert holder.require().revision == live_of(shop)
    with pytest.raises(SigningError, match="no key waits"):
        signing.use()
    with pytest.raises(SigningError, match=f"no key {first.id} is trusted"):
        signing.distrust(first.id)


def test_another_host_takes_what_is_signed_once_it_trusts_the_key(shop: Installation, tmp_path: Path) -> None:
    key = shop.signing.own()
    assert key is not None
    by_folder = Signing(tmp_path / "api", shared=True)
    assert not by_folder.accepts(live_of(shop))
    by_folder.trust(PublicKey.read(key.text))
    assert by_folder.accepts(live_of(shop))
    by_settings = Signing(tmp_path / "third", [key.text + " the shop's"], shared=True)
    assert by_settings.accepts(live_of(shop))
    with pytest.raises(SigningError, match=r"setting bundle\.trusted_keys"):
        by_settings.distrust(key.id)
    with pytest.raises(SigningError, match="no key to sign with"):
        Signing(tmp_path / "fourth", [key.text], shared=False).sign(live_of(shop))


def test_key_files_that_can_not_be_used_are_one_sentence(shop: Installation) -> None:
    path = shop.folder / "secrets" / "signing.key"
    path.chmod(0o644)
    with pytest.raises(PublishRefusedError, match=r"signing\.key may be read by other users"):
        shop.publisher.publish(with_threshold(3), "anna", "")
    path.chmod(0o600)
    path.write_bytes(b"nonsense")
    with pytest.raises(SigningError, match=r"signing\.key holds no key"):
        shop.signing.own()
    for text in ("", "salience-ed25519", "salience-ed25519 AAAA", "ssh-ed25519 " + "A" * 43 + "="):
        with pytest.raises(SigningError, match="is no public key"):
            PublicKey.read(text)
    shutil.rmtree(shop.folder / "trusted_keys")
    holder = shop.holder()
    holder.poll()
    assert "not trusted here" in holder.problem


def test_of_a_thousand_altered_bundles_none_is_ever_served(shop: Installation) -> None:
    found = put_altered(shop, random.Random(15), 1_000)
    assert (found.activated, found.named, found.kept) == (0, 1_000, 1_000)
    assert found.kinds == 8
    assert found.right_is_taken
    last_good = LastGood(shop.folder, "worker").read()
    assert last_good is not None
    assert last_good[0].number == 2, "what is right is still taken, and kept"


def test_the_holder_needs_no_key_file_of_its_own(shop: Installation, tmp_path: Path) -> None:
    """Who only decides has public keys: the private one stays with the publisher."""
    key = shop.signing.own()
    assert key is not None
    only_public = Signing(tmp_path / "decides", [key.text], shared=True)
    holder = RulesetHolder(
        shop.tables, role="api", registry=tmp_path, data_dir=tmp_path / "decides", signing=only_public, clock=shop.clock
    )
    holder.poll()
    assert holder.require().revision == live_of(shop)
    assert not (tmp_path / "decides" / "secrets").exists()


def test_a_bundle_in_which_something_that_means_nothing_was_changed_is_none() -> None:
    """Its content has the hash that was signed; but nobody wrote it so."""
    written = Bundle({"vocabulary.yaml": "x"}).to_bytes()
    assert Bundle.from_bytes(written) == Bundle({"vocabulary.yaml": "x"})
    for changed in (written.replace(b'"format"', b'"Format"'), written + b" ", written.replace(b'"x"', b'"\\u0078"')):
        assert changed != written
        with pytest.raises(BundleError, match="as it was written"):
            Bundle.from_bytes(changed, Bundle({"vocabulary.yaml": "x"}).hash)
