"""Settings: later sources win, and what does not fit is refused with its place, all at once."""

import pickle
import re
from pathlib import Path

import msgspec
import pytest
import yaml

from config.secret import Secret
from service.settings import DEFAULTS, SettingsError, load
from service.settings_sources import variable_of
from service.settings_values import kinds


def refused(folder: Path, *, file: str = "", environ: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> str:
    """Return what is said about settings that can't be used."""
    if file:
        (folder / "salience.yaml").write_text(file)
    with pytest.raises(SettingsError) as raised:
        load(environ=environ or {}, flags=flags, folder=folder)
    return str(raised.value)


def test_each_source_wins_over_the_ones_before_it(tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text("api: {port: 1, workers: 2, deadline_ms: 3}\n")
    environ = {"SALIENCE_API__PORT": "4", "SALIENCE_API__WORKERS": "5"}
    loaded = load(environ=environ, flags=["api.port=6"], folder=tmp_path)
    api = loaded.settings.api
    assert (api.port, api.workers, api.deadline_ms, api.host) == (6, 5, 3, "127.0.0.1")
    assert [loaded.origins[f"api.{name}"] for name in ("port", "workers", "deadline_ms", "host")] == [
        "--set api.port",
        "SALIENCE_API__WORKERS",
        "salience.yaml:1:41",
        "default",
    ]


def test_a_named_file_replaces_the_one_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text("log: {level: error}\n")
    (tmp_path / "other.yaml").write_text("log: {format: json}\n")
    by_flag = load(file="other.yaml", environ={}, folder=tmp_path).settings.log
    by_variable = load(environ={"SALIENCE_CONFIG": "other.yaml"}, folder=tmp_path).settings.log
    assert by_flag == by_variable
    assert (by_flag.level, by_flag.format) == ("info", "json")


def test_all_mistakes_of_a_file_are_named_with_place_caret_and_proposal(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        file="""\
api:
  prot: 9000
  port: "8000"
log: {level: loud}
api: {}
models: 5
bundle: {watch: no, poll_ms: }
""",
    )
    assert (
        said
        == """\
salience.yaml:2:3: api.prot is no setting; did you mean api.port?
  2 |   prot: ...
    |   ^^^^
salience.yaml:3:9: api.port must be a whole number from 0 to 65535, not "8000"
  3 |   port: "8000"
    |         ^^^^^^
salience.yaml:4:14: log.level must be one of debug, error, info, warning, not loud
  4 | log: {level: loud}
    |              ^^^^
salience.yaml:5:1: api is written twice; the first is in line 1; delete one of them
  5 | api: {}
    | ^^^
salience.yaml:6:9: models is a section: settings are indented below it
  6 | models: 5
    |         ^
salience.yaml:7:17: bundle.watch must be true or false, not no
  7 | bundle: {watch: no, poll_ms: }
    |                 ^^
salience.yaml:7:30: bundle.poll_ms must be a whole number from 1 to 86400000, not ""
  7 | bundle: {watch: no, poll_ms: }
    |                              ^"""
    )


def test_mistakes_in_variables_and_flags_name_them_beside_those_of_the_file(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        file="api: {port: -1}\n",
        environ={"SALIENCE_API__PROT": "1", "SALIENCE_KAFKA__BOOTSTRAP": "a:1,b", "HOME": "/", "SALIENCE_DATA": "/d"},
        flags=("api.port=70000", "port=1", "nonsense"),
    ).splitlines()
    assert [line for line in said if not line.startswith(" ")] == [
        "salience.yaml:1:13: api.port must be a whole number from 0 to 65535, not -1",
        "SALIENCE_API__PROT: this variable is no setting; did you mean SALIENCE_API__PORT?",
        "SALIENCE_KAFKA__BOOTSTRAP: kafka.bootstrap must be a list, each host:port, not a:1,b",
        "--set api.port: api.port must be a whole number from 0 to 65535, not 70000",
        "--set port: port is no setting; did you mean api.port or admin.port or shop.port?",
        "--set nonsense: a setting is given as --set name=value",
    ]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("api: [", "salience.yaml:1:7: did not find expected node content"),
        ("api:\n\tport: 1\n", "salience.yaml:2:1: a tab indents this line; indent with spaces"),
        ("- api\n", "salience.yaml:1:1: settings are written as name: value"),
        ("kafka: {bootstrap: {a: b}}\n", "salience.yaml:1:20: kafka.bootstrap must be a list, each host:port"),
        ("api: {port: [1]}\n", "salience.yaml:1:13: api.port must be a whole number"),
        ("{[a]: b}\n", "salience.yaml:1:2: a key must be text, this is a list"),
        ("redis: {url: 'redis://:hunter2@host'}\n", "redis.url must be an address such as"),
        ("data_dir: ~\n", "data_dir must be a path, not ~"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, file: str, said: str) -> None:
    assert said in refused(tmp_path, file=file)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, environ={"SALIENCE_CONFIG": "gone.yaml"}) == (
        "gone.yaml: the file can't be read: No such file or directory"
    )
    (tmp_path / "salience.yaml").write_bytes(b"api: \xff\n")
    assert refused(tmp_path) == "salience.yaml: the file is not UTF-8 text (byte 5)"


def test_the_type_decides_how_a_text_is_read_not_its_looks(tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text(
        "kafka: {topic_prefix: no, group: 1e3, bootstrap: [h:1, 'i:2']}\nredis: {password: 0123}\nworker:\n"
    )
    settings = load(environ={}, folder=tmp_path).settings
    assert settings.kafka.topic_prefix == "no"
    assert settings.kafka.group == "1e3"
    assert settings.kafka.bootstrap == ("h:1", "i:2")
    assert settings.redis.password.reveal() == "0123"


def test_a_path_is_relative_to_where_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "s.yaml").write_text("bundle: {folder: rules}\n")
    settings = load(file="etc/s.yaml", environ={}, flags=["models.registry=m"], folder=tmp_path).settings
    assert settings.bundle.folder == tmp_path / "etc" / "rules"
    assert settings.models.registry == tmp_path / "m"
    assert settings.data_dir == tmp_path / ".salience"


def test_what_ships_is_found_from_any_folder_and_the_registry_follows_the_data(tmp_path: Path) -> None:
    settings = load(environ={"SALIENCE_DATA_DIR": "elsewhere"}, folder=tmp_path).settings
    assert settings.bundle.folder == DEFAULTS.parent.parent / "rulesets" / "shop"
    assert settings.models.registry == tmp_path / "elsewhere" / "models"


def test_a_child_process_gets_the_same_settings_wherever_it_runs(tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text(
        "redis: {password: hunter2}\nkafka: {bootstrap: [a:1, b:2]}\nbundle: {watch: false, folder: r}\n"
    )
    parent = load(environ={}, flags=["api.port=0"], folder=tmp_path)
    child = load(environ=parent.environment(), folder=tmp_path.parent)
    assert child.settings == parent.settings


# ------------------------------------------------------------------------------------------------------ secrets


def test_a_secret_shows_only_whether_it_is_set(tmp_path: Path) -> None:
    loaded = load(environ={"SALIENCE_REDIS__PASSWORD": "hunter2"}, folder=tmp_path)
    secret = loaded.settings.redis.password
    assert secret.reveal() == "hunter2"
    assert f"{secret} {secret!r} {loaded.settings}".count("hunter2") == 0
    assert (repr(secret), repr(Secret())) == ("set", "not set")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_a_secret_is_equal_by_its_text_alone() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"


@pytest.mark.parametrize(
    "file",
    [
        "redis: {password: [hunter2]}\n",
        "redis: {pasword: hunter2}\n",
        "redis: {pass: hunter2}\n",
        "redis: {password: hunter2, url: 5}\n",
        "redis: {url: x, password: hunter2}\n",
        "redis:\n  password: hunter2: x\n",
        "hunted: hunter2\n",
        "redis: {url: 'redis://:hunter2@host'}\n",
    ],
)
def test_no_mistake_shows_a_secret(tmp_path: Path, file: str) -> None:
    assert "hunter2" not in refused(tmp_path, file=file)


def test_a_secret_on_the_command_line_is_refused_without_showing_it(tmp_path: Path) -> None:
    said = refused(tmp_path, flags=("redis.password=hunter2",))
    assert "SALIENCE_REDIS__PASSWORD" in said
    assert "hunter2" not in said


# ----------------------------------------------------------------------------------------------------- defaults


def test_every_setting_has_a_default_with_its_reason_above_it() -> None:
    lines = DEFAULTS.read_text().splitlines()
    root = yaml.compose("\n".join(lines), Loader=yaml.BaseLoader)
    assert isinstance(root, yaml.MappingNode)
    named = {}
    for name, value in root.value:
        for child, _ in value.value if isinstance(value, yaml.MappingNode) else [(name, value)]:
            key = name.value if child is name else f"{name.value}.{child.value}"
            named[key] = lines[child.start_mark.line - 1].strip()
    assert set(named) == set(kinds())
    assert {key for key, above in named.items() if not above.startswith("#")} == set()


def test_every_setting_is_read_by_something() -> None:
    """A setting that changes nothing would be a promise that is not kept."""
    root = DEFAULTS.parent.parent
    own = {root / "service" / name for name in ("settings.py", "settings_sources.py", "settings_values.py")}
    modules = {*root.glob("service/**/*.py"), *root.glob("connectors/*.py")} - own
    code = "\n".join(path.read_text("utf-8") for path in modules)
    assert [key for key in kinds() if not re.search(rf"\.{key.rpartition('.')[2]}\b", code)] == []


def test_every_setting_has_a_variable_of_its_own() -> None:
    assert len({variable_of(key) for key in kinds()}) == len(kinds())


def test_a_client_that_is_not_installed_is_refused_with_the_extra_that_installs_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("service.settings.find_spec", lambda module: None)
    assert refused(tmp_path, file="kafka:\n  client: librdkafka\n").splitlines()[0] == (
        "salience.yaml:2:11: kafka.client can't be librdkafka: install the extra, salience[librdkafka]"
    )


def test_files_of_certificates_are_paths_and_empty_ones_nothing(tmp_path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "s.yaml").write_text("kafka: {ssl_ca: ca.pem, ssl_key: ''}\n")
    loaded = load(file="etc/s.yaml", environ={}, folder=tmp_path)
    kafka = loaded.settings.kafka
    assert (kafka.ssl_ca, kafka.ssl_key, kafka.ssl_certificate) == (folder / "ca.pem", None, None)
    again = load(environ=loaded.environment(), folder=tmp_path / "elsewhere").settings.kafka
    assert (again.ssl_ca, again.ssl_key) == (folder / "ca.pem", None)
