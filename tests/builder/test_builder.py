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


HEAVY = """
import sys
print(json.dumps([name for name in ("magpie_hub.pipeline.run", "magpie_hub.release.stream",
                                    "torch") if name in sys.modules]))
"""


def test_a_plain_call_generates_and_a_second_one_loads_what_is_cached(workshop: Workshop) -> None:
    rows, loaded = map(json.loads, workshop.run(load() + HEAVY).lines())
    assert rows["ids"] == list(range(12))
    assert len(set(rows["uuids"])) == 12
    assert {"instruction", "response", "messages", "uuid"} <= set(rows["columns"])
    assert "conversations" not in rows["columns"]
    assert "magpie_hub.pipeline.run" in loaded
    made = workshop.generated()
    again, loaded = map(json.loads, workshop.run(load() + HEAVY).lines())
    assert again == rows
    assert loaded == [], "what is cached needs nothing that generates"
    assert workshop.run(load(more='download_mode="force_redownload"')).json() == rows
    assert workshop.generated() == made, "a forced download keeps what was paid for"
    assert not Path(magpie_hub.__file__).parent.with_suffix(".lock").exists()


def test_turns_continue_the_rows_of_the_single_turn_config(workshop: Workshop) -> None:
    single, double = map(json.loads, workshop.run(load("tiny") + load("tiny-mt")).lines())
    assert double["uuids"] == single["uuids"]
    assert double["turns"] == [2] * 12
    assert {"instruction_2", "response_2"} <= set(double["columns"])
    assert workshop.generated() == 24


def test_an_edited_recipe_is_seen_and_a_touched_one_is_not_rebuilt(workshop: Workshop) -> None:
    script = """
import datasets, pathlib
def seen():
    builder = datasets.load_dataset_builder("./builder", "tiny")
    return [builder.cache_dir, len(load_dataset("./builder", "tiny")["train"])]
before = seen()
pathlib.Path("builder/tiny.magpie.yaml").touch()
print(json.dumps([before, seen()]))
"""
    before, touched = workshop.run(script).json()
    assert touched == before
    workshop.edit(rows=14)
    after, _ = workshop.run(script).json()
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


def last_line(text: str) -> str:
    return [line for line in text.strip().splitlines() if line.strip()][-1]


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
