"""What commands share: the settings of this call, failures as sentences, the option `--json`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from service.settings import Loaded, Settings

Function = TypeVar("Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """What was asked for could not be done; the message is a sentence that says what to do. Exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence on stderr."""
        click.echo(f"salience: {self.message}", file=file, err=file is None)


@dataclass(frozen=True)
class Invocation:
    """One call of the command line: its global options, and the settings that follow from them when asked for."""

    config: Path | None = None
    flags: tuple[str, ...] = ()
    debug: bool = False
    extra: tuple[str, ...] = field(default=())
    """Settings that a command's own options stand for, as `name=value`; they win over `flags`."""

    @cached_property
    def loaded(self) -> "Loaded":
        """The settings with their origins.

        Raises:
            SettingsError: see `service.settings.load`; `main` prints it and exits with 2.
        """
        from service.settings import load  # noqa: PLC0415 - reads YAML; `--help` and completion need none

        return load(file=self.config, flags=(*self.flags, *self.extra))

    @property
    def settings(self) -> "Settings":
        """The settings."""
        return self.loaded.settings

    def having(self, **options: object) -> "Invocation":
        """Return this call with options of a command put into settings: `having(api__port=9000)`; None is left out."""
        extra = tuple(f"{name.replace('__', '.')}={value}" for name, value in options.items() if value is not None)
        return Invocation(self.config, self.flags, self.debug, self.extra + extra)


pass_invocation = click.make_pass_decorator(Invocation)
"""Decorates a command whose first argument is the `Invocation`."""

json_option: Callable[[Function], Function] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs."
)
"""Decorates a command that takes `as_json`."""
