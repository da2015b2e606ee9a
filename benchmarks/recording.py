"""A real recording through a real Kafka, the engine and a real Redis, decisions asked about its sessions.

    SALIENCE_DATA=<folder of recordings> python -m benchmarks.recording
    ... --kafka HOST:PORT --redis redis://HOST:PORT/0     # servers of yours, with nothing of Salience in them

Method and figures: docs/recording.md. Ends with 1 where a count differs from the naive evaluator's.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.recording_oracle import Expected, expect, no_score
from engine.event import RawEvent
from engine.language import check
from engine.ports import NewRecord, OutputKind, PortError
from service.control import Control
from service.ruleset_folder import read_sources
from service.settings import load
from service.wiring import Wiring
from tools import servers

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "rulesets" / "rees46"
FILE = Path("rees46_sample") / "2019-Oct-sample.csv"
PLACEMENTS = ["product_strip", "cart_banner"]
PROBES = 300
LIVE_MS = 20 * 60_000  # sessions so young have surely not ended when they are asked about
MANY = 1_000_000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """Running processes and how to talk to them."""

    environment: dict[str, str]
    wiring: Wiring
    worker: subprocess.Popen[bytes]
    port: int
    key: str

    def salience(self, *arguments: str) -> Any:
        """One command, its JSON."""
        return salience(self.environment, *arguments)

    def counts(self) -> Mapping[str, int]:
        """The worker's own counters."""
        processes = Control(self.wiring.tables()).processes(time.time_ns() // 1_000_000)
        return next((each.counts for each in processes if each.role == "worker"), {})


class Api:
    """One keep-alive connection to the decision API."""

    def __init__(self, run: Run) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {run.key}", "Content-Type": "application/json"}

    def post(self, path: str, body: object) -> Any:
        """The JSON answer; ends the run on an error."""
        self._connection.request("POST", path, msgspec.json.encode(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"POST {path}: {answer.status} {text.decode()}")
        return json.loads(text)


def salience(environment: Mapping[str, str], *arguments: str) -> Any:
    """Run a command with --json; end where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments, "--json"],
        env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in {0, 1} or not done.stdout:
        raise SystemExit(f"salience {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def server_addresses(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, str]]:
    """The settings that name the servers: given ones, or a Kafka and a Redis of this run."""
    if arguments.embedded:
        yield {}
        return
    if arguments.kafka and arguments.redis:
        yield {"SALIENCE_KAFKA__BOOTSTRAP": arguments.kafka, "SALIENCE_REDIS__URL": arguments.redis}
        return
    started = subprocess.run(
        [sys.executable, "-m", "tools.servers", "start", "--dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if started.returncode:
        raise SystemExit(started.stderr)
    lines = (line.removeprefix("export ") for line in started.stdout.splitlines() if line.startswith("export "))
    try:
        yield dict(line.split("=", 1) for line in lines)
    finally:
        servers.stop(folder)


@contextlib.contextmanager
def running(environment: dict[str, str], folder: Path) -> Iterator[Run]:
    """Publish the rules; start a worker and the API, and end them."""
    published = salience(environment, "publish", str(RULES), "--note", "recording")
    print(f"published   revision {published['revision']['number']}, {published['tests']} tests passed")
    key = salience(environment, "keys", "create", "recording")["key"]
    settings = load(environ=environment).settings
    children: list[subprocess.Popen[bytes]] = []
    with (folder / "worker.log").open("wb") as worker_log, (folder / "api.log").open("wb") as api_log:
        try:
            for command, log in ((["worker", "--no-watch"], worker_log), (["api"], api_log)):
                argv = [sys.executable, "-m", "service.cli", *command]
                children.append(subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=log, stderr=log))
            with Wiring(settings) as wiring:
                run = Run(environment, wiring, children[0], settings.api.port, key)
                await_ready(run, children, folder)
                yield run
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(30)


def await_ready(run: Run, children: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    """Until the API answers and the worker holds its partitions."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if any(child.poll() is not None for child in children):
            logs = "\n".join((folder / name).read_text()[-2000:] for name in ("worker.log", "api.log"))
            raise SystemExit(f"a process ended:\n{logs}")
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=2)
            connection.request("GET", "/readyz")
            ready = connection.getresponse().status == 200
            connection.close()
            if ready and run.counts().get("partitions"):
                return
        time.sleep(0.2)
    raise SystemExit(f"worker and API were not ready within 90 s; see {folder}")


def processor_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def await_read(run: Run, records: int, seconds: float = 300) -> tuple[Mapping[str, int], float]:
    """Until so many records are evaluated and everything is sent; the counters, and when it was first seen so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counts = run.counts()
        if counts.get("read", 0) >= records and not counts.get("outputs_waiting"):
            return counts, time.monotonic()
        time.sleep(0.05)
    raise SystemExit(f"after {seconds:.0f} s the worker has read {run.counts().get('read')} of {records} records")


# ---------------------------------------------------------------------------------------------------- the parts


def replay(run: Run, file: Path) -> tuple[Any, Mapping[str, int]]:
    """Feed the file flat out; print what the worker made of it."""
    before = processor_seconds(run.worker.pid)
    began = time.monotonic()
    fed = run.salience("replay", str(file), "--mapping", "rees46", "--speed", "max", "--until-now")
    counts, ended = await_read(run, fed["appended"])
    used = processor_seconds(run.worker.pid) - before
    rows, busy = fed["rows"], counts["busy_ms"] / 1000
    print(
        f"fed         {rows:,} rows in {fed['seconds']:.1f} s ({rows / fed['seconds']:,.0f}/s), {fed['appended']:,} events in the log"
    )
    print(
        f"evaluated   {counts['read']:,} in, all state and triggers out {ended - began:.1f} s after the start (seen by the second)"
    )
    print(
        f"worker      {rows / busy:,.0f} events/s while busy ({busy:.1f} s), {used / rows * 1e6:.0f} us of processor an event"
    )
    print(
        f"outcome     {counts['applied']:,} applied, {counts['duplicates']} duplicates, {counts['dead']} dead, "
        f"{counts['late']} late, {counts['opened']:,} sessions begun, {counts['ended']:,} ended"
    )  # fmt: skip
    print(
        f"rules       {counts['activations']:,} activations, {counts['triggers']} triggers, {counts['limited']} held by limits"
    )
    return fed, counts


def sums(run: Run) -> tuple[Counter[str], dict[OutputKind, list[Any]]]:
    """Acts by rule as the sparklines count them, and everything in the topics."""
    fired: Counter[str] = Counter()
    for key, minutes in run.wiring.activity().read(0).items():
        kind, _, rule = key.partition("/")
        if kind == "fired":
            fired[rule] += sum(minutes.values())
    topics = run.wiring.outputs()
    return fired, {kind: [msgspec.json.decode(each.value) for each in topics.read(kind, MANY)] for kind in OutputKind}


def compare(
    counts: Mapping[str, int], fired: Counter[str], outputs: Mapping[OutputKind, list[Any]], expected: Expected
) -> list[str]:
    """Every count against the naive evaluator's; the differences."""
    sent = outputs[OutputKind.TRIGGER]
    triggers = Counter(each["rule"] for each in sent)
    pairs: list[tuple[str, object, object]] = [
        (name, counts[name], getattr(expected, name))
        for name in ("applied", "duplicates", "dead", "late", "opened", "ended", "held_back", "limited")
    ]
    pairs.append(("dead letters in the topic", len(outputs[OutputKind.DEAD]), expected.dead))
    pairs.append(("distinct trigger ids", len({each["id"] for each in sent}), sum(expected.triggers.values())))
    pairs += [(f"activations of {r}", fired[r], expected.fired[r]) for r in sorted({*fired, *expected.fired})]
    pairs += [(f"triggers of {r}", triggers[r], expected.triggers[r]) for r in sorted({*triggers, *expected.triggers})]
    for name, got, wanted in pairs:
        print(f"            {name:<40} {got!s:>8} {wanted!s:>8}  {'=' if got == wanted else 'DIFFERENT'}")
    return [name for name, got, wanted in pairs if got != wanted]


def decide(run: Run) -> list[Any]:
    """Ask about the sessions that the stream has seen last."""
    api = Api(run)
    now = time.time_ns() // 1_000_000
    recent = [name for name, state in run.wiring.state().recent(MANY) if state.time > now - LIVE_MS]
    outcomes: Counter[str] = Counter()
    took: list[float] = []
    answers = []
    for name in recent:
        body = {"session_id": name, "placements": PLACEMENTS, "explain": True, "deadline_ms": 5000}
        began = time.perf_counter()
        answers.append(api.post("/v1/decide", body))
        took.append(time.perf_counter() - began)
        for each in answers[-1]["placements"]:
            outcomes[f"{each['placement']} {each['offers'][0]['offer']}"] += 1
    shown = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    print(f"decisions   {len(recent):,} sessions of the last {LIVE_MS // 60_000} minutes asked: {shown}")
    print(f"            {milliseconds(took)} a decision over HTTP with its reasons, one after the other")
    return answers


def compare_decisions(answers: Sequence[Any], expected: Expected) -> list[str]:
    """The truth of each rule in each answer against the naive evaluator's at its moment."""
    wrong: list[str] = []
    compared = 0
    degraded = [each["degraded"] for each in answers if each["degraded"]]
    if degraded:
        print(f"            {len(degraded)} decisions were degraded and are left out, the first by {degraded[0]}")
    for answer in answers:
        name = answer["session_id"]
        if answer["degraded"]:
            continue
        if name not in expected.live:
            wrong.append(f"{name} should have ended")
            continue
        holding = {rule for rule, _bindings in expected.live[name].holding(answer["time"], {}, no_score)}
        for report in answer.get("rules", ()):
            compared += 1
            if (report["truth"] is True) != (report["rule"] in holding):
                wrong.append(f"{report['rule']} in {name} at {answer['time']}: {report['truth']}")
    print(f"            {'truths of rules in decisions compared':<40} {compared:>8}; {len(wrong)} differ")
    if not compared:
        wrong.append("no truth of a rule was compared")
    return wrong[:10]


def milliseconds(took: Sequence[float]) -> str:
    """p50 and p99."""
    ordered = sorted(took)
    return f"p50 {ordered[len(ordered) // 2] * 1000:.1f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1000:.1f} ms"


def probe(run: Run, label: str) -> None:
    """From sending an event to the first decision that has seen it, one shopper after the other."""
    api = Api(run)
    took, appended = [], []
    unseen: list[str] = []
    for n in range(PROBES):
        session = f"probe-{label}-{n}"
        event = {
            "id": session,
            "type": "cart_added",
            "session_id": session,
            "attributes": {"product_id": "p", "price": 150},
        }
        began = time.perf_counter()
        api.post("/v1/events", {"events": [event]})
        appended.append(time.perf_counter() - began)
        body = {"session_id": session, "placements": ["cart_banner"], "deadline_ms": 5000, "explain": True}
        while True:
            (placed,) = api.post("/v1/decide", body)["placements"]
            if placed["offers"][0]["offer"] == "free_shipping":
                took.append(time.perf_counter() - began)
                break
            if time.perf_counter() - began > 10:
                unseen.append(str(placed.get("lost") or placed["outcome"]))
                break
    print(
        f"visible     {label:<16} event to decision {milliseconds(took)}; of it the durable append {milliseconds(appended)}"
    )
    for each in unseen:
        print(f"            not shown within 10 s: {each}")


def load_while(run: Run, rate: int, stop: threading.Event) -> threading.Thread:
    """Append events of other sessions at a steady rate."""
    log = run.wiring.event_log()

    def work() -> None:
        began, sent = time.monotonic(), 0
        while not stop.is_set():
            wanted = int((time.monotonic() - began) * rate) - sent
            records = []
            for n in range(sent, sent + wanted):
                session = f"load-{n % 5000}"
                event = RawEvent(
                    "product_viewed", session, f"load-{n}", time.time_ns() // 1_000_000, None, {"price": "10.00"}
                )
                records.append(NewRecord(session, msgspec.json.encode(event)))
            if records:
                with contextlib.suppress(PortError):  # full, or closed at the end
                    log.append(records, lambda _: None)
                sent += wanted
            stop.wait(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def main() -> int:
    """Everything, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="host:port of a broker; default: one is started")
    parser.add_argument("--redis", help="redis://host:port/db; default: one is started")
    parser.add_argument("--embedded", action="store_true", help="everything in SQLite files instead")
    parser.add_argument("--load", type=int, default=1000, help="events/s beside the second series of probes")
    arguments = parser.parse_args()
    data = os.environ.get("SALIENCE_DATA")
    if not data or not (Path(data) / FILE).is_file():
        print(
            f"recording: SALIENCE_DATA does not name a folder with {FILE}, so there is nothing to replay",
            file=sys.stderr,
        )
        return 2
    file = Path(data) / FILE
    with tempfile.TemporaryDirectory(prefix="salience-recording-") as name:
        folder = Path(name)
        with server_addresses(arguments, folder / "servers") as addresses:
            environment = {each: value for each, value in os.environ.items() if not each.startswith("SALIENCE_")}
            environment |= addresses
            environment |= {
                "SALIENCE_DATA_DIR": str(folder / "data"),
                "SALIENCE_API__PORT": str(free_port()),
                # Time stands still after the last event, so that the counts are those of the file alone.
                "SALIENCE_WORKER__IDLE_MS": "3600000",
                # Generous, so that on a busy machine what is compared are decisions and not fallbacks.
                "SALIENCE_API__DEADLINE_MS": "5000",
                "SALIENCE_REDIS__TIMEOUT_MS": "2000",
            }  # fmt: skip
            print(f"servers     {', '.join(addresses.values()) or 'none: SQLite files'}")
            with running(environment, folder) as run:
                fed, counts = replay(run, file)
                answers = decide(run)
                fired, outputs = sums(run)
                probe(run, "idle")
                stop = threading.Event()
                thread = load_while(run, arguments.load, stop)
                time.sleep(1)
                probe(run, f"{arguments.load:,} events/s")
                stop.set()
                thread.join()
                settings = run.wiring.settings
    program = check(read_sources(RULES)).program
    assert program is not None
    began = time.monotonic()
    lateness = settings.worker.allowed_lateness_ms
    expected = expect(file, program, fed["shift"], settings.kafka.partitions, lateness)
    print(f"naive       the same file in {time.monotonic() - began:.1f} s; counts, the worker's first:")
    wrong = compare(counts, fired, outputs, expected) + compare_decisions(answers, expected)
    print("equal       every count and every truth" if not wrong else f"DIFFERENT   {'; '.join(map(str, wrong))}")
    return 1 if wrong else 0


def free_port() -> int:
    """A port on which nothing listens."""
    from tools.ports import free_ports  # noqa: PLC0415

    return free_ports(1)[0]


if __name__ == "__main__":
    sys.exit(main())
