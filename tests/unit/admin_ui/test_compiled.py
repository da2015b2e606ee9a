"""Drafts are compiled from the draft before them: sooner, and to the same."""

from __future__ import annotations

from admin_ui.compiled import Compiler
from engine.rete import Network
from tests.unit.admin_ui.memory_backend import MemoryBackend, shop_sources

NEW = """  - rule: spring_greeting
    when: {event: checkout_viewed, within: 5 minutes}
    then:
      - {trigger: spring_greeting}
"""


def test_a_draft_takes_over_what_did_not_change_since_the_one_before() -> None:
    """A rule more, then one less: the others are the same objects, and each network is as if made from nothing."""
    backend = MemoryBackend(shop_sources())
    compiler = Compiler(backend)
    sources = shop_sources()
    first = compiler.compile(sources)
    assert first.program is not None
    assert first.network is not None
    path = first.program.rules[0].place.file
    longer = {**sources, path: sources[path].replace("rules:\n", f"rules:\n{NEW}", 1)}
    former = first
    for text in (longer, sources | {"note.yaml": "ruleset: note\nrules:\n" + NEW}):
        draft = compiler.compile(text)
        assert draft.program is not None, draft.diagnostics
        assert former.program is not None
        before, after = (
            {rule.id: rule.when for rule in each.program.rules} for each in (former, draft) if each.program
        )
        assert all(after[name] is before[name] for name in before.keys() & after.keys())
        assert draft.network is not None
        fresh = Network.build(draft.program, draft.key)
        assert [node.text for node in draft.network.nodes()] == [node.text for node in fresh.nodes()]
        former = draft
