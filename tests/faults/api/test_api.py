"""A short run of the API's rows of `make faults`. What is a matter of time on a busy machine is printed there, not judged here."""

import random

import pytest

from service.signing import Signing
from tests.faults.api import limits, outages, overload
from tests.faults.scenarios import Bounds
from tests.unit.service.altered import put_altered
from tests.unit.service.small_shop import Installation, sources

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("faults")]


@pytest.mark.redis
def test_64_clients_never_get_more_than_limits_allow_whatever_is_killed(tmp_path, redis_required):
    (row,) = limits.limits(tmp_path, 1, Bounds(6, 9))
    assert row.is_kept, row
    assert row.figure.startswith("0 oversold")


@pytest.mark.redis
def test_without_redis_and_with_a_slow_one_every_answer_is_200_and_names_it(tmp_path, redis_required):
    rows = list(outages.redis_gone(tmp_path, 1, Bounds(1, 6)))
    assert [row.faults for row in rows] == ["cut off, 150 requests", "answering after 5 s, 150 requests"]
    for row in rows:
        assert row.figure.startswith("150 with 200, 150 that name what is missing, 150 with the fallbacks"), row


def test_under_five_times_the_capacity_storefronts_are_answered_and_others_refused(tmp_path):
    """How much is left of the peak is printed by `make faults`."""
    peak, load, *_ = overload.overloaded(tmp_path, 6.0)
    good = [reply for reply in load.of(200) if b'"degraded":[]' in reply.body]
    assert peak.of(200)
    assert sum(reply.number % 2 == 0 for reply in good) > len(good) / 2, "storefronts before servers"
    assert load.of(503), "refused, not kept waiting"
    assert not load.of(0), "no connection is lost"
    assert not [reply for reply in load.replies if reply.status not in {200, 503, -1}]


def test_reloads_on_several_processes_cost_no_request_and_mix_no_revisions(tmp_path):
    (row,) = overload.reloads_under_load(tmp_path, 1, Bounds(3, 30))
    assert " 0 errors, 0 answers of two revisions, of 4 revisions" in row.figure, row


def test_the_last_good_one_is_kept_from_bundles_that_nobody_vouches_for(tmp_path):
    """Another seed than the thousand of the unit test."""
    installation = Installation(tmp_path, Signing(tmp_path, shared=True))
    installation.publisher.publish(sources(), "anna", "")
    found = put_altered(installation, random.Random(16), 80)
    installation.close()
    assert (found.activated, found.named, found.kept, found.right_is_taken) == (0, 80, 80, True)
