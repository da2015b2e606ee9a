"""What a first start makes so that everything works at once: a model, keys, somebody who may sign in, a live revision."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from admin_ui.accounts import Accounts, Role
from config.schema import Settings
from engine.ports import PortError
from engine.values import EpochMs
from models.registry import ModelRegistry
from service.publisher import PublishRefusedError
from service.ruleset_folder import read_sources
from service.shop.catalogue import people
from service.shop.prepare import prepare_keys
from service.wiring import Wiring

MARKETER = "marketer"
PASSWORD_FILE = "marketer.password"  # noqa: S105  the name of a file
MODEL = "purchase_intent"


class StartError(Exception):
    """Nothing was started; the message says why and what to do."""


def check_ground(settings: Settings) -> None:
    """Raise `StartError` where the data folder can't be written or a port is taken."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"{folder} can't be written ({error.strerror}); give another folder with --set data_dir=FOLDER"
        ) from error
    for section, host, port in addresses(settings):
        if not _is_free(host, port):
            raise StartError(
                f"port {port} is in use, perhaps by another `salience run`; end that, or choose another one with "
                f"--set {section}.port={_free_near(host, port)}"
            )


def addresses(settings: Settings) -> tuple[tuple[str, str, int], ...]:
    """(settings section, host, port) of everything that listens."""
    return (
        ("shop", settings.shop.host, settings.shop.port),
        ("api", settings.api.host, settings.api.port),
        ("admin", settings.admin.host, settings.admin.port),
    )


def prepare(
    settings: Settings, environment: Mapping[str, str], now: EpochMs, say: Callable[[str], None]
) -> Mapping[str, str]:
    """Make what is missing.

    Args:
        settings: Of this start.
        environment: The same as variables, for a child process.
        now: The time.
        say: Called with a sentence for each thing that takes a while.

    Returns:
        The name and password to sign in with, once, under `name` and `password`; no password where it was changed since.

    Raises:
        StartError: The example rules don't pass, or the stores can't be reached.
    """
    registry = ModelRegistry(settings.models.registry)
    with Wiring(settings) as wiring:
        try:
            tables = wiring.tables()
            prepare_keys(tables, settings.data_dir, shop_origins(settings), now)
            wiring.profiles().put({name: msgspec.json.encode(facts) for name, facts in people(now).items()})
            if registry.latest(MODEL) is None:
                say("training the purchase-intent model on simulated shoppers, once")
                _train(environment)
            publisher = wiring.publisher()
            if publisher.live() is None:
                say(f"publishing {settings.bundle.folder.name}")
                publisher.publish(read_sources(settings.bundle.folder), "salience run", "first start")
            return _marketer(Accounts(tables), settings.data_dir / "secrets" / PASSWORD_FILE, now)
        except PublishRefusedError as refused:
            raise StartError("the rules can't be published:\n" + "\n".join(refused.reasons)) from refused
        except PortError as error:
            raise StartError(str(error)) from error


def _train(environment: Mapping[str, str]) -> None:
    """In a process of its own, so that XGBoost's memory goes with it."""
    command = [sys.executable, "-m", "service.cli", "train"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"the model could not be trained: {done.stderr.strip()}")


def shop_origins(settings: Settings) -> tuple[str, ...]:
    """The origins under which a browser reaches the example shop."""
    hosts = dict.fromkeys(("127.0.0.1", "localhost", settings.shop.host))
    return tuple(f"http://{host}:{settings.shop.port}" for host in hosts if host != "0.0.0.0")  # noqa: S104  left out


def _marketer(accounts: Accounts, file: Path, now: EpochMs) -> Mapping[str, str]:
    known = file.read_text("ascii").strip() if file.exists() else ""
    if accounts.get(MARKETER) is None:
        known = secrets.token_urlsafe(9)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(known + "\n")
        accounts.add(MARKETER, Role.PUBLISHER, known, now)
    elif not known or accounts.verify(MARKETER, known) is None:
        return {"name": MARKETER}
    return {"name": MARKETER, "password": known}


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a port just let go of is free
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_near(host: str, port: int) -> int:
    return next((other for other in range(port + 10, port + 1000, 10) if _is_free(host, other)), 0)
