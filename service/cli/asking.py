"""Asking the decision API from the command line: over HTTP, or by its own code in this process."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import click
import msgspec

from config.schema import Settings
from engine.ports import PortError
from service.cli.invocation import Failure
from service.keys import DEFAULT_SCOPES, ApiKey, KeyKind, create

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

KEY_FILE = Path("secrets") / "command-line.key"
PATIENCE_S = 2.0
"""A key made a moment ago is known to every process within half a second."""
TIMEOUT_S = 10.0


def asking_options(command: F) -> F:
    """The options of every command that asks: `--url`, `--key-file`, `--local`."""
    command = click.option(
        "--local", is_flag=True, help="Decide in this process on the stores themselves; the API need not run."
    )(command)
    command = click.option(
        "--key-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File with the key to ask with; default: one of the command line's own, made at its first use.",
    )(command)
    return click.option("--url", metavar="URL", help="The API; default: the settings api.host and api.port.")(command)


def ask(
    settings: Settings,
    method: str,
    path: str,
    answer: type[T],
    *,
    body: object = None,
    url: str | None = None,
    key_file: Path | None = None,
    local: bool = False,
) -> T:
    """The answer to a call of the API, read as its type; raises `Failure` with a sentence for everything else."""
    if local:
        raw = asyncio.run(_ask_here(settings, method, path, body))
    else:
        raw = _ask_over_http(settings, method, path, body, url, key_file)
    return msgspec.json.decode(raw, type=answer)


def escaped(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


async def _ask_here(settings: Settings, method: str, path: str, body: object) -> bytes:
    from service.api.call import Call  # noqa: PLC0415 - `--help` answers without the imports of the API
    from service.api.problems import ProblemError  # noqa: PLC0415
    from service.api.routes import Routes  # noqa: PLC0415
    from service.api.startup import open_services  # noqa: PLC0415

    split = urlsplit(path)
    found, parameters = Routes().find(split.path)
    key = ApiKey("local", "local", KeyKind.SERVER, DEFAULT_SCOPES[KeyKind.SERVER], (), "", 0)
    # A person waits, and everything is opened just now: no reason for a storefront's haste.
    patient = msgspec.structs.replace(settings.api, deadline_ms=int(1000 * TIMEOUT_S))
    try:
        services, close = await open_services(msgspec.structs.replace(settings, api=patient), role="cli")
    except PortError as error:
        raise Failure(f"{error}") from None
    try:
        call = Call(
            method, split.path, {}, dict(parse_qsl(split.query)), parameters, "local", key, msgspec.json.encode(body)
        )
        reply = await found[method].handler(services, call)
        return msgspec.json.encode(reply.body)
    except ProblemError as problem:
        raise Failure(problem.detail) from None
    finally:
        await close()


def _ask_over_http(
    settings: Settings, method: str, path: str, body: object, url: str | None, key_file: Path | None
) -> bytes:
    host = settings.api.host
    host = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound
    scheme = "https" if settings.api.tls_certificate else "http"
    base = (url or f"{scheme}://{host}:{settings.api.port}").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise Failure(f"--url {base} is no address; give one such as http://127.0.0.1:8081")
    key = key_file.read_text("ascii").strip() if key_file is not None else _own_key(settings)
    patient_until = time.monotonic() + PATIENCE_S
    while True:
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
            base + path,
            data=None if body is None else msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                problem = _detail(error.read(), error.code)
            if error.code == 401 and key_file is None and time.monotonic() < patient_until:
                time.sleep(0.1)
                continue
            raise Failure(f"the API at {base} says: {problem}") from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise Failure(
                f"no API answers at {base} ({reason}); start it with `salience api`, name it with --url, "
                "or decide in this process with --local"
            ) from None


def _detail(raw: bytes, status: int) -> str:
    try:
        return str(msgspec.json.decode(raw, type=dict[str, object])["detail"])
    except (msgspec.MsgspecError, KeyError):
        return f"HTTP {status}"


def _own_key(settings: Settings) -> str:
    """The command line's own server key, for whoever may read the folder and write to the tables."""
    from service.clock import wall_ms  # noqa: PLC0415
    from service.wiring import Wiring  # noqa: PLC0415

    path = settings.data_dir / KEY_FILE
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Failure(f"{path} can't be read ({error.strerror}); name another key with --key-file") from None
    try:
        with Wiring(settings) as wiring:
            _, text = create(wiring.tables(), "command line", KeyKind.SERVER, wall_ms())
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
    except (PortError, OSError) as error:
        raise Failure(f"no key could be made ({error}); name one with --key-file") from None
    return text
