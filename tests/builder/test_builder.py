"""`load_dataset` on a builder folder, from plain scripts, with no import of ours."""

from __future__ import annotations

import json
from pathlib import Path

import magpie_hub
from tests.builder.conftest import Workshop

LOAD = """
rows = load_dataset("./builder", {name!r}{more})["train"]
print(json.dumps({{"ids": rows["row_id"][:], "uuids": rows["uuid"][:], "columns": rows.column_names,
                   "turns": [len(m) // 2 for m in rows["messages"][:]]}}))
"""


def load(name: str = "tiny", more: str = "") -> str:
    return LOAD.format(name=name, more=", " + more if more else "")


def test_a_plain_call_generates_and_a_second_one_does_not(workshop: Workshop) -> None:
    first = workshop.run(load()).json()
    assert first["ids"] == list(range(12))
    assert len(set(first["uuids"])) == 12
    assert {"instruction", "response", "messages", "uuid"} <= set(first["columns"])
    assert "conversations" not in first["columns"]
    made = workshop.generated()
    assert workshop.run(load()).json() == first
    assert workshop.generated() == made


def test_what_is_cached_loads_without_what_generates(workshop: Workshop) -> None:
    script = (
        load(more="rows=2")
        + """
import sys
print(json.dumps([name for name in ("magpie_hub.pipeline.run", "magpie_hub.release.stream",
                             "torch") if name in sys.modules]))
"""
    )
    assert "magpie_hub.pipeline.run" in workshop.run(script).json()
    assert workshop.run(script).json() == []


def test_turns_continue_the_rows_of_the_single_turn_config(workshop: Workshop) -> None:
    single, double = map(json.loads, workshop.run(load("tiny") + load("tiny-mt")).lines())
    assert double["uuids"] == single["uuids"]
    assert double["turns"] == [2] * 12
    assert {"instruction_2", "response_2"} <= set(double["columns"])
    assert workshop.generated() == 24


def test_keywords_win_over_variables_over_the_recipe(workshop: Workshop) -> None:
    by_variable, by_keyword, other_seed = workshop.run(
        """
def uuids(**keywords):
    return load_dataset("./builder", "tiny", **keywords)["train"]["uuid"][:]
print(json.dumps([uuids(), uuids(rows=3), uuids(rows=3, seed=7)]))
""",
        MAGPIE_ROWS="5",
    ).json()
    assert len(by_variable) == 5
    assert by_keyword == by_variable[:3]
    assert not set(other_seed) & set(by_keyword)


def test_an_edited_recipe_is_seen_and_a_touched_one_is_not_rebuilt(workshop: Workshop) -> None:
    script = """
builder = __import__("datasets").load_dataset_builder("./builder", "tiny")
print(json.dumps([builder.cache_dir, len(load_dataset("./builder", "tiny")["train"])]))
"""
    before = workshop.run(script).json()
    workshop.recipe.touch()
    assert workshop.run(script).json() == before
    workshop.edit(rows=14)
    after = workshop.run(script).json()
    assert after[1] == 14
    assert after[0] != before[0]
    assert workshop.generated() < 14 + 12


def test_streaming_yields_rows_while_others_are_generated(workshop: Workshop) -> None:
    got = workshop.run(
        """
import os, glob, sqlite3
stream = iter(load_dataset("./builder", "tiny", split="train", streaming=True, rows=300,
                           max_num_seqs=4))
first = next(stream)
db = sqlite3.connect(glob.glob(os.environ["MAGPIE_HOME"] + "/journals/*/first.db")[0])
early = db.execute("SELECT COUNT(*) FROM turns").fetchone()[0]
rest = list(stream)
print(json.dumps([first["row_id"], early, [row["row_id"] for row in rest]]))
"""
    ).json()
    assert got[0] == 0
    assert got[1] < 300
    assert got[2] == list(range(1, 300))


def test_a_stream_left_alone_ends_the_script_cleanly(workshop: Workshop) -> None:
    ran = workshop.run(
        """
for row in load_dataset("./builder", "tiny", split="train", streaming=True, rows=500):
    break
print(json.dumps(row["row_id"]))
"""
    )
    assert ran.json() == 0
    assert "Traceback" not in ran.err
    assert 0 < workshop.generated() < 500


