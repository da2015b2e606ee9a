"""Sources, checked and compiled, kept for a while: the same draft is looked at by many requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from admin_ui.backend import Backend
from engine.bundle import Bundle
from engine.language import Checked
from engine.language.diagnostics import Diagnostic
from engine.language.tree import Program
from engine.rete import Network
from engine.testing import TestResult

KEPT = 8
"""Compiled bundles kept: live, the draft, the draft as it is typed, and two revisions being compared, with room."""


class Compiled:
    """Sources with what the checker says of them; what costs more is done when it is first asked for.

    Attributes:
        key: Hash of the sources.
        program: None where the checker found an error.
    """

    def __init__(
        self, key: str, sources: Mapping[str, str], checked: Checked, nearest: Callable[[Program], Network | None]
    ) -> None:
        """`nearest` gives the network of a program much like one, if there is any."""
        self.key = key
        self.sources = sources
        self.checked = checked
        self.program = checked.program
        self._nearest = nearest
        self.diagnostics: Sequence[Diagnostic] = checked.diagnostics

    @cached_property
    def network(self) -> Network | None:
        """The network; None where there is no program. Two threads may build it at once; both get a good one."""
        program = self.program
        return None if program is None else Network.build(program, self.key, previous=self._nearest(program))


class Compiler:
    """Checks and compiles through a small cache. Safe to call from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._results: dict[str, Sequence[TestResult]] = {}

    def compile(self, sources: Mapping[str, str]) -> Compiled:
        """Check; the diagnostics say why there is no program."""
        key = Bundle(dict(sources)).hash
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
            latest = next(reversed(self._kept.values()), None)
        checked = self._backend.check(sources, None if latest is None else latest.checked)
        fresh = Compiled(key, dict(sources), checked, self._nearest)
        with self._lock:
            self._kept[key] = fresh
            while len(self._kept) > KEPT:
                gone, _ = self._kept.popitem(last=False)
                self._results.pop(gone, None)
        return fresh

    def _nearest(self, program: Program) -> Network | None:
        """A network from which that of a program can be amended: the latest with its vocabulary, else the live one."""
        with self._lock:
            kept = list(reversed(self._kept.values()))
        for each in kept:
            network: Network | None = each.__dict__.get("network")  # where it was asked for already
            if network is not None and network.program.vocabulary is program.vocabulary:
                return network
        live = self._backend.live()
        return None if live is None else live.network

    def results(self, compiled: Compiled) -> Sequence[TestResult]:
        """The outcome of the tests beside the rules, run once; none where the sources do not compile."""
        program, network = compiled.program, compiled.network
        if program is None or network is None:
            return ()
        with self._lock:
            known = self._results.get(compiled.key)
        if known is None:
            known = self._backend.test(program, network)
            with self._lock:
                self._results[compiled.key] = known
        return known
