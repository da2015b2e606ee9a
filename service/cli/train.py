"""`salience train`: learn a model from histories, write its card, put it into the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table

from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation

FIGURES = ("roc_auc", "average_precision", "log_loss", "brier")


@dataclass(frozen=True, slots=True)
class _Run:
    """One row of the printed figures."""

    columns: str
    figures: Mapping[str, float]


@click.command("train")
@click.argument("spec", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--history", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Events as JSON lines, as the API takes them; repeatable. Default: simulated shoppers.",
)  # fmt: skip
@click.option("--simulate", type=click.IntRange(100, 1_000_000), default=4000, show_default=True, metavar="VISITS",
              help="Visits of simulated shoppers to learn from, without --history.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulation and of the training.")
@click.option("--table", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="CSV",
              help="Judge a table of one row a session by cross-validation instead; nothing is registered.")  # fmt: skip
@click.option("--label", metavar="COLUMN", help="With --table: the column to predict.")
@click.option(
    "--without", multiple=True, metavar="COLUMN", help="With --table: judge without this column too; repeatable."
)
@click.option("--folds", type=click.IntRange(2, 50), default=10, show_default=True, help="With --table.")
@json_option
@pass_invocation
def command(
    invocation: Invocation, spec: Path | None, history: tuple[Path, ...], simulate: int, seed: int, table: Path | None,
    label: str | None, without: tuple[str, ...], folds: int, as_json: bool,
) -> None:  # fmt: skip
    """Train the model that SPEC describes (default: rulesets/models/purchase_intent.yaml).

    XGBoost learns from the oldest 70 % of the rows, the next 15 % calibrate it, the newest 15 % judge it. The exported
    ONNX file is refused unless it answers as XGBoost does. The newest version is what the next publication pins.
    """
    from models.training import TrainingError  # noqa: PLC0415  importing XGBoost takes two seconds

    try:
        if table is not None:
            if label is None:
                raise click.UsageError("--table needs --label: the column to predict")
            _judge_table(table, label, without, folds, seed, as_json)
        elif label is not None or without:
            raise click.UsageError("--label and --without go with --table")
        else:
            _train(invocation, spec, history, simulate, seed, as_json)
    except TrainingError as error:
        raise Failure(str(error)) from error


def _train(
    invocation: Invocation, spec: Path | None, history: Sequence[Path], simulate: int, seed: int, as_json: bool
) -> None:
    from models.registry import ModelError  # noqa: PLC0415  as above
    from service.training import default_spec, train_and_register  # noqa: PLC0415  as above

    try:
        done = train_and_register(
            spec or default_spec(), invocation.settings.models.registry, history=history, visits=simulate, seed=seed,
            say=lambda text: stderr().print(text),
        )  # fmt: skip
    except ModelError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json({"model": done.model, "version": done.version, "folder": str(done.folder), "metrics": done.metrics})
        return
    rows = Table(box=None, show_header=False, pad_edge=False)
    for name in (*FIGURES, "log_loss_of_base_rate", "onnx_difference", "rows", "share_true"):
        rows.add_row(name.replace("_", " "), f"{done.metrics[name]:,.6g}")
    stdout().print(f"{done.model} {done.version[:12]}, on the hold-out:")
    stdout().print(rows)
    stdout().print(f"card: {done.folder / 'card.md'}")


def _judge_table(table: Path, label: str, without: Sequence[str], folds: int, seed: int, as_json: bool) -> None:
    from models.table import read_table  # noqa: PLC0415  as above
    from models.training import cross_validate  # noqa: PLC0415  as above

    runs = [_Run("all columns", cross_validate(read_table(table, label), folds, seed=seed))]
    runs += [
        _Run(f"without {name}", cross_validate(read_table(table, label, [name]), folds, seed=seed)) for name in without
    ]
    if as_json:
        print_json([{"columns": run.columns, **run.figures} for run in runs])
        return
    shown = Table(
        f"{folds} folds", *(name.replace("_", " ") for name in FIGURES), "spread of AUC", box=None, pad_edge=False
    )
    for run in runs:
        shown.add_row(run.columns, *(f"{run.figures[name]:.4f}" for name in (*FIGURES, "roc_auc_spread")))
    stdout().print(shown)
