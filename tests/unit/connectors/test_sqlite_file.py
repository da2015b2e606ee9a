"""How a SQLite file is opened, shared and explained."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from connectors.sqlite_file import SqliteFile
from engine.ports import PortError

SCHEMA = ("CREATE TABLE t (x)",)
ROOT = Path(__file__).parents[3]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match=r"file/folder: the folder can't be made"):
        SqliteFile(tmp_path / "file" / "folder" / "a.db", SCHEMA)


def test_a_read_only_folder_is_named():
    """Tried as a user who may not write there, since root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        script = (
            "import os; from pathlib import Path\n"
            "from connectors.sqlite_file import SqliteFile; from engine.ports import PortError\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"
            f"try: SqliteFile(Path({folder!r}) / 'a.db', ('CREATE TABLE t (x)',))\n"
            "except PortError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert f"{folder}/a.db: it can't be opened; see that its folder exists and that this user may write to it" in (
            done.stdout
        ), done.stderr


def test_a_full_disk_is_named_and_keeps_nothing_of_the_write(tmp_path):
    with closing(SqliteFile(tmp_path / "a.db", SCHEMA)) as file:
        with file.writing() as db:
            db.execute("PRAGMA max_page_count=4")
            db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(PortError, match="the disk is full"), file.writing() as db:
            db.executemany("INSERT INTO t VALUES (?)", [(bytes(4096),)] * 10)
        with file.reading() as db:
            assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_file_of_something_else_is_named(tmp_path):
    (tmp_path / "a.db").write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(PortError, match="is no SQLite file"):
        SqliteFile(tmp_path / "a.db", SCHEMA)


def test_a_file_of_a_newer_release_is_refused(tmp_path):
    SqliteFile(tmp_path / "a.db", (*SCHEMA, "CREATE TABLE u (x)")).close()
    with pytest.raises(PortError, match="written by a newer release"):
        SqliteFile(tmp_path / "a.db", SCHEMA)


def test_a_file_of_an_older_release_is_brought_up_to_date(tmp_path):
    with closing(SqliteFile(tmp_path / "a.db", SCHEMA)) as file, file.writing() as db:
        db.execute("INSERT INTO t VALUES (1)")
    with closing(SqliteFile(tmp_path / "a.db", (*SCHEMA, "CREATE TABLE u (x)"))) as file, file.reading() as db:
        assert db.execute("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)").fetchone() == (1, 0)


def test_a_lock_that_is_not_let_go_is_named(tmp_path):
    with (
        closing(SqliteFile(tmp_path / "a.db", SCHEMA)) as first,
        closing(SqliteFile(tmp_path / "a.db", SCHEMA, busy_ms=20)) as second,
        first.writing(),
        pytest.raises(PortError, match="another process has been writing"),
        second.writing(),
    ):
        pass


def test_an_error_in_a_transaction_undoes_it(tmp_path):
    with closing(SqliteFile(tmp_path / "a.db", SCHEMA)) as file:
        with pytest.raises(ZeroDivisionError), file.writing() as db:
            db.execute("INSERT INTO t VALUES (?)", (1 / 0,))
        with pytest.raises(PortError, match="no such table"), file.writing() as db:
            db.executemany("INSERT INTO t VALUES (?)", [(1,)]).execute("INSERT INTO missing VALUES (1)")
        with file.reading() as db:
            assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_the_use_of_a_closed_file_is_a_port_error(tmp_path):
    file = SqliteFile(tmp_path / "a.db", SCHEMA)
    file.close()
    file.close()
    with pytest.raises(PortError, match=r"a\.db"), file.reading():
        pass


def test_many_openers_of_a_new_file_make_it_once(tmp_path):
    with ThreadPoolExecutor(16) as threads:
        files = list(threads.map(lambda _: SqliteFile(tmp_path / "a.db", SCHEMA), range(16)))
    for file in files:
        file.close()


def test_committed_writes_are_in_wal_mode_and_synced_where_durable(tmp_path):
    for durable, level in ((True, 2), (False, 1)):
        with closing(SqliteFile(tmp_path / f"{durable}.db", SCHEMA, durable=durable)) as file, file.reading() as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert db.execute("PRAGMA synchronous").fetchone() == (level,)


def test_the_change_mark_moves_with_the_writes_of_others(tmp_path):
    with closing(SqliteFile(tmp_path / "a.db", SCHEMA)) as file:
        mark = file.change_mark()
        assert file.change_mark() == mark
        with closing(sqlite3.connect(tmp_path / "a.db")) as other, other:
            other.execute("INSERT INTO t VALUES (1)")
        assert file.change_mark() != mark
