"""CLIPS through clipspy: a fact is asserted, the agenda runs and retracts it.

One environment serves all shoppers, who are told apart by a slot: CLIPS at its best, since an environment for each
would hold the rules once more for each. It counts its firings itself, without a call into Python.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any


def measure(rules: Sequence[tuple[int, int, int]], events: Sequence[Mapping[str, int]]) -> tuple[float, int]:
    """CPU microseconds for an event, and how many rules fired."""
    clips: Any = importlib.import_module("clips")  # an extra, without types
    environment = clips.Environment()
    environment.build("(deftemplate viewed (slot session) (slot category) (slot price) (slot size))")
    environment.build("(defglobal ?*fired* = 0)")
    for number, (category, price, size) in enumerate(rules):
        environment.build(
            f"(defrule r{number} (viewed (category c{category}) (price ?p&:(> ?p {price})) (size ?s&:(>= ?s {size})))"
            " => (bind ?*fired* (+ ?*fired* 1)))"
        )
    environment.build("(defrule gone (declare (salience -1)) ?f <- (viewed) => (retract ?f))")
    environment.reset()
    template = environment.find_template("viewed")
    plain = [
        {
            "session": event["session"],
            "category": clips.Symbol(f"c{event['category']}"),
            "price": event["price"],
            "size": event["size"],
        }
        for event in events
    ]
    run = environment.run
    began = time.process_time()
    for fact in plain:
        template.assert_fact(**fact)
        run()
    spent = time.process_time() - began
    return spent / len(plain) * 1e6, int(environment.find_global("fired").value)
