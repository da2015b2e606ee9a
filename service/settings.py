"""The settings of a process: one frozen object, and where each value came from.

Later ones win: `config/defaults.yaml`, then a file (`--config`, SALIENCE_CONFIG, or ./salience.yaml where there is one), then
variables (`SALIENCE_API__PORT`), then flags (`--set api.port=9000`). A setting that does not exist or does not fit is
refused, with all others that are wrong and the place of each, also where a later one would have won.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import config
from config.schema import Settings
from config.secret import Secret
from service.settings_issues import Issue, SettingsError
from service.settings_sources import Found, Given, covered, from_file, from_flags, from_variables, variable_of
from service.settings_values import build, kinds, written

__all__ = ["Loaded", "Secret", "Settings", "SettingsError", "load"]

DEFAULTS = Path(config.__file__).with_name("defaults.yaml")
# A path of the defaults that ships with the application, in a checkout and in a wheel alike.
APPLICATION = DEFAULTS.parent.parent
SHIPPED = {"bundle.folder"}
FILE = "salience.yaml"
EXTRAS = {
    ("kafka.client", "librdkafka"): ("confluent_kafka", "salience[librdkafka]"),
    ("api.grpc_port", None): ("grpc", "salience[grpc]"),
}
"""Values for which a module must be there, and the extra that installs it; None: any value."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with their origins."""

    settings: Settings
    origins: Mapping[str, str]
    """For each setting (`api.port`): `default`, `salience.yaml:3:9`, `SALIENCE_API__PORT` or `--set api.port`."""

    def values(self) -> dict[str, object]:
        """Return every setting with its value, in the order of the schema; secrets are `Secret`."""
        return {key: _look_up(self.settings, key) for key in kinds()}

    def environment(self) -> dict[str, str]:
        """Return the variables with which a child process has the same settings, wherever it runs.

        They hold the secrets in the clear: hand them to a child, never to a log.
        """
        return {
            variable_of(key): written(value) for key, value in self.values().items() if self.origins[key] != "default"
        } | {variable_of("data_dir"): str(self.settings.data_dir)}


def load(
    *,
    file: str | Path | None = None,
    flags: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Loaded:
    """Read all sources.

    Args:
        file: The settings file; default: SALIENCE_CONFIG, else `salience.yaml` in `folder` where it exists.
        flags: `name=value` of each `--set`.
        environ: Variables; default: those of the process.
        folder: What the paths of variables and flags are relative to; default: the working directory.

    Raises:
        SettingsError: at least one setting is unknown, ill-typed or out of range, or a file can't be read.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder.resolve()
    sources: list[Iterable[Found]] = []
    if named := file or environ.get("SALIENCE_CONFIG"):
        sources.append(from_file(folder / Path(named).expanduser(), str(named)))
    elif (folder / FILE).exists():
        sources.append(from_file(folder / FILE, FILE))
    sources += [from_variables(environ, folder), from_flags(flags, folder)]

    issues: list[Issue] = []
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for found in (item for source in (from_file(DEFAULTS, "config/defaults.yaml"), *sources) for item in source):
        if isinstance(found, Issue):
            issues.append(found)
            continue
        try:
            values[found.key] = _value(found)
        except ValueError:
            issues.append(_misfit(found))
        else:
            issues += _missing(found, values[found.key])
        origins[found.key] = found.place
    issues += [Issue("config/defaults.yaml", f"{key} has no default") for key in kinds() if key not in origins]
    if issues:
        raise SettingsError(issues)

    shipped = f"{DEFAULTS.parent.name}/{DEFAULTS.name}:"
    origins = {key: "default" if place.startswith(shipped) else place for key, place in origins.items()}
    return Loaded(_settings(values, origins, folder), origins)


def _value(found: Given) -> object:
    value = kinds()[found.key].value(found.written)
    if kinds()[found.key].path and value:
        return found.folder / Path(str(value)).expanduser()
    return value


def _missing(found: Given, value: object) -> Iterator[Issue]:
    """Say which extra is not installed, where this value needs it."""
    if value is None or isinstance(value, tuple):
        return
    needed = EXTRAS.get((found.key, str(value))) or EXTRAS.get((found.key, None))
    if needed is not None:
        module, extra = needed
        if find_spec(module) is None:
            yield Issue(found.place, f"{found.key} can't be {value}: install the extra, {extra}", found.excerpt)


def _settings(values: dict[str, object], origins: Mapping[str, str], folder: Path) -> Settings:
    """Place the paths that nobody set: what ships beside the application, what is written below `data_dir`."""
    for key, kind in kinds().items():
        if kind.path and origins[key] == "default" and values[key]:
            value = Path(str(values[key])).relative_to(DEFAULTS.parent)
            values[key] = (APPLICATION if key in SHIPPED else folder) / value
    if not values["models.registry"]:
        values["models.registry"] = Path(str(values["data_dir"])) / "models"
    return build(values)


def _misfit(found: Given) -> Issue:
    kind = kinds()[found.key]
    if kind.secret or isinstance(found.written, tuple):
        return Issue(found.place, f"{found.key} must be {kind.words}", found.excerpt)
    text = f'"{found.written.text}"' if found.written.quoted or not found.written.text else found.written.text
    return Issue(found.place, f"{found.key} must be {kind.words}, not {covered(text)}", found.excerpt)


def _look_up(settings: Settings, key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
