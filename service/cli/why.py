"""`salience why`: explain a decision, or how a session stands right now."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from engine.decision import Decision
from service.cli.asking import ask, asking_options, escaped
from service.cli.console import print_json, stdout
from service.cli.invocation import Invocation, json_option, pass_invocation
from service.cli.reports import degraded_lines, moment, placement_tree, rules_tree


@click.command("why")
@click.argument("decision_id", required=False)
@click.option("--session", help="A session, as its rules stand right now.")
@click.option("--rule", help="With --session: only this rule, by its id (ruleset.rule).")
@asking_options
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    decision_id: str | None,
    session: str | None,
    rule: str | None,
    url: str | None,
    key_file: Path | None,
    local: bool,
    as_json: bool,
) -> None:
    """Explain a decision by its id, or a session with --session: what fired, what did not, and how far it was."""
    if (decision_id is None) == (session is None):
        raise click.UsageError("give a decision's id, or a session with --session")
    if decision_id is not None:
        path = f"/v1/decisions/{escaped(decision_id)}"
        decision = ask(invocation.settings, "GET", path, Decision, url=url, key_file=key_file, local=local)
        print_json(decision) if as_json else _show_decision(decision)
        return

    from service.api.schema import SessionWhy  # noqa: PLC0415 - `--help` answers without it

    path = f"/v1/sessions/{escaped(session or '')}/why" + (f"?rule={escaped(rule)}" if rule else "")
    why = ask(invocation.settings, "GET", path, SessionWhy, url=url, key_file=key_file, local=local)
    if as_json:
        print_json(why)
        return
    console = stdout()
    of = f" of customer {escape(why.customer_id)}" if why.customer_id else ""
    console.print(f"session [bold]{escape(why.session_id)}[/bold]{of}, revision {why.revision}, {moment(why.time)}")
    if not why.known:
        console.print(
            "[yellow]nothing is known of this session[/yellow]: no event of it was processed, or it has ended"
        )
    for failure in why.failures:
        console.print(f"[red]rule {escape(failure.rule)} failed[/red]: {escape(failure.error)}")
    holding = sum(report.truth is True for report in why.rules)
    console.print(rules_tree(f"{holding} of {len(why.rules)} rules hold", why.rules))
    if why.valid_until is not None:
        console.print(f"[dim]stays so until {moment(why.valid_until)} unless something happens[/dim]")
    for decision in why.decisions[:5]:
        shown = ", ".join(
            f"{each.placement}: {', '.join(o.offer for o in each.offers)}" for each in decision.placements
        )
        console.print(f"[dim]{moment(decision.time)}[/dim]  {decision.id}  {escape(shown)}")


def _show_decision(decision: Decision) -> None:
    console = stdout()
    of = f" of customer {escape(decision.customer_id)}" if decision.customer_id else ""
    console.print(
        f"decision [bold]{decision.id}[/bold] about session {escape(decision.session_id)}{of}, "
        f"revision {decision.revision}, {moment(decision.time)}"
    )
    for line in degraded_lines(decision.degraded):
        console.print(line)
    for failure in decision.failures:
        console.print(f"[red]rule {escape(failure.rule)} failed[/red]: {escape(failure.error)}")
    for each in decision.placements:
        console.print(placement_tree(each.placement, each.outcome, each.offers, each.lost, each.valid_until))
    for name, score in decision.scores:
        value = "no answer" if score.value is None else f"{score.value:.3f}"
        console.print(f"score {escape(name)}: {value} ({score.status}, model {score.model_version or 'none'})")
    if decision.context:
        facts = ", ".join(f"{name} = {value}" for name, value in decision.context.items())
        console.print(f"[dim]with {escape(facts)}[/dim]")
