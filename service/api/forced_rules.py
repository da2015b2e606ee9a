"""Rules with forced segments, for previews: compiled once for each set that somebody looks at."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from engine.language.forcing import with_segments
from engine.rete import Network
from service.api.rules import Rules

CAPACITY = 8
"""Each is a network of its own: some MB with a thousand rules."""


class ForcedRules:
    """The latest sets. Safe for several threads; each set is compiled by one of them."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, tuple[tuple[str, bool], ...]], Rules] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, rules: Rules, segments: Mapping[str, bool]) -> Rules:
        """These rules, with segments that hold or not as is said. Slow at first: it compiles."""
        loaded = rules.loaded
        forced = {name: holds for name, holds in segments.items() if name in loaded.program.segments}
        if not forced:
            return rules
        key = (loaded.revision.bundle, tuple(sorted(forced.items())))
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.loaded.revision != loaded.revision:
                program = with_segments(loaded.program, forced)
                # Another network than the one that wrote the sessions: it reads them as it does after a publication.
                known = {loaded.revision.bundle: loaded.network.rule_digests}
                network = Network.build(program, f"{loaded.revision.bundle} forced {key[1]}", known)
                kept = self._kept[key] = Rules.of(replace(loaded, program=program, network=network))
            self._kept.move_to_end(key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return kept
