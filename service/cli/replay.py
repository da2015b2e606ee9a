"""`salience replay`: feed a recording into the event log."""

from __future__ import annotations

import itertools
import signal
import threading
from pathlib import Path
from types import FrameType

import click
import msgspec

import rulesets
from engine.language.diagnostics import closest, one_of, render
from engine.ports import PortError
from service.cli.console import print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.clock import wall_ms
from service.replay.events import RowReader
from service.replay.feed import Feed, FeedReport
from service.replay.mapping import RecordingMapping, read_mapping
from service.replay.rows import Recording, RecordingError, open_recording
from service.wiring import Wiring

SHIPPED = Path(rulesets.__file__).parent / "mappings"


class _UnreadableError(Failure):
    exit_code = 2


class _Speed(click.ParamType[float | None]):
    name = "N|max"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """A number above 0, or None for `max`."""
        if value == "max":
            return None
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not 0 < speed < 1e9:
            self.fail(f"{value!r} is neither max nor a number above 0", param, ctx)
        return speed


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mapping", "mapping_name", required=True, metavar="FILE|NAME", help="Which column is what; a file, or the name of one that ships (rees46).")  # fmt: skip
@click.option("--speed", type=_Speed(), default="1", show_default=True, help="Times the recording's own pace; max: as fast as can be.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows.")
@click.option(
    "--from-now",
    "shift_to",
    flag_value="first",
    help="Shift all times so that the first event is now; ids differ from those of other runs.",
)
@click.option("--until-now", "shift_to", flag_value="last", help="Shift all times so that the last event is now.")
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    file: Path,
    mapping_name: str,
    speed: float | None,
    limit: int | None,
    shift_to: str | None,
    as_json: bool,
) -> int:
    """Feed a recording (CSV, JSON lines, Parquet) into the event log.

    Ids are made of the row, so that equal rows are one event, and a recording fed twice counts once. Rows without a
    session or with a time that can't be read go into the log as they are, and the worker sends them to the dead letters
    with the reason; rows that the mapping skips are counted. Exit code 2 where the file or its mapping can't be used.
    """
    mapping = load_mapping(mapping_name)
    try:
        recording = open_recording(file)
        columns = check_columns(mapping, recording, file)
        shift = _shift(mapping, recording, columns, shift_to) if shift_to else 0
        total = recording.count()
    except RecordingError as error:
        raise _UnreadableError(str(error)) from error
    stop = threading.Event()

    def end(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    before = signal.signal(signal.SIGINT, end)
    try:
        with Wiring(invocation.settings) as wiring, progress("replay", _least(total, limit)) as bar:
            wiring.ensure_topics()
            feed = Feed(
                wiring.event_log(), RowReader(mapping, columns, shift), speed=speed, on_rows=bar.advance, stop=stop
            )
            report = feed.run(itertools.islice(recording.rows(columns), limit))
    except RecordingError as error:
        raise Failure(str(error)) from error
    except PortError as error:
        raise Failure(f"{error}; run it again: what is in the log already counts once") from error
    finally:
        signal.signal(signal.SIGINT, before)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _tell(report)
    return 130 if stop.is_set() else 0


def load_mapping(name: str) -> RecordingMapping:
    """A mapping by its file, or by its name where it ships; raises a `Failure` with all mistakes."""
    path = Path(name)
    if not path.exists():
        shipped = SHIPPED / f"{name}.yaml"
        if not shipped.exists():
            known = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
            raise _UnreadableError(f"there is no mapping file {name}; mappings that ship: {known}")
        path = shipped
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _UnreadableError(f"{path} can't be read: {error}") from error
    mapping, diagnostics = read_mapping(str(path), text)
    if mapping is None:
        raise _UnreadableError("the mapping can't be used\n" + render(diagnostics, {str(path): text}).rstrip())
    return mapping


def check_columns(mapping: RecordingMapping, recording: Recording, file: Path) -> list[str]:
    """The columns that the mapping reads; raises `RecordingError` where the recording does not have them."""
    wanted = mapping.columns()
    known = recording.columns()
    if known is not None:
        missing = [(name, place) for name, place in wanted.items() if name not in known]
        if missing:
            lines = [
                f"{place.file}:{place.line}:{place.column}: {file.name} has no column {name}; "
                f"{closest(name, known) or f'it has {one_of(known)}'}"
                for name, place in missing
            ]
            raise RecordingError("\n".join(lines))
    return list(wanted)


def _shift(mapping: RecordingMapping, recording: Recording, columns: list[str], shift_to: str) -> int:
    """By how much times are shifted; for the last event the whole recording is read once before."""
    reader = RowReader(mapping, columns)
    moments = (reader.time_of(row) for row in recording.rows(columns))
    known = (moment for moment in moments if moment is not None)
    found = next(known, None) if shift_to == "first" else max(known, default=None)
    if found is None:
        raise RecordingError("no row has a time that can be read, so times can't be shifted")
    return wall_ms() - found


def _least(total: int | None, limit: int | None) -> int | None:
    known = [each for each in (total, limit) if each is not None]
    return min(known) if known else None


def _tell(report: FeedReport) -> None:
    out = stdout()
    rate = report.rows / report.seconds if report.seconds else 0.0
    out.print(f"{report.rows:,} rows in {report.seconds:.1f} s ({rate:,.0f}/s): {report.appended:,} events in the log")
    for rule, count in sorted(report.skipped.items()):
        out.print(f"{count:,} rows skipped by the mapping: {rule}", markup=False)
    if report.incomplete:
        stderr().print(
            f"{report.incomplete:,} rows have no session or no time that can be read; they are in the log and the worker "
            "sends them to the dead letters",
            style="yellow",
        )
