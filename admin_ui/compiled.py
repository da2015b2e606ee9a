"""Sources, checked and compiled, kept for a while: the same draft is looked at by many requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from admin_ui.backend import Backend
from engine.bundle import Bundle
from engine.language.diagnostics import Diagnostic
from engine.language.tree import Program
from engine.rete import Network
from engine.testing import TestResult

KEPT = 8
"""Compiled bundles kept: live, the draft, the draft as it is typed, and two revisions being compared, with room."""


@dataclass(slots=True)
class Compiled:
    """Sources with what the checker says of them.

    Attributes:
        key: Hash of the sources.
        program: None where the checker found an error.
        network: None likewise.
    """

    key: str
    sources: Mapping[str, str]
    program: Program | None
    network: Network | None
    diagnostics: Sequence[Diagnostic]
    results: Sequence[TestResult] | None = field(default=None)


class Compiler:
    """Checks and compiles through a small cache. Safe to call from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Compiled] = OrderedDict()

    def compile(self, sources: Mapping[str, str]) -> Compiled:
        """Check and compile; the diagnostics say why there is no program."""
        key = Bundle(dict(sources)).hash
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        checked = self._backend.check(sources)
        network = None if checked.program is None else Network.build(checked.program, key)
        fresh = Compiled(key, dict(sources), checked.program, network, checked.diagnostics)
        with self._lock:
            self._kept[key] = fresh
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return fresh

    def results(self, compiled: Compiled) -> Sequence[TestResult]:
        """The outcome of the tests beside the rules, run once; none where the sources do not compile."""
        if compiled.results is None:
            if compiled.program is None or compiled.network is None:
                return ()
            compiled.results = self._backend.test(compiled.program, compiled.network)
        return compiled.results
