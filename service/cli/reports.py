"""Decisions and rules as people read them: trees with what holds, what does not, and how far it is from holding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.markup import escape
from rich.tree import Tree

from engine.activation import ConditionReport, RuleReport
from engine.decision import Degradation, Lost, Outcome, Shown
from engine.values import EpochMs, Truth

_OUTCOMES = {
    Outcome.OFFER: "",
    Outcome.HOLDOUT: "held out, so that the effect can be measured: the fallback is shown",
    Outcome.NO_MATCH: "no rule holds: the fallback is shown",
    Outcome.SUPPRESSED: "rules hold, but nothing may be shown: the fallback is shown",
    Outcome.DEGRADED: "something was not there: the fallback is shown",
}


def moment(time: EpochMs) -> str:
    """A moment in the zone of this machine."""
    return datetime.fromtimestamp(time / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def mark(truth: Truth) -> str:
    """A sign, and never only a colour."""
    return {True: "[green]yes[/green]", False: "[red]no[/red]", None: "[yellow]unknown[/yellow]"}[truth]


def placement_tree(
    name: str,
    outcome: Outcome,
    offers: Iterable[Shown],
    lost: Iterable[Lost],
    valid_until: EpochMs | None,
) -> Tree:
    """One placement of a decision."""
    words = _OUTCOMES[outcome]
    tree = Tree(f"[bold]{escape(name)}[/bold]" + (f"  [dim]{words}[/dim]" if words else ""))
    for offer in offers:
        by = f"  by rule {escape(offer.rule)}" if offer.rule else "  [dim](fallback)[/dim]"
        branch = tree.add(f"[cyan]{escape(offer.offer)}[/cyan]{by}")
        for reason in offer.reasons:
            add_condition(branch, reason)
    for each in lost:
        detail = f": {escape(each.detail)}" if each.detail else ""
        because = each.because.replace("_", " ")
        tree.add(f"[dim]not {escape(each.offer)} (rule {escape(each.rule)}), {because}{detail}[/dim]")
    if valid_until is not None:
        tree.add(f"[dim]stays so until {moment(valid_until)} unless something happens[/dim]")
    return tree


def rules_tree(title: str, reports: Sequence[RuleReport]) -> Tree:
    """Rules, those that hold first, then those that one condition keeps from holding."""
    tree = Tree(title)
    for report in sorted(reports, key=lambda each: (each.truth is not True, not each.near_miss)):
        near = "  [yellow]one condition away[/yellow]" if report.near_miss else ""
        held = f"  [yellow]but may not act: {escape(report.held_back)}[/yellow]" if report.held_back else ""
        branch = tree.add(f"{mark(report.truth)}  [bold]{escape(report.rule)}[/bold]{near}{held}")
        add_condition(branch, report.condition)
    return tree


def add_condition(tree: Tree, report: ConditionReport) -> None:
    """A condition with its parts."""
    if report.parts:
        names = {"all": "all of", "any": "any of", "not": "not", "segment": f"segment {report.subject or ''}".rstrip()}
        branch = tree.add(f"{mark(report.truth)}  {escape(names.get(report.kind, report.text))}")
        for part in report.parts:
            add_condition(branch, part)
        return
    found = []
    if report.actual is not None:
        found.append(f"it is {report.actual}")
    if report.distance is not None and report.truth is not True:
        found.append(report.distance)
    if report.missing is not None:
        found.append(f"{report.missing} has no value")
    words = f"  [dim]({escape('; '.join(found))})[/dim]" if found else ""
    tree.add(f"{mark(report.truth)}  {escape(report.text)}{words}")


def degraded_lines(degraded: Iterable[Degradation]) -> list[str]:
    """What was missing, as lines."""
    return [f"[yellow]degraded[/yellow] {each.code.replace('_', ' ')}: {escape(each.detail)}" for each in degraded]
