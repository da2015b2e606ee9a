"""Ids are never given out twice, and a forked process does not go on where its parent was."""

from service.api.unguessable import PAGE, _Pages, random_hex


def test_no_bytes_are_given_out_twice_over_several_pages(monkeypatch):
    numbers = iter(range(10))
    monkeypatch.setattr(
        "os.urandom", lambda count: bytes([next(numbers)]) * (count // 2) + b"\xff" * (count - count // 2)
    )
    pages = _Pages()
    taken = [pages.take(1_000) for _ in range(5)]
    assert [len(each) for each in taken] == [1_000] * 5
    assert (taken[0][0], taken[4][0]) == (0, 1), "the rest of a page that is too short is left"
    pages.begin()
    assert pages.take(1) == b"\x02"


def test_the_text_has_two_characters_a_byte_and_is_another_each_time():
    texts = [random_hex(10) for _ in range(PAGE // 5)]
    assert {len(each) for each in texts} == {20}
    assert len(set(texts)) == len(texts)
