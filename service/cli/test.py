"""`salience test`: run the tests beside the rules."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from engine.language import check
from engine.rete import Network
from engine.testing import Examination, TestResult, Unnoticed, WeakTest, examine, run_test
from service.cli.console import print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.validate import folder_sources, path_argument, print_diagnostics, summary


class FolderBrokenFailure(Failure):
    """The rulesets have errors, so that nothing can be tested. Exit code 2."""

    exit_code = 2


@click.command("test")
@path_argument
@click.option("-k", "--name", metavar="WORDS", help="Only tests whose ruleset or name contains these words.")
@click.option(
    "--weak",
    is_flag=True,
    help="Also look for tests that pass whatever the rules say, and for rules that no test misses.",
)
@json_option
@pass_invocation
def command(invocation: Invocation, path: Path | None, name: str | None, weak: bool, as_json: bool) -> int:
    """Run the tests beside the rules of a folder, with a virtual clock.

    PATH is the folder with vocabulary.yaml; without it the setting bundle.folder. Exit code 0 where all pass, 1 where one
    fails, 2 where there is nothing to run or the rules have errors.
    """
    sources = folder_sources(invocation, path)
    checked = check(sources)
    if checked.program is None:
        print_diagnostics(checked, sources)
        raise FolderBrokenFailure(f"{summary(checked)}; the tests run when the rules are without errors")
    program = checked.program
    chosen = [test for test in program.tests if name is None or name.lower() in f"{test.ruleset} {test.name}".lower()]
    if not chosen:
        wanted = "has no tests" if name is None else f"has no test with '{name}' in its ruleset or name"
        raise FolderBrokenFailure(f"the folder {wanted}")
    network = Network.build(program)
    with progress("testing", len(chosen)) as bar:
        results = []
        for test in chosen:
            results.append(run_test(program, network, test))
            bar.advance()
    found = _among(examine(program), results, everything=name is None) if weak else None
    failed = sum(not result.passed for result in results)
    if as_json:
        print_json(
            {
                "passed": len(results) - failed,
                "failed": failed,
                "tests": [{"passed": result.passed, **msgspec.structs.asdict(result)} for result in results],
                "examination": found,
            }
        )
    else:
        _print(stdout(), results)
        if found is not None:
            _print_examination(stderr(), found)
        stderr().print(f"{len(results) - failed} passed, {failed} failed", style="bold red" if failed else "green")
    return 1 if failed else 0


def _among(found: Examination, results: Sequence[TestResult], *, everything: bool) -> Examination:
    """What concerns the tests that were chosen; what no test notices is told only where all of them were."""
    chosen = {(result.file, result.line) for result in results}
    weak = tuple(test for test in found.weak if (test.file, test.line) in chosen)
    return found if everything else Examination(0, (), weak)


def _print(console: Console, results: Sequence[TestResult]) -> None:
    """Each test with a mark; of a failing one, what was expected, what came, and what it hung on."""
    ruleset = None
    for result in results:
        if result.ruleset != ruleset:
            ruleset = result.ruleset
            console.print(Text(ruleset, style="bold"))
        mark, style = ("ok", "green") if result.passed else ("FAILED", "red")
        console.print(Text.assemble("  ", (mark, style), f" {result.test}"))
        if result.problem is not None:
            console.print(Text(f"      {result.file}:{result.line}: {result.problem}"))
        for check_ in result.checks:
            if check_.passed:
                continue
            console.print(Text(f"      {result.file}:{check_.line}: at {check_.at}"))
            console.print(Text(f"        expected {check_.expected}"))
            console.print(Text(f"        came     {check_.came}"))
            for sentence in check_.why:
                console.print(Text(f"        {sentence}", style="dim"))


def _print_examination(console: Console, found: Examination) -> None:
    told: tuple[WeakTest | Unnoticed, ...] = (*found.weak, *found.unnoticed)
    for each in told:
        console.print(Text(f"{each.file}:{each.line}: warning: {each.message}", style="yellow"))
    if found.changes:
        noticed = found.changes - len(found.unnoticed)
        console.print(f"the tests notice {noticed} of {found.changes} changes to the rules")
