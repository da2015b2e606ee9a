"""The search for cycles is put off inside, and on again after, whoever else is inside."""

import gc

import pytest

from service.collecting import collection_put_off


def test_it_is_on_again_when_the_last_one_leaves() -> None:
    assert gc.isenabled()
    with collection_put_off():
        assert not gc.isenabled()
        with collection_put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="a slip"), collection_put_off():
        raise ValueError("a slip")
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with collection_put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
