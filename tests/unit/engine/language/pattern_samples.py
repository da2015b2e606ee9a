"""What the tests of sequences, absences, keys and bound names share: a folder that has things to look up."""

from engine.language import check, render
from engine.language.tree import Condition, Rule
from tests.unit.engine.language.samples import FOLDER, UNUSED, VOCABULARY

EVENTS = "  price_changed: {product_id: text, price: money, tags: list of text, value: integer}\n  purchase:"
FACTS = """\
  product.stock: {type: integer, from: catalogue, by: product_id}
  product.price: {type: money, from: catalogue, by: product_id}
features:
"""
SHOP = {
    **FOLDER,
    "vocabulary.yaml": VOCABULARY.replace("  purchase:", EVENTS)
    .replace("features:\n", FACTS)
    .replace("product_viewed: {product_id: text, category: text}", "product_viewed: {product_id: text, category: text, price: money}"),
}  # fmt: skip
TRIGGER = "{trigger: t}"


def folder(when: str, then: str = TRIGGER, more: str = "", **files: str) -> dict[str, str]:
    text = f"ruleset: r\nrules:\n  - rule: x\n    when: {when}\n    then: {then}\n{more}"
    return {**SHOP, "rules/cart.yaml": text, **{f"{name}.yaml": source for name, source in files.items()}}


def found_in(when: str, then: str = TRIGGER, more: str = "", **files: str) -> list[tuple[str, str]]:
    """Codes of a rule with this condition, each with the text under its caret; what nobody nominates aside."""
    sources = folder(when, then, more, **files)
    diagnostics = check(sources).diagnostics
    found = []
    for each in diagnostics:
        line = sources[each.place.file].splitlines()[each.place.line - 1]
        if each.code not in UNUSED:
            found.append((each.code, line[each.place.column - 1 : each.place.column - 1 + each.length]))
    return found


def pattern_rule(when: str, then: str = TRIGGER, more: str = "", **files: str) -> Rule:
    sources = folder(when, then, more, **files)
    checked = check(sources)
    assert checked.program is not None, render(checked.diagnostics, sources)
    return next(rule for rule in checked.program.rules if rule.name == "x")


def pattern_of(when: str) -> Condition:
    return pattern_rule(when).when
