"""A gate that changes has another version: what is journaled is judged again by it."""

from __future__ import annotations

import json

import pytest

from magpie_hub.gates.registry import GATES, build_gates

from .versions import TABLE, code, now


@pytest.mark.parametrize("name", GATES)
def test_a_gate_that_changes_raises_its_version(name: str) -> None:
    known, here = json.loads(TABLE.read_text("utf-8")).get(name), now()[name]
    assert known is not None, (
        f"gate {name} is new: run python -m tests.gates.versions, which writes it into the table"
    )
    if known[1] != here[1]:
        assert here[0] > known[0], (
            f"gate {name} changed: raise its version and update the table "
            "(python -m tests.gates.versions)"
        )
    assert known == here, f"gate {name}: update the table (python -m tests.gates.versions)"


def test_no_gate_is_in_the_table_that_is_not_there() -> None:
    assert set(json.loads(TABLE.read_text("utf-8"))) == set(GATES)


def test_comments_words_and_layout_are_no_change() -> None:
    same = 'def f(a):\n    """Says."""\n    # why\n    return (a\n        + 1)\n'
    assert code(same, set()) == code("def f(a): return a + 1", set())
    assert code(same, set()) != code("def f(a): return a + 2", set())


def test_a_helper_that_changes_is_a_change(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from importlib.util import spec_from_file_location

    helper = tmp_path / "helper.py"
    helper.write_text("X = 1\n")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: spec_from_file_location(name, helper)
    )
    source = "from magpie_hub.gates.scripts import X\n"
    before = code(source, set())
    helper.write_text("X = 2\n")
    assert code(source, set()) != before


def test_the_resolved_list_names_side_gate_version_and_parameters() -> None:
    resolved = build_gates({"language": {"allow": ["en"]}}).resolved()
    assert ["instruction", "colon", GATES["colon"].version, {}] in resolved
    (language,) = [one for one in resolved if one[1] == "language"]
    assert language[0] == "instruction"
    assert language[3]["allow"] == ["en"]
    assert json.loads(json.dumps(resolved)) == resolved
    assert build_gates({"colon": False}).resolved() != build_gates().resolved()