def test_another_model_is_judged_by_what_can_work_and_a_line_says_what_cannot(
    workshop: Workshop, tiny_model: Path
) -> None:
    other = workshop.folder / "other"
    other.symlink_to(tiny_model)
    judges = {"language": True, "guard": {"model": "owner/guard-that-nobody-has"}}
    workshop.edit(judges=judges, selection={"require_safe": True})
    ran = workshop.run(load(more=f"rows=2, model={str(other)!r}"))
    columns = ran.json()["columns"]
    assert "language" in columns
    assert "safe" not in columns
    assert "guard (the model cannot be had here)" in ran.err


def test_features_and_configs_are_known_before_anything_is_generated(workshop: Workshop) -> None:
    got = workshop.run(
        """
import datasets
builder = datasets.load_dataset_builder("./builder", "tiny-mt")
print(json.dumps([list(builder.info.features), datasets.get_dataset_config_names("./builder")]))
"""
    ).json()
    assert "instruction_2" in got[0]
    assert sorted(got[1]) == ["tiny", "tiny-mt"]
    assert workshop.generated() == 0


def test_loading_leaves_nothing_beside_the_package(workshop: Workshop) -> None:
    assert len(workshop.run(load(more="rows=2")).json()["ids"]) == 2
    package = Path(magpie_hub.__file__).parent
    assert not package.with_suffix(".lock").exists()


def last_line(text: str) -> str:
    return [line for line in text.strip().splitlines() if line.strip()][-1]


MISTAKES = """
said = []
for call in {calls!r}:
    try:
        load_dataset("./builder", **call)
    except Exception as error:
        said.append(f"{{type(error).__module__}}.{{type(error).__qualname__}}: {{error}}")
print(json.dumps(said))
"""


def mistakes(workshop: Workshop, *calls: dict[str, object], **environment: str) -> list[str]:
    """What these calls raise, one after the other in one script."""
    said = workshop.run(MISTAKES.format(calls=calls), **environment).json()
    assert isinstance(said, list)
    return said


def test_wrong_names_list_what_exists(workshop: Workshop) -> None:
    name, missing, keyword = mistakes(workshop, {"name": "tinyy"}, {}, {"name": "tiny", "rowz": 3})
    assert "tiny-mt" in name
    assert "which config? There are tiny, tiny-mt" in missing
    assert "rowz" in keyword
    assert workshop.generated() == 0


def test_mistakes_come_as_one_line_of_ours(workshop: Workshop) -> None:
    ours = "magpie_hub.errors"
    rows, processes, model, variable = mistakes(
        workshop,
        {"name": "tiny", "rows": 0},
        {"name": "tiny", "rows": 1, "num_proc": 2},
        {"name": "tiny", "rows": 1, "model": "./no-such-model"},
        {"name": "tiny"},
        MAGPIE_ROWS="x",
    )
    assert rows == f"{ours}.UserError: rows: should be greater than or equal to 1, not 0"
    assert processes.startswith(f"{ours}.UserError: num_proc=2: each process would load the model")
    assert model.startswith(f"{ours}.ModelError: ")
    assert variable.startswith(f"{ours}.UserError: MAGPIE_ROWS: should be a valid integer, not 'x'")
    assert workshop.generated() == 0


def test_a_recipe_that_is_wrong_ends_a_script_with_its_line(workshop: Workshop) -> None:
    workshop.edit(rowz=3)
    ran = workshop.run('load_dataset("./builder", "tiny")')
    assert ran.code != 0
    assert "rowz: unknown key (did you mean rows?)" in last_line(ran.err)
    assert workshop.generated() == 0


def test_an_error_of_the_run_comes_through_as_it_is(workshop: Workshop) -> None:
    workshop.edit(gates={"rules": {"colon": True}}, min_yield=1.0)
    ran = workshop.run('load_dataset("./builder", "tiny", rows=400)')
    assert "magpie_hub.errors.YieldError: only" in last_line(ran.err)
    assert workshop.generated() >= 200


def test_another_dataset_in_the_same_process_is_unaffected(workshop: Workshop) -> None:
    (workshop.folder / "magpie").mkdir()
    (workshop.folder / "magpie" / "rows.jsonl").write_text('{"a": 1}\n')
    got = workshop.run(
        """
ours = load_dataset("./builder", "tiny", rows=2)["train"]
print(json.dumps([len(ours), load_dataset("magpie")["train"][0]]))
"""
    ).json()
    assert got == [2, {"a": 1}]


def test_force_redownload_keeps_what_was_paid_for(workshop: Workshop) -> None:
    first = workshop.run(load()).json()
    made = workshop.generated()
    again = workshop.run(load(more='download_mode="force_redownload"')).json()
    assert again == first
    assert workshop.generated() == made
