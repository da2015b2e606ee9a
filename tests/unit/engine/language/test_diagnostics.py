"""How findings are collected and shown."""

from engine.language import check, render
from engine.language.diagnostics import MOST, closest
from tests.unit.engine.language.samples import FOLDER


def test_a_file_that_is_wrong_throughout_is_answered_with_a_bounded_list() -> None:
    rules = "".join(
        f"  - {{rule: r{number}, when: {{event: e{number}}}, then: {{trigger: t}}}}\n" for number in range(1_000)
    )
    sources = {**FOLDER, "rules/many.yaml": f"ruleset: many\nrules:\n{rules}"}
    found = check(sources).diagnostics
    assert len(found) == MOST + 1
    assert [each.message for each in found if each.code == "too-many-diagnostics"] == [
        f"700 more were found; the first {MOST} errors and {MOST} warnings are shown"
    ]


def test_many_warnings_do_not_hide_an_error() -> None:
    offers = "".join(f"  o{number}: {{content: {{title: Hello}}}}\n" for number in range(1_000))
    values = ", ".join(["a"] * 1_000)
    rule = f"ruleset: x\nrules:\n  - {{rule: x, when: {{fact: customer.country, is_one_of: [{values}], above: 5}}, then: {{trigger: t}}}}\n"
    sources = {**FOLDER, "offers.yaml": FOLDER["offers.yaml"] + offers, "x.yaml": rule}
    assert "operator-type" in {found.code for found in check(sources).diagnostics}


def test_the_proposal_is_the_nearest_name() -> None:
    assert closest("cart.valeu", ["cart.value", "cart.items"]) == "did you mean cart.value?"
    assert closest("CART.VALUE", ["cart.value"]) == "did you mean cart.value?"
    assert closest("value", ["cart.value", "cart.items"]) == "did you mean cart.value?"
    assert closest("zzz", ["cart.value"]) is None


def test_text_of_a_source_can_not_steer_a_terminal() -> None:
    sources = {**FOLDER, "x.yaml": "ruleset: x\nrules: \x1b[2J\n"}
    shown = render(check(sources).diagnostics, sources)
    assert "\x1b" not in shown
    assert "U+001B" in shown


def test_the_caret_stands_under_the_word_in_a_long_line() -> None:
    sources = {
        **FOLDER,
        "x.yaml": "ruleset: x\nrules: [" + "{rule: a, when: always, then: {trigger: t}}, " * 10 + "{rulee: b}]\n",
    }
    shown = render([found for found in check(sources).diagnostics if "rulee" in found.message], sources).splitlines()
    assert len(shown[1]) < 200
    assert shown[1][shown[2].index("^") :].startswith("rulee")
