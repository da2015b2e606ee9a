"""Rows of a recording, one after the other, in bounded memory: CSV, JSON lines, Parquet; the first two also gzipped."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO

import msgspec

COUNTED_BYTES = 1 << 30
"""Rows of files up to a gigabyte are counted for the progress bar: half a second of reading."""

BATCH_ROWS = 2_000


class RecordingError(Exception):
    """A recording that can't be read; the message names the file, the row where there is one, and what to do."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row.

    Attributes:
        number: From 1, without the header.
        values: Of the columns that were asked for, in their order; None where there is nothing.
        whole: All of the row as text, the same for equal rows: what the id of the event is made of.
        is_broken: `whole` is a line that can't be read; there are no values.
    """

    number: int
    values: Sequence[object]
    whole: str
    is_broken: bool = False


class Recording(Protocol):
    """A file of rows."""

    def columns(self) -> Sequence[str] | None:
        """The names of its columns; None where each row has its own (JSON lines)."""

    def count(self) -> int | None:
        """How many rows it has, where that is known or quickly found out."""

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Its rows with these columns. Raises `RecordingError` for what can't be read as a row."""


def open_recording(path: Path) -> Recording:
    """The reader for a file, by its name; raises `RecordingError`."""
    if not path.is_file():
        raise RecordingError(f"there is no file {path}")
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return _Csv(path, "\t" if name.endswith(".tsv") else None)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return _JsonLines(path)
    if path.suffix in {".parquet", ".pq"}:
        return _Parquet(path)
    raise RecordingError(f"{path.name}: recordings end in .csv, .tsv, .jsonl, .ndjson, .parquet, and .gz of text files")


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _count_lines(path: Path) -> int | None:
    if path.suffix == ".gz" or path.stat().st_size > COUNTED_BYTES:
        return None
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


class _Csv:
    """Comma-separated, or by what its header shows (`;`, tab). The first line names the columns."""

    def __init__(self, path: Path, delimiter: str | None) -> None:
        self._path = path
        try:
            with _open(path) as file:
                header = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise RecordingError(f"{path} can't be read as UTF-8 text: {error}") from error
        if not header.strip():
            raise RecordingError(f"{path} is empty; its first line names the columns")
        self._delimiter = delimiter or max(",;\t", key=header.count)
        self._columns = next(csv.reader([header], delimiter=self._delimiter))

    def columns(self) -> Sequence[str]:
        """As the first line has them."""
        return self._columns

    def count(self) -> int | None:
        """Lines without the first; a text with a line break in it counts twice."""
        lines = _count_lines(self._path)
        return None if lines is None else lines - 1

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Line by line; a short line has nothing in its last columns."""
        places = [self._columns.index(each) for each in columns]
        width = len(self._columns)
        with _open(self._path) as file:
            reader = csv.reader(file, delimiter=self._delimiter, strict=True)
            next(reader)
            number = 0
            try:
                for number, cells in enumerate(reader, 1):
                    if len(cells) < width:
                        cells = [*cells, *[""] * (width - len(cells))]  # noqa: PLW2901 - the same row, made whole
                    yield Row(number, [cells[place] for place in places], "\x1f".join(cells))
            except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
                raise RecordingError(f"{self._path}, after row {number}: {error}") from error


class _JsonLines:
    """A JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> None:
        """Each row has its own."""
        return

    def count(self) -> int | None:
        """Lines."""
        return _count_lines(self._path)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Line by line; empty lines are passed over, and one that is no JSON object is marked."""
        decode = msgspec.json.Decoder(dict[str, object]).decode
        encode = msgspec.json.Encoder(order="deterministic").encode
        number = 0
        try:
            with _open(self._path) as file:
                for line in file:
                    if not line.strip():
                        continue
                    number += 1
                    try:
                        cells = decode(line)
                    except msgspec.MsgspecError:
                        yield Row(number, (), line.rstrip("\r\n"), is_broken=True)
                        continue
                    yield Row(number, [cells.get(each) for each in columns], encode(cells).decode())
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise RecordingError(f"{self._path}, after row {number}: {error}") from error


class _Parquet:
    """A Parquet file, read a batch of rows at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # noqa: PLC0415 - half a second of import that only Parquet needs
        from pyarrow import parquet  # noqa: PLC0415

        self._path = path
        self._failures: tuple[type[Exception], ...] = (pa.ArrowException, OSError, ValueError)
        try:
            self._file = parquet.ParquetFile(path)
        except self._failures as error:
            raise RecordingError(f"{path} can't be read as Parquet: {error}") from error

    def columns(self) -> Sequence[str]:
        """Of its schema."""
        return list(self._file.schema_arrow.names)

    def count(self) -> int | None:
        """As its footer says."""
        return int(self._file.metadata.num_rows)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Batch by batch."""
        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    whole = "\x1f".join("" if value is None else str(value) for value in cells.values())
                    yield Row(number, [_plain(cells[each]) for each in columns], whole)
        except self._failures as error:
            raise RecordingError(f"{self._path}, after row {number}: {error}") from error


def _plain(value: object) -> object:
    """A value as JSON has it; a moment without an offset is UTC."""
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
