"""Run the benchmarks one after the other: `python -m benchmarks [NAME ...]`; `make bench` runs all.

Each prints ratios to a peer or a limit that it measures in the same run; absolute figures are this machine's alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

BENCHMARKS = {
    "fanout": ("benchmarks.fanout", "what joins cost as the candidates of a session grow and their matches do not"),
    "shop": ("benchmarks.shop.beside", "carts, windows and tiers of a shop beside Drools and a decode of the events"),
    "three": ("benchmarks.three", "three tests on one event beside Drools, CLIPS, zen-engine and durable_rules"),
    "meaning": ("benchmarks.meaning", "the same tests and joins on durable_rules: whether the same acts come of them"),
    "sessions": ("benchmarks.sessions", "bytes and snapshots of a session, and of a million"),
    "timers": ("benchmarks.timers", "a million timers that wait, and what they cost an event and one that comes due"),
    "hostile": ("benchmarks.hostile", "a session that never stops, beside ordinary ones"),
    "questions": ("benchmarks.questions", "why not, compiling, and a reload that changes one rule"),
    "bound": ("benchmarks.bound", "a reload that changes one of many rules that bind names"),
    "decide": ("benchmarks.decide_http", "a decision over HTTP beside a no-op on the same server"),
    "budget": ("benchmarks.budget", "where the microseconds of a decision go"),
    "latency": ("benchmarks.latency", "latency at a constant rate, beside zen-engine and OPA on the same question"),
    "promised": (
        "benchmarks.promised",
        "decisions at a constant rate, with a model asked too, and 1,000 rules beside 100",
    ),
    "clients": (
        "benchmarks.kafka_clients",
        "the two clients of Kafka: a worker, its floor, how soon a trigger is seen",
    ),
    "stream": ("benchmarks.stream", "a worker on three brokers and Redis beside a bare loop of the same client"),
    "recording": (
        "benchmarks.recording",
        "a real recording through Kafka, worker, Redis and API (needs SALIENCE_DATA)",
    ),
}


def main() -> int:
    """Run those that were named, else all; the exit code is that of the first that failed."""
    named = "\n".join(f"  {name:10} {what}" for name, (_, what) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"benchmarks:\n{named}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    failed = 0
    for name in names:
        module, what = BENCHMARKS[name]
        if name == "recording" and not os.environ.get("SALIENCE_DATA"):
            print(f"\n== {name}: LEFT OUT, set SALIENCE_DATA to the folder with rees46_sample", flush=True)
            continue
        print(f"\n== {name}: {what}", flush=True)
        failed = failed or subprocess.run([sys.executable, "-m", module], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
