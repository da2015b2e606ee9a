"""Sessions read lately: bounded in number and age."""

from service.api.stale import Lately


def test_the_latest_of_each_session_is_kept_for_a_time():
    lately = Lately[str](stale_ms=1000)
    lately.keep("s1", None, "old", 0)
    lately.keep("s1", None, "new", 500)
    assert lately.find("s1", None, 1500) == (1000, "new")
    assert lately.find("s1", None, 1501) is None
    assert lately.find("s1", "c1", 600) is None


def test_the_least_lately_read_makes_room():
    lately = Lately[int](capacity=2)
    lately.keep("s1", None, 1, 0)
    lately.keep("s2", None, 2, 0)
    lately.keep("s1", None, 3, 0)
    lately.keep("s3", None, 4, 0)
    assert [lately.find(each, None, 0) is not None for each in ("s1", "s2", "s3")] == [True, False, True]
