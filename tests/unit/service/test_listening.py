"""Addresses that can't be taken."""

from __future__ import annotations

import pytest

from service.listening import PortTakenError, listen


def test_a_port_in_use_is_a_sentence_that_says_what_to_do() -> None:
    with (
        listen("127.0.0.1", 0, "admin") as taken,
        pytest.raises(PortTakenError, match=r"choose another with --port or the setting admin\.port"),
    ):
        listen("127.0.0.1", taken.getsockname()[1], "admin")


def test_an_address_of_another_machine_names_the_setting_of_the_host() -> None:
    with pytest.raises(PortTakenError, match=r"see the setting api\.host"):
        listen("192.0.2.1", 0, "api")
