"""`salience models`: the versions in the registry."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.markdown import Markdown
from rich.table import Table

from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation


@click.group("models")
def command() -> None:
    """List, inspect and remove models of the registry."""


@command.command("list")
@json_option
@pass_invocation
def list_models(invocation: Invocation, as_json: bool) -> None:
    """All versions, newest first; the one marked is what the next publication pins."""
    from models.registry import ModelRegistry  # noqa: PLC0415  `--help` answers without it

    registry = ModelRegistry(invocation.settings.models.registry)
    found = [(registry.latest(name), version) for name in registry.names() for version in registry.versions(name)]
    if as_json:
        print_json([
            {"version": each.version, "latest": each.version == latest, **_plain(each.metadata)} for latest, each in found
        ])  # fmt: skip
        return
    if not found:
        raise Failure(f"no models in {registry.folder}; `salience train` makes one")
    rows = Table("", "model", "version", "trained", "ROC AUC", "log loss", "features", box=None, pad_edge=False)
    for latest, each in found:
        trained = datetime.fromtimestamp(each.metadata.created / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        metrics = each.metadata.metrics
        rows.add_row(
            "*" if each.version == latest else "", each.metadata.model, each.version[:12], trained,
            f"{metrics['roc_auc']:.4f}", f"{metrics['log_loss']:.4f}", str(len(each.metadata.features)),
        )  # fmt: skip
    stdout().print(rows)


@command.command("show")
@click.argument("model")
@click.argument("version", required=False)
@json_option
@pass_invocation
def show(invocation: Invocation, model: str, version: str | None, as_json: bool) -> None:
    """Print the card of MODEL: of its latest VERSION, or of the one whose hash begins so."""
    from models.registry import ModelRegistry  # noqa: PLC0415  as above

    registry = ModelRegistry(invocation.settings.models.registry)
    found = registry.get(model, _one(registry.folder, model, version or registry.latest(model)))
    if as_json:
        print_json({"version": found.version, "folder": found.folder, **_plain(found.metadata)})
    else:
        stdout().print(Markdown((Path(found.folder) / "card.md").read_text("utf-8")))
        stdout().print(f"\n{found.folder}")


@command.command("remove")
@click.argument("model")
@click.argument("version")
@pass_invocation
def remove(invocation: Invocation, model: str, version: str) -> None:
    """Remove a VERSION of MODEL. The latest stays: a revision may pin it."""
    from models.registry import ModelRegistry  # noqa: PLC0415  as above

    registry = ModelRegistry(invocation.settings.models.registry)
    whole = _one(registry.folder, model, version)
    if whole == registry.latest(model):
        raise Failure(f"{model} {whole[:12]} is the latest version; train another one first")
    shutil.rmtree(registry.folder / model / whole)
    stdout().print(f"removed {model} {whole[:12]}")


def _one(folder: Path, model: str, beginning: str | None) -> str:
    home = folder / model
    found = [path.name for path in home.iterdir() if (path / "metadata.json").exists()] if home.is_dir() else []
    if not found:
        raise Failure(f"no model {model} in {folder}; `salience models list` shows what there is")
    matching = [name for name in found if name.startswith(beginning or "")]
    if len(matching) != 1:
        which = "no version" if not matching else f"{len(matching)} versions"
        raise Failure(
            f"{which} of {model} begin with {beginning}; there are {', '.join(n[:12] for n in sorted(found))}"
        )
    return matching[0]


def _plain(metadata: object) -> dict[str, object]:
    import msgspec  # noqa: PLC0415  as above

    plain = msgspec.to_builtins(metadata)
    assert isinstance(plain, dict)
    return plain
