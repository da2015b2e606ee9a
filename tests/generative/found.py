"""Seeds of defects that generation found, each once; the name says of what."""

from __future__ import annotations

from random import Random

from tests.generative.agreement import run_case
from tests.generative.words import PATTERNS

FOUND = {
    "a feature over other facts begins with what it is over nothing": 165,
    "a rule that is new acts though two reloads come before the next event": 1414,
    "a reload of unknown ancestry fires nothing by itself": 1316,
    "a late event that has left its window already leaves no mark of time behind": 1988,
    "a score does not see what rules conclude, not through a computed feature either": 2107,
    "a moment at which nothing changes is no step, so no model is asked at it": 3421,
    "a rule with scores that holds by another branch is seen to end": 4786,
    "what is computed from a derived fact follows when a reload takes its last rule away": 22968,
}
"""By `make test`, in worlds without patterns."""

FOUND_BY_FUZZ = {
    "a look at a pattern that changes no combination is no step, so no model is asked at it": 5003245,
    "an advance to the very moment at which something leaves a window is a step, though nothing changed": 5004492,
    "an absence that only an offer looks at makes no step, so no model is asked at it": 5004611,
}
"""By long runs."""

FOUND_BY_FUZZ_NOW = {
    "a name is bound by what looks at a key, whose test may bind nothing yet": 950024680,
    "a key that a rule would act for leaves its window, though another name that nobody uses is bound to nothing": 900819372,
    "a value of a key, chosen by a bound name, comes of age while its test keeps the name from being bound": 900362889,
    "a key leaves its window and no rule acts for each key, so that it is no moment at which models are asked anew": 900151128,
    "a report tells of the combination in which names hold, though what stands apart from them is unknown": 900044761,
    "an event that a difference both adds and takes off is two entries, and its node kept fewer events than the session": 800046392,
    "zero divided by what is below zero equals zero, and a model was told -0.0 or 0.0 as it came": 800099010,
    "what stands beside bound names without one leaves its window, and a model is asked at that moment": 800135773,
    "an event leaves a window of which only is asked whether there is a value, and no model is asked at that moment": 950050519,
}

FOUND_BY_EDITING = {
    "a count that is asked whether it has a value, which it always has, changes, and a model is asked at that moment": 960000739,
    "a rule that can never hold goes, and what only it looked at goes with it": 960002808,
}
"""The same, since one of eight rulesets is edited rule by rule."""
"""By long runs of `make fuzz`."""

FOUND_WITH_OTHERS = {
    "a combination that never held leaves its window, and no model is asked though a reload came before": 20000586,
}
"""By long runs in which several histories share a ruleset."""


WORDS = PATTERNS - {"where"}
"""The words that there were when these were found: with more, other worlds are drawn."""


def run_seed(seed: int) -> None:
    """Play a seed of `FOUND_BY_FUZZ`."""
    patterns = WORDS if seed % 2 else frozenset[str]()
    run_case(Random(seed), wild=seed % 10 == 0, plain=seed % 10 > 7, patterns=patterns)
