"""Rows from a plain table (CSV), for data that is one row a session and has no events to replay."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training import Rows, TrainingError

MAX_CHOICES = 100
"""A text column with more different values than this is refused: it is an id or free text, not a choice."""

TRUE, FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


def read_table(path: Path, label: str, without: Collection[str] = ()) -> Rows:
    """Read a CSV file whose first line names the columns; `,`, `;` or tab between them.

    Numbers are features as they are, true and false become 1 and 0, a column of text becomes one feature a value
    (`Month=Feb`), an empty cell is unknown. The order of the rows stands for time.

    Args:
        path: The file.
        label: The column to predict, of true and false.
        without: Columns to leave out.

    Raises:
        TrainingError: The file can't be read as such a table; the message names line and column.
    """
    header, lines = _lines(path)
    for name in (label, *without):
        if name not in header:
            raise TrainingError(f"{path}: there is no column {name!r}; it has {', '.join(header)}")
    columns = {name: [line[n] for line in lines] for n, name in enumerate(header)}
    labels = np.array([_truth(cell, path, n, label) for n, cell in enumerate(columns.pop(label), 2)])
    features: dict[str, NDArray[np.float32]] = {}
    for name, cells in columns.items():
        if name not in without:
            features.update(_features(name, cells, path))
    stacked = np.stack(list(features.values()), axis=1)
    return Rows(tuple(features), stacked, labels, np.arange(len(labels), dtype=np.int64))


def _lines(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in next(reader, [])]
            lines = [line for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} can't be read as CSV: {error}") from error
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise TrainingError(f"{path}:{number}: {len(line)} cells, the header names {len(header)} columns")
    if not lines:
        raise TrainingError(f"{path} has no rows")
    return header, lines


def _truth(cell: str, path: Path, line: int, column: str) -> bool:
    text = cell.strip().lower()
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise TrainingError(f"{path}:{line}: {column} is {cell!r}, expected true or false")


def _features(name: str, cells: Sequence[str], path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        return {name: np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=np.float32)}
    except ValueError:
        pass
    texts = [cell.strip() for cell in cells]
    values = sorted(set(texts) - {""})
    if all(value.lower() in TRUE | FALSE for value in values):
        numbers = [np.nan if not text else float(text.lower() in TRUE) for text in texts]
        return {name: np.array(numbers, dtype=np.float32)}
    if len(values) > MAX_CHOICES:
        raise TrainingError(
            f"{path}: column {name} has {len(values)} different texts, at most {MAX_CHOICES} are read as choices; "
            f"leave it out with --without {name}"
        )
    column = np.array(texts)
    return {f"{name}={value}": np.asarray(column == value, dtype=np.float32) for value in values}
