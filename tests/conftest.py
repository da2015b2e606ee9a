"""What all tests share: reproducible generation, real servers, and strictness where nothing may be skipped."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.strictness", "tests.servers.fixtures"]

# Settings of the person's shell must not change what a test sees.
for _name in [name for name in os.environ if name.startswith("SALIENCE_") and name != "SALIENCE_DATA"]:
    del os.environ[_name]

# No deadline: a slow machine is no failure. Derandomized: the same cases on every machine; HYPOTHESIS_PROFILE=explore
# looks for new ones and prints how to have a failure again.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=200, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))
