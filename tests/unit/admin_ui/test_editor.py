"""The editor's side of the server: checks, sentences, saves, conflicts, files."""

from __future__ import annotations

import pytest

from admin_ui.drafts import Drafts, base_of
from tests.unit.admin_ui.conftest import Visitor
from tests.unit.admin_ui.memory_backend import MemoryBackend
from tests.unit.admin_ui.scenes import FILE, words


def check(visitor: Visitor, text: str) -> dict[str, list[dict[str, object]]]:
    answer = visitor.send("/editor/check", {"path": FILE, "text": text})
    assert answer.status_code == 200
    found = answer.get_json()
    assert isinstance(found, dict)
    return found


@pytest.fixture
def text(backend: MemoryBackend) -> str:
    live = backend.live()
    assert live is not None
    return live.sources[FILE]


def test_a_mistake_is_told_with_its_place_and_a_proposal(editor: Visitor, text: str) -> None:
    found = check(editor, text.replace("cart.value, at_least: 200", "cart.valeu, at_least: 200"))
    (mistake,) = [each for each in found["diagnostics"] if each["severity"] == "error"]
    assert mistake["proposal"] == "did you mean cart.value?"
    line = next(number for number, line in enumerate(text.split("\n"), 1) if "cart.value, at_least: 200" in line)
    assert (mistake["file"], mistake["line"]) == (FILE, line)
    assert not found["valid"]


def test_every_rule_of_the_file_comes_with_its_sentence(editor: Visitor, text: str) -> None:
    found = check(editor, text.replace("at_least: 200", "at_least: 150"))
    sentences = {rule["name"]: str(rule["sentence"]) for rule in found["rules"]}
    assert "at least 150.00 EUR" in sentences["free_shipping_nudge"]
    assert "too_fast" not in sentences


def test_text_that_is_no_yaml_at_all_is_answered(editor: Visitor) -> None:
    for broken in ("{", "\t", "a: [", "", "\x00", "- " * 5000):
        assert not check(editor, broken)["valid"]


def test_saving_changes_the_draft_and_no_other_byte(editor: Visitor, backend: MemoryBackend, text: str) -> None:
    odd = text.replace("\n", "\r\n") + "# a comment at the end without a line end"
    base = base_of({FILE: text}, FILE)
    answer = editor.send("/editor/save", {"path": FILE, "text": odd, "version": 0, "base": base})
    assert answer.get_json() == {"version": 1, "base": base}
    live = backend.live()
    assert live is not None
    assert Drafts(backend.tables).read(live.sources).files[FILE].text == odd


def test_the_second_of_two_people_is_told_and_shown_what_differs(
    editor: Visitor, publisher: Visitor, text: str
) -> None:
    base = base_of({FILE: text}, FILE)
    hers, his = text.replace("at_least: 200", "at_least: 180"), text.replace("at_least: 200", "at_least: 150")
    publisher.send("/editor/save", {"path": FILE, "text": hers, "version": 0, "base": base})
    answer = editor.send("/editor/save", {"path": FILE, "text": his, "version": 0, "base": base})
    assert answer.status_code == 409
    conflict = answer.get_json()
    assert conflict["author"] == "marta"
    assert conflict["theirs"] == hers
    changed = [line for kind, line in conflict["difference"] if kind in {"add", "del"}]
    assert len(changed) == 2
    again = {"path": FILE, "text": his, "version": conflict["version"], "base": conflict["base"]}
    assert editor.send("/editor/save", again).status_code == 200


def test_what_gave_way_is_shown_below_the_editor(editor: Visitor) -> None:
    lost = {"path": FILE, "text": "# my lost work", "author": "ed", "because": "gave way in a conflict"}
    assert editor.send("/editor/aside", lost).status_code == 204
    page = editor.get(f"/editor?file={FILE}").text
    assert "Set aside (1)" in page
    assert "# my lost work" in page


def test_a_new_file_begins_as_a_ruleset_of_its_author(editor: Visitor) -> None:
    assert editor.post("/editor/add", {"name": "Summer sale"}).headers["Location"] == "/editor?file=summer_sale.yaml"
    page = words(editor.get("/editor?file=summer_sale.yaml").text)
    assert "ruleset: summer_sale owner: ed" in page
    for bad in ("../../etc/passwd", "", "a/b", "-x"):
        assert editor.post("/editor/add", {"name": bad}).headers["Location"] == "/editor"


def test_a_file_is_deleted_with_the_next_publication_and_can_be_brought_back(
    editor: Visitor, backend: MemoryBackend
) -> None:
    editor.post("/editor/remove", {"path": "weekend.yaml"})
    page = editor.get("/editor")
    assert "The draft deletes weekend.yaml." in page.text
    assert "Removed in the draft" in editor.get("/rules?status=draft").text
    assert "weekend.yaml (file removed)" in words(editor.get("/publish").text)
    editor.post("/editor/discard", {"path": "weekend.yaml"})
    assert "nothing to publish" in editor.get("/publish").text
    assert editor.post("/editor/remove", {"path": "vocabulary.yaml"}).status_code == 404


def test_a_new_file_that_is_deleted_was_never_there(editor: Visitor, backend: MemoryBackend) -> None:
    editor.post("/editor/add", {"name": "sale"})
    editor.post("/editor/remove", {"path": "sale.yaml"})
    assert "nothing to publish" in editor.get("/publish").text
    assert editor.get("/editor?file=sale.yaml").status_code == 404


def test_words_are_proposed_from_the_vocabulary(editor: Visitor, text: str) -> None:
    line = len(text.split("\n"))
    answer = editor.send(
        "/editor/complete", {"path": FILE, "text": text + "x: {fact: cart.", "line": line, "column": 16}
    )
    found = answer.get_json()
    assert found["from"] == 11
    assert "cart.value" in [option["label"] for option in found["options"]]


def test_a_request_that_is_no_json_of_ours_is_refused_with_a_sentence(editor: Visitor) -> None:
    answer = editor.send("/editor/check", {"path": 1})
    assert answer.status_code == 400
    assert "can't be read" in answer.get_json()["error"]
