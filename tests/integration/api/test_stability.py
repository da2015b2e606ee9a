"""Static stability: an API that starts while everything around it is gone decides by the last good bundle on its disk."""

import pytest

from tests.faults.api.outages import START_WITHIN_S, started_alone


@pytest.mark.redis
@pytest.mark.parametrize("how", ["refusing", "silent"])
def test_with_kafka_redis_and_admin_gone_the_first_decision_is_of_the_last_good_bundle(tmp_path, redis_required, how):
    """What is promised is 5 s. A busy machine takes longer for the mere start, so that is measured, too, and taken off."""
    alone, before = started_alone(tmp_path, how)
    _, usual, ready, events = before
    assert (ready["status"], events) == ("ready", 202)
    made, seconds, ready, events = alone
    assert (made["revision"], ready["status"], events) == (1, "degraded", 503)
    assert made["placements"][0]["offers"][0]["offer"] == "standard_banner"
    assert made["degraded"][0]["code"] == "state_unavailable"
    assert {each["code"] for each in ready["degraded"]} >= {"ruleset", "keys"}
    assert seconds - usual < START_WITHIN_S, f"{seconds:.1f} s, and {usual:.1f} s with everything there"
