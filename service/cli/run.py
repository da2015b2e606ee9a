"""`salience run`: everything on this machine, in one terminal that stays readable."""

from __future__ import annotations

import contextlib
import http.client
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType

import click
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
    rows = Table.grid(padding=(0, 2))
    rows.add_row(
        "Shop", f"[bold]http://{settings.shop.host}:{settings.shop.port}/[/]", "add things to the cart, open “Why?”"
    )
    rows.add_row("Admin UI", f"http://{settings.admin.host}:{settings.admin.port}/", _sign_in(sign_in))
    rows.add_row("Decision API", f"http://{settings.api.host}:{settings.api.port}/", "/openapi.json describes it")
    rows.add_row("Data, logs", str(settings.data_dir), "remove the folder to start over")
    rows.add_row("", "", "")
    rows.add_row("Try", "Fill the cart over 200 EUR, open the checkout, go back to the cart: a banner is there.", "")
    rows.add_row("", "In the admin UI, Rules > free_shipping_nudge > Edit: make it 100, publish; the shop follows.", "")
    rows.add_row("", "salience status · salience why --session ID · salience test · salience --help", "")
    return Panel(
        rows, title=f"Salience is running ({seconds:.0f} s)", subtitle="Ctrl-C ends it", expand=False, padding=(1, 2)
    )


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
