"""The tutorial for operators, done by the letter: each file written, each command run, each answer compared."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from service.cli import cli
from service.control import Control
from service.settings import load
from service.wiring import Wiring
from service.worker import loop
from service.worker.counts import NUMBERS
from service.worker.messages import REJECTIONS
from service.worker.process import WorkerProcess

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-operator.md"
BLOCK = re.compile(r"^```(yaml|csv|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Terminal:
    """Where the steps are done; a worker runs beside it, as in the second terminal of the page."""

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self._thread: threading.Thread | None = None

    def write(self, name: str, text: str) -> None:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def answer(self, command: str) -> str:
        program, *arguments = shlex.split(command)
        assert program == "salience"
        if arguments == ["worker"]:
            return self._start_worker()
        self._await_worker()
        result = CliRunner().invoke(cli, arguments, standalone_mode=False)
        assert result.exception is None, result.exception
        return result.output

    def close(self) -> None:
        if self.worker is not None and self._thread is not None:
            self.worker.stop()
            self._thread.join(30)

    def _start_worker(self) -> str:
        self.worker = WorkerProcess(load(environ={}).settings, watch=True)
        self._thread = threading.Thread(target=self.worker.run, daemon=True)
        self._thread.start()
        revision = self.worker.holder.require(30_000).revision
        return f"serving revision {revision.number}\n"

    def _await_worker(self) -> None:
        """Until everything in the log is evaluated, the folder is seen to, and the heartbeat says so."""
        worker = self.worker
        if worker is None:
            return
        with Wiring(load(environ={}).settings) as wiring:
            control = Control(wiring.tables())
            source = wiring.event_source("onlooker")

            def is_settled() -> bool:
                written = sum(source.ends().values())
                live, _ = control.live()
                report = next(iter(control.processes(time.time_ns() // 1_000_000)), None)
                return (
                    report is not None
                    and report.counts.get("read") == written
                    and report.counts.get("partitions", 0) > 0
                    and report.counts["outputs_waiting"] == 0
                    and live is not None
                    and report.revision == live.number
                    and bool(control.folder()[0].path)
                )

            _until(is_settled)
            threading.Event().wait(1.0)  # the watcher has looked at what was saved
            _until(is_settled)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.05)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.chdir(tmp_path)
    made = Terminal()
    yield made
    made.close()


def test_every_step_does_what_the_page_says(terminal: Terminal) -> None:
    commands = 0
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        first, _, rest = text.partition("\n")
        if kind == "console":
            answer = terminal.answer(first.removeprefix("$ "))
            expected = ".*".join(map(re.escape, rest.rstrip("\n").split("...")))
            assert re.fullmatch(expected, _spread(answer, first).rstrip("\n"), re.DOTALL), answer
            commands += 1
        elif commands < 8 or not first.endswith("salience.yaml"):
            terminal.write(first.removeprefix("# "), rest)
    assert commands >= 8


def _spread(answer: str, command: str) -> str:
    """JSON as a terminal shows it: a pipe gets it in one line."""
    if "--json" not in command:
        return answer
    return msgspec.json.format(answer.encode(), indent=2).decode()


def test_every_counter_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    names = {*NUMBERS, "lag", "outputs_waiting", "busy_ms"} - {"batches"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_every_code_of_a_dead_letter_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    assert [code for code, meaning in REJECTIONS.items() if f"| `{code}` | {meaning} |" not in page] == []


def test_the_bound_on_waiting_outputs_is_the_one_of_the_code() -> None:
    assert f"above {loop.OUTBOX_FULL:,} the worker stops reading" in PAGE.read_text("utf-8")
