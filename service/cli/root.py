"""The root of the command line: global options, commands by name, errors as sentences."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from service.cli.invocation import Invocation
from service.settings_issues import SettingsError

# Name -> what `salience --help` says of it. The module is service/cli/<name>.py; a command without one is not listed.
COMMANDS = {
    "run": "Start everything: API, worker, admin UI, example shop and its shoppers.",
    "api": "Serve the decision API.",
    "worker": "Evaluate the event stream.",
    "admin": "Serve the admin UI.",
    "validate": "Check a ruleset and name every mistake.",
    "test": "Run the tests beside the rules, with a virtual clock.",
    "network": "List what the rules became, and what each part takes.",
    "publish": "Make a ruleset live, once every process has it.",
    "rollback": "Go back to the previous revision.",
    "status": "Show what is live and how it is.",
    "facts": "Load and show what is known of customers and things.",
    "topics": "Make and check the topics on Kafka.",
    "lag": "Show how far behind the workers are, by partition.",
    "state": "Show the working memory of a session, and what was live at which offset.",
    "rebuild": "Build stored state anew from the event log.",
    "snapshot": "Save stored state in a file, and put it back.",
    "dead": "List, show and retry records that could not be applied.",
    "diff": "Compare two revisions, or a folder with what is live.",
    "decide": "Ask for a decision.",
    "preview": "Make a link that shows a shop as it will be.",
    "why": "Explain a decision or a session.",
    "redecide": "Make a decision again, to prove it, or by other rules.",
    "replay": "Feed a recording into the event log.",
    "train": "Train a model and write its card.",
    "models": "List, inspect and remove models of the registry.",
    "users": "Manage who may sign in to the admin UI.",
    "keys": "Manage the keys of API clients.",
    "signing": "Manage the keys that sign what is published.",
    "settings": "Show every setting and where it came from.",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands whose modules exist, in the order of `COMMANDS`."""
        return [name for name in COMMANDS if importlib.util.find_spec(f"{__package__}.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in COMMANDS or not importlib.util.find_spec(f"{__package__}.{cmd_name}"):
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"service/cli/{cmd_name}.py: `command` is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which may be meant."""
        import difflib  # noqa: PLC0415 - only for a mistake

        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            meant = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{args[0]}'.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - reads files of the installation

        click.echo(f"salience {version('salience')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings file; default: SALIENCE_CONFIG, else ./salience.yaml where it exists.",
)
@click.option(
    "--set", "flags", multiple=True, metavar="NAME=VALUE", help="A setting, such as api.port=9000; repeatable."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None, flags: tuple[str, ...], debug: bool) -> None:
    """Salience decides what each shopper of an online store should see next."""
    ctx.obj = Invocation(config=config, flags=flags, debug=debug)


def main() -> NoReturn:
    """Run the command line; every error is a sentence on stderr."""
    try:
        code = cli.main(prog_name="salience", standalone_mode=False)
    except click.exceptions.Abort:
        _end(130, ["stopped"])
    except SettingsError as error:
        _end(2, _paragraphs(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stdout = None  # the reader of a pipe has gone; nothing is left to flush to
        sys.exit(1)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        detail = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        _end(1, [f"{detail}{place}", "`salience --debug ...` shows where"])
    sys.exit(code if isinstance(code, int) else 0)


def _paragraphs(error: SettingsError) -> Iterator[str]:
    yield f"{len(error.issues)} of the settings can't be used" if len(error.issues) > 1 else "a setting can't be used"
    yield from map(str, error.issues)


def _end(code: int, lines: "Iterator[str] | list[str]") -> NoReturn:
    for position, line in enumerate(lines):
        click.echo(line if position else f"salience: {line}", err=True)
    sys.exit(code)
