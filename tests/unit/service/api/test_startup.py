"""The services of a process, opened and closed with the embedded stores."""

import asyncio

from service.api.startup import open_services
from service.settings import load


def test_what_the_last_second_counted_is_told_at_the_end(tmp_path):
    settings = load(environ={"SALIENCE_DATA_DIR": str(tmp_path)}, folder=tmp_path).settings

    async def served():
        services, closing = await open_services(settings)
        services.metrics.requests.count("decide", "200")
        services.metrics.seconds.note(0.25, "decide")
        await closing()
        return services.metrics.registry

    registry = asyncio.run(served())
    of = {"endpoint": "decide"}
    assert registry.get_sample_value("salience_api_requests_total", {**of, "status": "200"}) == 1
    assert registry.get_sample_value("salience_api_seconds_sum", of) == 0.25
