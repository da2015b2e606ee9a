"""Children are real processes: Python programs that sleep, die or refuse to end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.run import supervisor as module
from service.run.supervisor import Child, ChildError, Supervisor

SLEEPS = "import time\nprint('awake', flush=True)\ntime.sleep(60)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('awake', flush=True)\ntime.sleep(60)"
)


def child(tmp_path: Path, program: str, name: str = "worker") -> Child:
    return Child(name, [sys.executable, "-c", program], {"MARK": "set"}, tmp_path / "logs" / f"{name}.log")


def awake(each: Child) -> bool:
    return each.log.exists() and "awake" in each.log.read_text()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_all_are_ended_also_one_that_ignores_the_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    children = [child(tmp_path, SLEEPS, "api"), child(tmp_path, STUBBORN, "worker")]
    supervisor = Supervisor(children, print)
    supervisor.start()
    supervisor.await_ready(lambda: all(map(awake, children)), 20_000)
    pids = [each.process.pid for each in children if each.process]
    supervisor.stop()
    assert not any(map(alive, pids))


def test_a_killed_child_is_started_again_and_named(tmp_path: Path) -> None:
    said: list[str] = []
    one = child(tmp_path, SLEEPS)
    supervisor = Supervisor([one], said.append)
    supervisor.start()
    try:
        supervisor.await_ready(lambda: awake(one), 20_000)
        assert one.process
        first = one.process.pid
        os.kill(first, signal.SIGKILL)
        one.process.wait()
        supervisor.look()
        assert one.process.pid != first
        assert said == [f"the worker was ended by SIGKILL; started again (log: {one.log})"]
    finally:
        supervisor.stop()


def test_a_child_that_keeps_dying_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = child(tmp_path, "import sys\nsys.exit('no such broker')")
    supervisor = Supervisor([broken], lambda _text: None)
    supervisor.start()

    def die_and_look() -> None:
        assert broken.process
        broken.process.wait()
        supervisor.look()

    for _ in range(4):
        die_and_look()
    with pytest.raises(ChildError, match=r"(?s)the worker ended with status 1, the 5th time.*no such broker"):
        die_and_look()
    supervisor.stop()


def test_a_child_that_ends_while_it_starts_is_named(tmp_path: Path) -> None:
    supervisor = Supervisor([child(tmp_path, "raise SystemExit('port taken')")], print)
    supervisor.start()
    with pytest.raises(ChildError, match=r"(?s)the worker ended while it started.*port taken"):
        supervisor.await_ready(lambda: False, 20_000)


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl, which only Linux has")
def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    program = f"""
import pathlib, time
from service.run.supervisor import Child
one = Child("worker", [{sys.executable!r}, "-c", {SLEEPS!r}], {{}}, pathlib.Path({str(tmp_path)!r}) / "w.log")
one.start()
print(one.process.pid, flush=True)
time.sleep(60)
"""
    root = Path(module.__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)
