"""One peer, in a process of its own: prints its CPU microseconds an event and what fired, as a JSON line."""

from __future__ import annotations

import argparse
import importlib
import json

from benchmarks.three import drawn_events, drawn_rules


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name", choices=["clips", "zen", "durable"])
    parser.add_argument("rules", type=int)
    parser.add_argument("events", type=int)
    parser.add_argument("sessions", type=int)
    options = parser.parse_args()
    peer = importlib.import_module(f"benchmarks.peers.{options.name}_peer")
    print(json.dumps(peer.measure(drawn_rules(options.rules), drawn_events(options.events, options.sessions))))


if __name__ == "__main__":
    main()
