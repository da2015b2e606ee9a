"""Engines that people use today, run on the same work: `python -m benchmarks.peers NAME RULES EVENTS SESSIONS`.

Each runs in a process of its own, since native parts keep what they allocate. One that is not installed raises
`PeerMissingError`, and the benchmark says so in its table.
"""


class PeerMissingError(RuntimeError):
    """The peer is not installed, could not be built, or gave up; the message says which."""
