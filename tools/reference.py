"""Write the reference pages that follow from the code: `python -m tools.reference [--check]`.

`docs/settings.md` comes from `config/defaults.yaml` and its schema, `docs/commands.md` from the commands themselves,
`docs/codes.md` from the registries of codes, so none can drift; a test compares them.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from engine.language.codes import CODES
from service.api.problems import PROBLEMS, TYPE_PREFIX
from service.cli.root import cli
from service.settings import DEFAULTS, load
from service.settings_values import kinds, written

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = """\
# Settings

<!-- Written by `make docs` from config/defaults.yaml and config/schema.py. -->

A setting is looked for in four places; each wins over the ones before it:

1. the defaults below;
2. a YAML file: `--config FILE`, else the one that `SALIENCE_CONFIG` names, else `salience.yaml` in the working directory
   where it exists;
3. variables: `SALIENCE_` and the setting's name in capitals, with two underscores for the dot
   (`SALIENCE_API__PORT=9000`); a list is written with commas;
4. flags: `--set api.port=9000`, any number of times.

```yaml
# salience.yaml
api:
  port: 9000
kafka:
  bootstrap: [broker-1:9092, broker-2:9092]
```

`salience settings` shows every setting with its value and where it came from; `--changed` those that are not the default,
`--json` the same for programs.

A name that does not exist or a value that does not fit is refused, with its place (`salience.yaml:3:9` and a caret, the
variable, the flag), all of them at once, and nothing starts. A number is written without quotes, and `true` and `false` are
the only truth values.

A path is relative to the settings file that names it; in a variable or flag, to the working directory.

Secrets (`redis.password`, `kafka.sasl_password`, `kafka.ssl_key_password`, `crm.token`, `admin.secret_key`) are shown as `set` or `not set`, and are refused as flags, because other users
of a machine can read command lines. Without `admin.secret_key`, one is generated at the first start and kept in
`data_dir`, in `secrets/`, readable by its owner alone.

`SALIENCE_CONFIG` names the file, and `SALIENCE_DATA` the recordings for tests and benchmarks; both are no settings. Any other
variable that begins with `SALIENCE_` is refused.
"""

COMMANDS = """\
# Commands

<!-- Written by `make docs` from service/cli/. -->

`salience COMMAND`. Data goes to stdout, messages and progress to stderr; progress is shown at a terminal only. `--json` prints
JSON for programs.

| exit code | means |
|---|---|
| 0 | done |
| 1 | it failed, or what was checked is wrong; a sentence on stderr says what |
| 2 | it was used wrongly: an unknown option, or a setting that can't be used |
| 130 | stopped with Ctrl-C |

Completion: `eval "$(_SALIENCE_COMPLETE=bash_source salience)"` in `~/.bashrc` (`zsh_source` for zsh, `fish_source` for fish).
"""

CODES_PAGE = """\
# Codes

<!-- Written by `make docs` from engine/language/codes.py and service/api/problems.py. -->

Messages may be reworded; codes stay.

## Of the checker

`salience validate`, the editor and every way of publishing report these, each with file, line, column and a caret.

| code | means |
|---|---|"""

PROBLEMS_PAGE = """
## Of the API

An error of the API is a problem document (RFC 9457, `application/problem+json`); its `type` is `{prefix}` and one of:

| type | status | means | what to do |
|---|---|---|---|"""


def comments() -> dict[str, str]:
    """Return what `defaults.yaml` says above each setting."""
    found: dict[str, str] = {}
    section, above = "", []
    for line in DEFAULTS.read_text("utf-8").splitlines():
        text = line.strip()
        name = re.match(r"( *)([a-z0-9_]+):(.*)", line)
        if text.startswith("#"):
            above.append(text.removeprefix("#").strip())
        elif name:
            key = f"{section}.{name[2]}" if name[1] else name[2]
            section = section if name[1] else name[2]
            found[key] = " ".join(above)
            above = []
        else:
            above = []
    return found


def settings() -> str:
    """Return `docs/settings.md`."""
    said = comments()
    origin = Path("/shop")
    defaults = load(environ={}, folder=origin).values()
    lines = [SETTINGS]
    section = None
    for key, kind in kinds().items():
        here = key.rpartition(".")[0]
        if here != section:
            section = here
            lines.append(f"\n## {here or 'Where things are kept'}\n")
            lines.append("| setting | default | is | |\n|---|---|---|---|")
        default = said_default(key, defaults[key], origin)
        lines.append(f"| `{key}` | {default} | {kind.words} | {said[key]} |")
    return "\n".join(lines) + "\n"


def said_default(key: str, value: object, origin: Path) -> str:
    """Return a default as it is written in the file; an empty one as such."""
    if isinstance(value, Path):
        if key == "models.registry":
            return "`models` in `data_dir`"
        top = origin if value.is_relative_to(origin) else ROOT
        return f"`{value.relative_to(top)}`"
    text = written(value)
    return f"`{text}`" if text else "empty"


def commands() -> str:
    """Return `docs/commands.md`."""
    context = click.Context(cli, info_name="salience")
    lines = [COMMANDS, "\n## Options of all commands\n", *parameters(cli, context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        lines += described(command, click.Context(command, info_name=name, parent=context))
    return "\n".join(lines) + "\n"


def described(command: click.Command, context: click.Context) -> Iterator[str]:
    """Return the section of a command, and of those below it."""
    yield f"\n## {context.command_path}\n"
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc((command.help or "").replace("\b", "")))
    yield "\n\n".join(one_line(paragraph) for paragraph in paragraphs)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\n`{context.command_path} {usage}`\n"
    yield from parameters(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from described(inner, click.Context(inner, info_name=name, parent=context))


def parameters(command: click.Command, context: click.Context) -> Iterator[str]:
    """Return the table of a command's options."""
    rows = []
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden and "--help" not in parameter.opts:
            value = "" if parameter.is_flag or parameter.count else f" {parameter.make_metavar(context)}"
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
            rows.append(f"| `{names}{value.replace('|', '/')}` | {one_line(parameter.help)} |")
    if rows:
        yield "| option | |\n|---|---|"
        yield from rows


def one_line(text: str | None) -> str:
    """Return a help text as one cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def codes() -> str:
    """Return `docs/codes.md`."""
    diagnostics = [f"| `{code}` | {meaning} |" for code, meaning in CODES.items()]
    problems = [f"| `{slug}` | {kind.status} | {kind.title} | {kind.advice} |" for slug, kind in PROBLEMS.items()]
    return "\n".join(
        [CODES_PAGE.format(prefix=TYPE_PREFIX), *diagnostics, PROBLEMS_PAGE.format(prefix=TYPE_PREFIX), *problems, ""]
    )


PAGES = {"docs/settings.md": settings, "docs/commands.md": commands, "docs/codes.md": codes}


def main() -> int:
    """Write the pages, or tell which differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    arguments = parser.parse_args()
    differ = False
    for name, page in PAGES.items():
        path = ROOT / name
        text = page()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        differ = True
        if not arguments.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        print(f"reference: {name} {'differs; run make docs' if arguments.check else 'written'}")
    return int(differ and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
