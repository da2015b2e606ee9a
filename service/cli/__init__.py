"""The command line of operators: `salience COMMAND`.

Each command is a module of this package with a click command named `command`, imported when it is used, so that `--help`
and completion answer at once. Data goes to stdout, messages and progress to stderr. Exit codes: 0 done, 1 failed, 2 used wrongly.
"""

from service.cli.root import cli, main

__all__ = ["cli", "main"]
