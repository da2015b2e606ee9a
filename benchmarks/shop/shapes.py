"""Rules of many different structures over the events of the shop workload: nothing to share, nothing of one form.

Drawn from a seed; no two rules have the same tree of kinds, whatever their thresholds.
"""

from __future__ import annotations

from random import Random

from benchmarks.shop import translation
from engine.language import check, render
from engine.language.tree import Program

CATEGORIES = [f"c{number}" for number in range(20)]
TIERS = ("guest", "silver", "gold", "platinum")
WINDOWS = ("30 seconds", "2 minutes", "5 minutes", "10 minutes", "30 minutes", "1 hour")
PLAIN = ("page_view", "checkout_view", "purchase", "identify", "product_view", "cart_add", "cart_remove")
PRICED = ("cart_add", "cart_remove")
WITH_CATEGORY = ("product_view", "cart_add", "cart_remove")


def _leaf(random: Random) -> tuple[str, str]:
    """A condition and its structure: all of it but thresholds and categories."""
    kind = random.choice(
        ("event", "count", "sum", "average", "maximum", "minimum", "distinct", "total", "tier", "last")
    )
    window = random.choice(WINDOWS)
    within = f", within: {window}"
    where = ""
    match kind:
        case "event":
            of = random.choice(PLAIN)
            if of in WITH_CATEGORY and random.random() < 0.7:
                where = f", where: {{category: {random.choice(CATEGORIES)}}}"
            return f"{{event: {of}{where}{within}}}", f"event {of} {bool(where)} {window}"
        case "count":
            of = random.choice(PLAIN)
            if of in WITH_CATEGORY and random.random() < 0.7:
                where = f", where: {{category: {random.choice(CATEGORIES)}}}"
            test = random.choice(("at_least", "below", "is"))
            return (
                f"{{count: {of}{where}{within}, {test}: {random.randint(1, 5)}}}",
                f"count {of} {where != ''} {window} {test}",
            )
        case "sum" | "average" | "maximum" | "minimum":
            of = random.choice(PRICED)
            test = random.choice(("above", "at_most"))
            limit = random.randint(20, 400) if kind == "sum" else random.randint(10, 110)
            return f"{{{kind}: {of}.price{within}, {test}: {limit}}}", f"{kind} {of} {window} {test}"
        case "distinct" | "last":
            of = random.choice(WITH_CATEGORY)
            if kind == "last":
                return f"{{last: {of}.category{within}, is: {random.choice(CATEGORIES)}}}", f"last {of} {window}"
            test = random.choice(("at_least", "below"))
            return (
                f"{{distinct: {of}.category{within}, {test}: {random.randint(2, 5)}}}",
                f"distinct {of} {window} {test}",
            )
        case "total":
            test = random.choice(("above", "at_most"))
            return f"{{fact: cart.total, {test}: {random.randint(10, 1500)}}}", f"total {test}"
        case _:
            test = random.choice(("is", "is_not"))
            return f"{{fact: shopper.tier, {test}: {random.choice(TIERS)}}}", f"tier {test}"


def _tree(random: Random, depth: int) -> tuple[str, str]:
    roll = random.random()
    if depth == 0 or roll < 0.45:
        return _leaf(random)
    if roll < 0.6:
        text, shape = _leaf(random)
        return f"{{not: {text}}}", f"not({shape})"
    parts = [_tree(random, depth - 1) for _ in range(random.randint(2, 3))]
    if len({text for text, _ in parts}) < len(parts):
        return _leaf(random)
    word = random.choice(("all", "any"))
    return f"{{{word}: [{', '.join(text for text, _ in parts)}]}}", f"{word}({'; '.join(shape for _, shape in parts)})"


def program(count: int, seed: int) -> Program:
    """So many rules, each an `all` of two to four parts. Raises `SystemExit` where the language refuses them."""
    random = Random(seed)
    seen: set[str] = set()
    texts: list[str] = []
    while len(texts) < count:
        parts = [_tree(random, 2) for _ in range(random.randint(2, 4))]
        shape = "; ".join(sorted(each for _, each in parts))
        if shape in seen or len({text for text, _ in parts}) < len(parts):
            continue
        candidate = (
            f"  - rule: m{len(texts)}\n    when:\n      all:\n"
            + "".join(f"        - {text}\n" for text, _ in parts)
            + "    then: [{trigger: t}]\n"
        )
        if _is_refused(candidate):  # impossible, or always true: the checker proves it
            continue
        seen.add(shape)
        texts.append(candidate)
    sources = _sources(texts)
    checked = check(sources)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, sources))
    return checked.program


def _sources(texts: list[str]) -> dict[str, str]:
    sources = {"vocabulary.yaml": translation.VOCABULARY.format(keep=500)}
    for first in range(0, len(texts), translation.FILE):
        name = f"shapes{first}"
        sources[f"{name}.yaml"] = f"ruleset: {name}\nowner: benchmark\nrules:\n" + "".join(
            texts[first : first + translation.FILE]
        )
    return sources


def _is_refused(text: str) -> bool:
    return check(_sources([text])).program is None
