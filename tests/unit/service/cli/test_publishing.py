"""`publish`, `rollback`, `status`, `diff`, `replay`: what they print, their exit codes, their JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.embedded import Embedded
from service.cli.root import main
from service.clock import wall_ms
from service.control import Control, ProcessReport
from tests.unit.service.small_shop import RULES, sources, with_threshold


@dataclass(frozen=True)
class Result:
    """What a call of the command line left."""

    exit_code: int
    stdout: str
    stderr: str


Salience = Callable[..., Result]


@pytest.fixture
def salience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Salience:
    monkeypatch.chdir(tmp_path)
    settings = ["--set", f"data_dir={tmp_path / 'data'}", "--set", f"bundle.folder={tmp_path / 'shop'}"]
    settings += ["--set", f"models.registry={tmp_path / 'models'}", "--set", "kafka.partitions=2"]
    save(tmp_path / "shop", sources())

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["salience", *settings, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(int(str(ended.value.code or 0)), *capsys.readouterr())

    return call


def save(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)


# ---------------------------------------------------------------------------------------------------- publish


def test_publish_makes_the_folder_of_the_settings_live(salience: Salience) -> None:
    done = salience("publish", "--note", "first", "--author", "anna")
    assert done.exit_code == 0
    assert "revision 1" in done.stdout
    assert "1 tests passed" in done.stdout
    assert "model intent has no version yet" in done.stderr
    assert as_json(salience("status", "--json"))["live"]["author"] == "anna"


def test_publishing_the_same_again_says_so(salience: Salience) -> None:
    salience("publish")
    done = salience("publish")
    assert done.exit_code == 0
    assert "live already" in done.stdout


def test_a_broken_folder_is_refused_with_its_places(salience: Salience, tmp_path: Path) -> None:
    save(tmp_path / "shop", {"greeting.yaml": RULES.replace("views, at_least: 3", "veiws, at_least: 3")})
    done = salience("publish")
    assert done.exit_code == 1
    assert "greeting.yaml:5" in done.stderr
    assert "did you mean views?" in done.stderr
    assert done.stdout == ""
    refused = as_json(salience("publish", "--json"))
    assert refused["diagnostics"][0]["code"] == "unknown-fact"


def test_a_folder_that_is_not_there_is_another_exit_code(salience: Salience, tmp_path: Path) -> None:
    done = salience("publish", str(tmp_path / "nowhere"))
    assert done.exit_code == 2
    assert "there is no folder" in done.stderr


def test_a_dry_run_publishes_nothing(salience: Salience) -> None:
    done = salience("publish", "--dry-run")
    assert "would publish revision 1" in done.stdout
    assert as_json(salience("status", "--json"))["live"] is None


def test_a_pin_is_model_and_version(salience: Salience) -> None:
    assert salience("publish", "--pin", "intent").exit_code == 2
    assert salience("publish", "--pin", "intent=v7").exit_code == 0


# ---------------------------------------------------------------------------------------------------- rollback


def test_rollback_needs_a_reason_and_brings_the_former_content_back(salience: Salience, tmp_path: Path) -> None:
    salience("publish")
    save(tmp_path / "shop", with_threshold(5))
    salience("publish")
    assert salience("rollback").exit_code == 2
    trial = salience("rollback", "--reason", "bad", "--dry-run")
    assert "would publish revision 3" in trial.stdout
    assert "the content of revision 1" in trial.stdout
    done = as_json(salience("rollback", "--reason", "bad", "--json"))
    assert (done["revision"]["number"], done["revision"]["restores"]) == (3, 1)
    assert as_json(salience("status", "--json"))["folder"]["held"]


def test_a_rollback_that_can_not_be_says_why(salience: Salience) -> None:
    salience("publish")
    done = salience("rollback", "--reason", "bad", "--to", "7")
    assert done.exit_code == 1
    assert "there is no revision 7" in done.stderr
    assert as_json(salience("rollback", "--reason", "bad", "--json"))["refused"]


# ---------------------------------------------------------------------------------------------------- status


def test_status_before_anything_is_live_is_not_well(salience: Salience) -> None:
    done = salience("status")
    assert done.exit_code == 1
    assert "nothing is live" in done.stdout


@pytest.mark.parametrize(("revision", "problem", "code"), [(1, "", 0), (0, "", 1), (1, "the model is gone", 1)])
def test_status_names_who_serves_what(
    salience: Salience, tmp_path: Path, revision: int, problem: str, code: int
) -> None:
    salience("publish")
    now = wall_ms() + 60_000  # seen in the future: it lives however slow this test is
    counts = {"applied": 1234, "lag": 56}
    with closing(Embedded(tmp_path / "data").tables()) as tables:
        Control(tables).beat(ProcessReport("worker-x", "worker", now, now, revision, problem, counts))
        Control(tables).beat(ProcessReport("worker-y", "worker", now, now, 1, is_compiled=True))
    done = salience("status")
    assert done.exit_code == code
    assert "worker-x" in done.stdout
    assert "1,234" in done.stdout
    assert problem in done.stdout
    networks = [line for line in done.stdout.splitlines() if line.startswith("worker-")]
    assert ["in Python" in line for line in networks] == [True, False]
    assert ["compiled" in line for line in networks] == [False, True]
    status = as_json(salience("status", "--json"))
    assert status["lag"] == 56


def test_status_shows_the_last_refusal(salience: Salience, tmp_path: Path) -> None:
    salience("publish")
    save(tmp_path / "shop", {"greeting.yaml": RULES.replace("at_least: 3", "at_least: 4")})
    salience("publish", "--author", "ben")
    done = salience("status")
    assert "last refusal" in done.stdout
    assert "the third view is told" in done.stdout


# ---------------------------------------------------------------------------------------------------- diff


def test_diff_of_the_same_is_silent_by_its_exit_code(salience: Salience) -> None:
    salience("publish")
    done = salience("diff")
    assert done.exit_code == 0
    assert "are the same" in done.stdout


def test_diff_shows_rules_as_sentences_and_the_files(salience: Salience, tmp_path: Path) -> None:
    salience("publish")
    changed = with_threshold(5)["greeting.yaml"].split("tests:")[0]
    added = "  - rule: other\n    when: {fact: views, at_least: 9}\n    then: [{trigger: other, payload: {}}]\n"
    removed = changed.index("  - rule: waits"), changed.index("  - rule: offer")
    save(tmp_path / "shop", {"greeting.yaml": changed[: removed[0]] + changed[removed[1] :] + added})
    done = salience("diff")
    assert done.exit_code == 1
    assert "added    greeting.other" in done.stdout
    assert "removed  greeting.waits" in done.stdout
    assert "changed  greeting.offer" in done.stdout
    assert "greeting.third" not in done.stdout.split("---")[0]
    assert "+    when: {fact: views, at_least: 5}" in done.stdout
    difference = as_json(salience("diff", "--json"))
    assert {each["rule"] for each in difference["rules"]} == {"greeting.other", "greeting.waits", "greeting.offer"}


def test_diff_of_two_revisions(salience: Salience, tmp_path: Path) -> None:
    salience("publish")
    save(tmp_path / "shop", with_threshold(5))
    salience("publish")
    done = salience("diff", "1", "2")
    assert done.exit_code == 1
    assert "changed  greeting.offer" in done.stdout
    assert salience("diff", "2").exit_code == 0


@pytest.mark.parametrize("which", ["9", "nowhere"])
def test_diff_with_what_is_not_there_is_an_error(salience: Salience, which: str) -> None:
    assert salience("diff").exit_code == 2, "nothing was published yet"
    salience("publish")
    assert salience("diff", which).exit_code == 2


# ---------------------------------------------------------------------------------------------------- replay


CSV = "at,kind,session\n2019-10-01,seen,s1\n2019-10-02,seen,s2\n,seen,s3\n"
MAPPING = "columns: {time: at, type: kind, session_id: session}\n"


def test_replay_feeds_a_file_and_reports(salience: Salience, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(CSV)
    (tmp_path / "m.yaml").write_text(MAPPING)
    done = salience("replay", "r.csv", "--mapping", "m.yaml", "--speed", "max")
    assert done.exit_code == 0
    assert "3 rows" in done.stdout
    assert "1 rows have no session or no time" in done.stderr
    report = as_json(salience("replay", "r.csv", "--mapping", "m.yaml", "--speed", "max", "--limit", "2", "--json"))
    assert (report["rows"], report["appended"], report["shift"]) == (2, 2, 0)
    shifted = as_json(salience("replay", "r.csv", "--mapping", "m.yaml", "--speed", "max", "--until-now", "--json"))
    assert abs(shifted["last"] + shifted["shift"] - wall_ms()) < 60_000


@pytest.mark.parametrize(
    ("file", "mapping", "speed", "words"),
    [
        ("r.csv", "none", "max", "mappings that ship: rees46"),
        ("r.csv", "bad.yaml", "max", "bad.yaml:1:1"),
        ("gone.csv", "m.yaml", "max", "there is no file"),
        ("r.csv", "other.yaml", "max", "has no column moment; did you mean"),
        ("r.csv", "m.yaml", "0", "neither max nor a number above 0"),
    ],
)
def test_replay_names_what_it_can_not_use(
    salience: Salience, tmp_path: Path, file: str, mapping: str, speed: str, words: str
) -> None:
    (tmp_path / "r.csv").write_text(CSV.replace("at,", "moments,"))
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / "bad.yaml").write_text("colums: {}\n")
    (tmp_path / "other.yaml").write_text(MAPPING.replace("time: at", "time: moment"))
    done = salience("replay", file, "--mapping", mapping, "--speed", speed)
    assert done.exit_code == 2
    assert words in done.stderr
