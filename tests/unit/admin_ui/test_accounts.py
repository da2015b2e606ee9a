"""People who may sign in."""

from __future__ import annotations

import pytest

from admin_ui.accounts import AccountError, Accounts, Role
from admin_ui.throttle import Throttle
from tests.unit.admin_ui.memory_backend import NOON, MemoryTables

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(MemoryTables())


def test_the_right_password_opens_and_others_do_not(accounts: Accounts) -> None:
    accounts.add("marta", Role.PUBLISHER, PASSWORD, NOON)
    found = accounts.verify("marta", PASSWORD)
    assert found is not None
    assert found.role is Role.PUBLISHER
    assert accounts.verify("marta", PASSWORD + "x") is None
    assert accounts.verify("nobody", PASSWORD) is None
    assert accounts.verify("marta/../x", PASSWORD) is None


def test_the_password_itself_is_nowhere(accounts: Accounts) -> None:
    account = accounts.add("marta", Role.EDITOR, PASSWORD, NOON)
    assert account.password.startswith("scrypt:")
    assert PASSWORD not in repr(account)


def test_a_new_password_changes_the_stamp_that_sessions_carry(accounts: Accounts) -> None:
    before = accounts.add("marta", Role.EDITOR, PASSWORD, NOON).stamp
    accounts.set_password("marta", "another long password")
    after = accounts.get("marta")
    assert after is not None
    assert after.stamp != before


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [("marta", "short", "10"), ("", PASSWORD, "no user name"), ("a b", PASSWORD, "no user name"), ("known", PASSWORD, "already")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_sentence(accounts: Accounts, name: str, password: str, says: str) -> None:
    accounts.add("known", Role.VIEWER, PASSWORD, NOON)
    with pytest.raises(AccountError, match=says):
        accounts.add(name, Role.VIEWER, password, NOON)


def test_changing_nobody_is_refused(accounts: Accounts) -> None:
    for change in (
        lambda: accounts.remove("nobody"),
        lambda: accounts.set_role("nobody", Role.EDITOR),
        lambda: accounts.set_password("nobody", PASSWORD),
    ):
        with pytest.raises(AccountError, match="no user nobody"):
            change()


def test_each_role_may_what_the_one_before_may() -> None:
    assert Role.PUBLISHER.may(Role.EDITOR)
    assert Role.EDITOR.may(Role.VIEWER)
    assert not Role.EDITOR.may(Role.PUBLISHER)
    assert not Role.VIEWER.may(Role.EDITOR)


def test_a_guesser_waits_until_the_oldest_failure_is_out_of_the_window() -> None:
    throttle = Throttle(3, 1000)
    for moment in (0, 100, 200):
        assert throttle.wait("marta", moment) == 0
        throttle.failed("marta", moment)
    assert throttle.wait("marta", 300) == 700
    assert throttle.wait("ed", 300) == 0
    assert throttle.wait("marta", 1000) == 0


def test_a_success_wipes_the_slate() -> None:
    throttle = Throttle(1, 1000)
    throttle.failed("marta", 0)
    throttle.forget("marta")
    assert throttle.wait("marta", 1) == 0
