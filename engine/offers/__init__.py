"""Eligibility, arbitration, caps, budgets and holdouts: from the rules that hold to the offers that are shown.

`consider` finds and ranks, `claims` says what to take from the limit store, `conclude` makes the decision of its
verdicts, `next_grants` keeps what goes on being shown; `decide` does all of it where the store answers at once.
"""

from engine.offers.arbitration import LIMITS_UNAVAILABLE, Ask, claims, unavailable
from engine.offers.candidate import Candidate, Considered, View
from engine.offers.candidates import consider
from engine.offers.caps import Person, caps_of_offer, caps_of_rule, claim_of_activation
from engine.offers.conclusion import RECHECK, conclude, fall_back
from engine.offers.deciding import decide
from engine.offers.grants import Grants, next_grants
from engine.offers.holdout import draw, is_held_out
from engine.offers.memory_limits import MemoryLimits

__all__ = [
    "LIMITS_UNAVAILABLE",
    "RECHECK",
    "Ask",
    "Candidate",
    "Considered",
    "Grants",
    "MemoryLimits",
    "Person",
    "View",
    "caps_of_offer",
    "caps_of_rule",
    "claim_of_activation",
    "claims",
    "conclude",
    "consider",
    "decide",
    "draw",
    "fall_back",
    "is_held_out",
    "next_grants",
    "unavailable",
]
