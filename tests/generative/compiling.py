"""Compiles the programs of generated cases: what several cases share, once."""

from __future__ import annotations

from dataclasses import replace

from engine.language.tree import Program
from engine.rete import Network
from engine.rete.amendment import amended
from engine.rete.compilation import Compiled, compile_program
from tests.generative.structure import structure

MOST = 48
"""Networks that are remembered: histories of one ruleset come one after the other."""


class Compiler:
    """Remembers what the very same programs were compiled to: to compare two costs as much as to compile one."""

    def __init__(self) -> None:
        # What an id is of is kept beside it, so that the id stays its own.
        self._whole: dict[int, tuple[Program, Compiled]] = {}
        self._amended: dict[tuple[int, int], tuple[Compiled, Program, Compiled | None]] = {}

    def whole(self, program: Program) -> Compiled:
        """A network made from nothing."""
        known = self._whole.get(id(program))
        if known is None:
            if len(self._whole) >= MOST:
                self._whole.clear()
            known = self._whole[id(program)] = (program, compile_program(program))
        return known[1]

    def amended(self, program: Program, former: Compiled) -> Compiled | None:
        """Another network, amended to be this program's, which must list the same nodes; None where it can't be."""
        key = (id(former), id(program))
        known = self._amended.get(key)
        if known is None:
            if len(self._amended) >= MOST:
                self._amended.clear()
            found = amended(program, former)
            if found is not None:
                ours, theirs = (
                    [replace(node, quantity=None) for node in Network(each, "", {}).nodes()]
                    for each in (found, self.whole(program))
                )
                assert ours == theirs, f"an amended network has the nodes {ours}, one made from nothing {theirs}"
                same, other = structure(found), structure(self.whole(program))
                differing = {
                    key: (same.get(key), other.get(key)) for key in same | other if same.get(key) != other.get(key)
                }
                assert not differing, f"an amended network differs from one made from nothing in {differing}"
            known = self._amended[key] = (former, program, found)
        return known[2]
