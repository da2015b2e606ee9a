"""Problem details: stable slugs, and the field as a JSON pointer."""

import msgspec
import pytest

from service.api.problems import PROBLEMS, ProblemError, field_problem
from service.api.schema import DecideRequest


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "/"),
        (b"{}", "/session_id"),
        (b'{"session_id": 1}', "/session_id"),
        (b'{"session_id": "s", "placements": []}', "/placements"),
        (b'{"session_id": "s", "placements": ["a", 7]}', "/placements/1"),
        (b'{"session_id": "s", "placements": ["a"], "nonsense": 1}', "/nonsense"),
        (b'{"session_id": "s", "placements": ["a"], "a/b~c": 1}', "/a~1b~0c"),
        (b'{"session_id": "s", "placements": ["a"], "deadline_ms": 0}', "/deadline_ms"),
        (
            b'{"session_id": "s", "placements": ["a"], "events": [{"type": "x", "session_id": 5}]}',
            "/events/0/session_id",
        ),
    ],
)
def test_the_field_that_does_not_fit_is_named(body, field):
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(body, type=DecideRequest)
    problem = field_problem(refused.value)
    assert problem.field == field
    assert problem.status == 400
    assert "$" not in problem.detail


def test_every_problem_type_says_what_to_do():
    for slug, kind in PROBLEMS.items():
        assert slug == slug.lower()
        assert 400 <= kind.status < 600
        assert kind.advice.endswith(".")


def test_a_problem_reads_as_rfc_9457_has_it():
    problem = ProblemError("log-full", "Nothing was taken.", retry_after=1).problem("r1")
    assert msgspec.to_builtins(problem) == {
        "type": "urn:salience:problem:log-full",
        "title": "The event log is full for now",
        "status": 429,
        "detail": "Nothing was taken.",
        "request_id": "r1",
        "retry_after": 1,
    }
