"""`salience run`: everything on this machine, in one terminal that stays readable."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import click
from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from config.schema import Settings
from service.cli.console import stderr, stdout
from service.cli.invocation import Failure, Invocation, pass_invocation
from service.run.supervisor import Child, ChildError, Supervisor
from service.settings import Loaded

READY_MS = 60_000  # imports of NumPy and ONNX Runtime in four processes on two busy cores take seconds, not minutes
LOOK_SECONDS = 0.5


class _StopAsked(Exception):  # noqa: N818  it is no error
    """SIGINT or SIGTERM came."""


@click.command("run")
@click.option("--no-shoppers", is_flag=True, help="Start without simulated shoppers.")
@pass_invocation
def command(invocation: Invocation, no_shoppers: bool) -> None:
    """Start everything: decision API, worker, admin UI, example shop and its simulated shoppers.

    Without addresses of Kafka and Redis in the settings everything is embedded, in the folder data_dir. The first start
    trains the model and publishes the example rules. Ctrl-C ends it all; the data stays for the next start.
    """
    from service.run.prepare import StartError, check_ground, prepare  # noqa: PLC0415  `--help` answers without it

    loaded = invocation.having(shop__sessions_per_minute=0 if no_shoppers else None).loaded
    settings = loaded.settings
    began = time.monotonic()
    err = stderr()

    def say(text: str) -> None:
        err.print(f"salience: {text}")

    try:
        check_ground(settings)
        sign_in = prepare(settings, loaded.environment(), int(time.time() * 1000), say)
    except StartError as error:
        raise Failure(str(error)) from error
    supervisor = Supervisor(_children(loaded), say)
    with _signals():
        try:
            supervisor.start()
            supervisor.await_ready(lambda: _all_ready(settings), READY_MS)
            stdout().print(_welcome(settings, sign_in, time.monotonic() - began))
            while True:
                supervisor.look()
                time.sleep(LOOK_SECONDS)
        except _StopAsked:
            say("stopping")
        except ChildError as error:
            raise Failure(str(error)) from error
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave children behind
            supervisor.stop()


def _children(loaded: Loaded) -> list[Child]:
    settings = loaded.settings
    cli = [sys.executable, "-m", "service.cli"]
    programs = {
        "worker": [*cli, "worker"],
        "api": [*cli, "api"],
        "admin": [*cli, "admin"],
        "shop": [sys.executable, "-m", "service.shop"],
    }
    if settings.shop.sessions_per_minute:
        programs["shoppers"] = [sys.executable, "-m", "service.shop.traffic"]
    logs = settings.data_dir / "logs"
    environment = loaded.environment()
    return [Child(name, argv, environment, logs / f"{name}.log") for name, argv in programs.items()]


def _all_ready(settings: Settings) -> bool:
    return all(
        _answers(host, port, path)
        for host, port, path in (
            (settings.api.host, settings.api.port, "/readyz"),
            (settings.shop.host, settings.shop.port, "/healthz"),
            (settings.admin.host, settings.admin.port, "/sign-in"),
        )
    )


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=2)  # noqa: S104
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _welcome(settings: Settings, sign_in: Mapping[str, str], seconds: float) -> Panel:
    places = Table.grid(padding=(0, 2))
    places.add_row("Shop", f"[bold]http://{settings.shop.host}:{settings.shop.port}/[/]")
    places.add_row("Admin UI", f"http://{settings.admin.host}:{settings.admin.port}/", _sign_in(sign_in))
    places.add_row("Decision API", f"http://{settings.api.host}:{settings.api.port}/", "described by /openapi.json")
    places.add_row("Data, logs", str(settings.data_dir), "remove the folder to start over")
    steps = Table.grid(padding=(0, 2))
    steps.add_row("1", "In the shop, fill the cart over 200 EUR, open the checkout, go back to the cart:")
    steps.add_row("", "a banner offers free delivery, and “Why?” says why. One shopper in ten is held out")
    steps.add_row("", "and sees none; a private window is another shopper.")
    steps.add_row("2", "Fill a second cart, in a private window, with 150 to 200 EUR; in the admin UI open")
    steps.add_row("", "Rules > Free shipping nudge, make 200 a 150, and 199.99 in its test a 149.99;")
    steps.add_row("", "publish: the open cart follows.")
    steps.add_row("3", f"{_own_command()} status, validate, test, why --session ID, --help")
    return Panel(
        Group(places, "", "[bold]What to try[/]", steps),
        title=f"Salience is running ({seconds:.0f} s)",
        subtitle="Ctrl-C ends it",
        expand=False,
        padding=(1, 2),
    )


def _own_command() -> str:
    """How this shell would call `salience`: it may lie in an environment that is not on the path."""
    beside = Path(sys.executable).with_name("salience")
    if shutil.which("salience") == str(beside):
        return "salience"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def _sign_in(sign_in: Mapping[str, str]) -> str:
    password = sign_in.get("password")
    return f"sign in as {sign_in['name']} / {password}" if password else f"sign in as {sign_in['name']}"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise _StopAsked

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
