"""Drools 10.2 as a peer: executable model, pseudo clock, one KieSession a shopper. Needs Java 17 and Maven.

The Maven project beside this file is built once into the user's cache. The rules are written from the same workload,
in the formulation that was the fastest of those tried: `docs/engine-benchmarks.md` names them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import PeerMissingError

PROJECT = Path(__file__).resolve().parent
HEAP = "8g"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the last pass over the stream. Times are microseconds an event, bytes those of a session, all kept.

    `process_us` is the CPU time of the whole process: garbage collection is in it, and what the JIT compiler still does
    in the last pass. `thread_us` is that of the thread that runs the rules alone; ratios are taken to this one, the
    kinder to Drools.
    """

    build_s: float
    thread_us: float
    process_us: float
    median_us: float
    p999_us: float
    session_bytes: float
    firings: float
    text: str


def is_built() -> bool:
    """Whether `build` would find the classes and jars, and need neither Maven nor a network."""
    return _place().is_dir()


def _place() -> Path:
    sources = sorted(path for path in PROJECT.rglob("*") if path.suffix in (".java", ".xml"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salience-drools" / digest


def build() -> Path:
    """The folder with the classes and jars, made by Maven where it is not there yet.

    Raises:
        PeerMissingError: Java or Maven is missing, or Maven failed.
    """
    built = _place()
    if shutil.which("java") is None:
        raise PeerMissingError("Java is not installed")
    built.parent.mkdir(parents=True, exist_ok=True)
    with (built.parent / "lock").open("w") as lock:  # two runs may build at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.is_dir():
            if shutil.which("mvn") is None:
                raise PeerMissingError("Maven is not installed")
            partial = built.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(PROJECT, partial, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            goals = ["compile", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
            done = subprocess.run(
                ["mvn", "-q", "-B", *goals], cwd=partial, capture_output=True, text=True, check=False, timeout=600
            )
            if done.returncode:
                raise PeerMissingError(f"Maven failed: {(done.stdout or done.stderr).strip()[-500:]}")
            partial.rename(built)
    return built


def run(
    mode: str, rules: str, streams: Sequence[Sequence[Sequence[object]]], passes: int = 2, timeout: float = 900
) -> list[Figures]:
    """Run streams, one after the other, through the same rules in one process.

    Args:
        mode: `shop` (STREAM mode; an event moves the clock) or `three` (a fact comes, is matched, and goes).
        rules: DRL.
        streams: For each event: the number of its session, its time in ms, then the columns that `Main` reads.
        passes: How often each stream is run; the last is measured, those before warm the JIT compiler up.
        timeout: In seconds, for all.

    Returns:
        The figures of each stream.

    Raises:
        PeerMissingError: It could not be built, or gave up.
    """
    built = build()
    with tempfile.TemporaryDirectory() as folder:
        drl = Path(folder, "rules.drl")
        drl.write_text(rules, encoding="utf-8")
        outs = []
        arguments = [mode, str(drl), str(passes)]
        for number, lines in enumerate(streams):
            stream, out = Path(folder, f"events{number}.tsv"), Path(folder, f"firings{number}.txt")
            stream.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
            arguments += [str(stream), str(out)]
            outs.append(out)
        command = ["java", "-XX:+UseSerialGC", f"-Xmx{HEAP}", "-Xms1g", "-Xss16m"]
        command += ["-cp", f"{built / 'target' / 'classes'}{os.pathsep}{built / 'jars'}/*", "salience.Main"]
        try:
            done = subprocess.run(
                [*command, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired as late:
            raise PeerMissingError(f"Drools was not done after {timeout:.0f} s") from late
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no word of why"]
            raise PeerMissingError(f"Drools ended with {done.returncode}: {said[0][:300]}")
        lines_said = done.stdout.strip().splitlines()[-len(outs) :]
        return [
            Figures(**json.loads(line), text=out.read_text(encoding="utf-8"))
            for line, out in zip(lines_said, outs, strict=True)
        ]


def shop_rules(document: Mapping[str, Any], rules: int | None = None) -> str:
    """The rules of the shop workload in DRL.

    Three rules count over the windows into facts, and the workload's rules look at these. Written directly, with the
    windows in each rule, Drools took about three times as long and fired wrongly where an event leaves a window in
    the step in which another enters it. `exists` keeps a fact that changed and still matches from firing again.
    """
    windows = document["windows_ms"]
    texts = ["package salience;", "global salience.Hits hits;"]
    texts += [
        f"""\
rule "{counted}" salience 10 when
  $shopper : Shopper()
  accumulate({counted}() over window:time({windows[window]}ms); $n : count(1))
then modify($shopper) {{ {setter}($n.intValue()) }} end"""
        for counted, window, setter in (
            ("CheckoutView", "checkout", "setCheckouts"),
            ("Purchase", "purchase", "setPurchases"),
        )
    ]
    texts.append(f"""\
rule "ProductView" salience 10 when
  $views : Views($category : category)
  accumulate(ProductView(category == $category) over window:time({windows["view"]}ms); $n : count(1))
then modify($views) {{ setCount($n.intValue()) }} end""")
    texts += [
        f"""\
rule "r{number}" when
  exists Shopper(tier == "{rule["tier"]}", checkouts > 0, purchases == 0, total > {rule["total_over"]})
  exists Views(category == "{rule["category"]}", count >= {rule["min_views"]})
then hits.add({number}); end"""
        for number, rule in enumerate(document["rules"][:rules])
    ]
    return "\n".join(texts)


def shop_lines(events: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """The events of the shop workload as `run` takes them."""
    sessions: dict[str, int] = {}
    return [
        (
            sessions.setdefault(event["sid"], len(sessions)),
            event["ts"],
            event["type"],
            *(event.get(name, "") for name in ("category", "price", "tier")),
        )
        for event in events
    ]


def three_rules(rules: Iterable[tuple[int, int, int]]) -> str:
    """The rules with three tests on one event in DRL."""
    texts = ["package salience;", "global salience.Hits hits;"]
    texts += [
        f'rule "r{number}" when Viewed(category == "c{category}", price > {price}, size >= {size}) '
        f"then hits.add({number}); end"
        for number, (category, price, size) in enumerate(rules)
    ]
    return "\n".join(texts)
