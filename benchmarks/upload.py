"""A push's time beside the client's own upload of the same files; `push.py` calls it.

    .venv/bin/python benchmarks/push.py --upload-megabytes                       # 200 MB, 2 minutes
    .venv/bin/python benchmarks/push.py --upload-megabytes 2000 --shards 40 --repeats 2

A release of random words goes to a stand-in for the Hub on loopback over Xet: by `publish`, by
`HfApi.upload_folder`, and by one `create_commit` of all files. They take turns, each upload in a
process of its own with a store and caches that know nothing. What a push does besides is timed
apart: loading libraries, hashing, counting and scanning before anything is sent.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WAYS = ("push", "upload_folder", "create_commit")
REPO = "tester/bench"
ROW_CHARS = 4_000
ROW_BYTES = 6_500  # In a shard.
# Without c, k, p, s and t no word is the beginning of anything that the scan looks for.
LETTERS = bytes(b"abdefghijlmnoruvw    "[i % 21] for i in range(256))
RECIPE = "{name: bench, description: A benchmark., model: toy/model, rows: %d}"


def write(scratch: Path, megabytes: int, shards: int) -> Path:
    """Writes a release of about so many megabytes in so many shards, both configs counted."""
    from magpie_hub.gates.registry import build_gates
    from magpie_hub.models.source import ModelSource
    from magpie_hub.pipeline.run import Run
    from magpie_hub.recipe.load import parse_recipe
    from magpie_hub.release import parquet
    from magpie_hub.release.folder import write_release
    from magpie_hub.store.journal import TurnRecord
    from magpie_hub.store.rows import digest
    from tests.toy import ToyChat

    # Every row is in the config `default` and in the config `raw`.
    rows = round(megabytes * 10**6 / 2 / ROW_BYTES)
    # A shard of one row group, which is one batch.
    parquet.BATCH = math.ceil(rows / (shards / 2))
    parquet.GROUP_BYTES, parquet.SHARD_BYTES = 1, 1_000
    recipe = parse_recipe(RECIPE % rows, "bench")
    run = Run(recipe, ModelSource("toy/model", "r1", "hub"), scratch / "home", build_gates())
    draw = random.Random(0)
    with run.row_store(writable=True) as row_store:
        row_store.first.set_meta("chat", ToyChat().to_json())
        row_store.first.begin_session(
            {"engine": "toy", "version": "1", "device": "x", "dtype": "y", "slots": 8}
        )
        for row in range(rows):
            asked, answered = (
                draw.randbytes(size).translate(LETTERS).decode() for size in (200, ROW_CHARS - 200)
            )
            row_store.first.put(
                TurnRecord(
                    row_id=row,
                    turn=1,
                    reason=None,
                    digest=digest(asked),
                    instruction=asked,
                    response=answered,
                    instruction_finish="stop",
                    response_finish="stop",
                    instruction_ids=(1,) * 50,
                    response_ids=(1,) * 900,
                )
            )
    return write_release(run, scratch / "bench").path


def upload(way: str, folder: Path) -> dict[str, float]:
    """Uploads a release to the environment's Hub, which does not know it; seconds, by stage."""
    from huggingface_hub import CommitOperationAdd, HfApi

    from magpie_hub.hub.publish import PublishOptions, publish

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    looked: list[float] = []
    worked: list[float] = []

    def note() -> None:
        looked.append(time.perf_counter())
        worked.append(time.process_time())

    def say(text: str) -> None:
        if text.startswith("scan: "):
            note()

    api = HfApi()
    begun, began = time.perf_counter(), time.process_time()
    if way == "push":
        publish(PublishOptions(folder, "bench", REPO), say=say)
    else:
        note()
        api.create_repo(REPO, repo_type="dataset")
        if way == "upload_folder":
            api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder)
        else:
            adds = [CommitOperationAdd(file.relative_to(folder).as_posix(), file) for file in files]
            api.create_commit(REPO, adds, commit_message="all", repo_type="dataset")
    ended, done = time.perf_counter(), time.process_time()
    return {
        "seconds": ended - begun,
        "looking_seconds": looked[0] - begun,
        "sending_seconds": ended - looked[0],
        "cpu_seconds": done - began,
        "looking_cpu_seconds": worked[0] - began,
        "sending_cpu_seconds": done - worked[0],
    }


def compare(scratch: Path, megabytes: int, shards: int, repeats: int) -> dict[str, Any]:
    """Measures the ways in turn; medians, and the medians of the pairs' ratios."""
    from tests.hub_peer.server import HubPeer

    begun = time.perf_counter()
    folder = write(scratch, megabytes, shards)
    print(f"written in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    took: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    sent: dict[str, int] = {}
    for turn in range(repeats):
        for way in WAYS:
            with HubPeer() as peer:
                known = {"MAGPIE_HOME": str(scratch / f"known-{turn}")}
                found = subprocess.run(
                    [sys.executable, __file__, way, str(folder)],
                    env=peer.environment(home=scratch / f"hf-{way}-{turn}") | known,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                sent[way] = peer.data_sent()
            took[way].append(json.loads(found.stdout))
            print(way, took[way][-1], file=sys.stderr, flush=True)

    def median(way: str, stage: str) -> float:
        return round(statistics.median(each[stage] for each in took[way]), 2)

    def over(way: str, stage: str, peer: str) -> float:
        pairs = zip(took[way], took[peer], strict=True)
        return round(statistics.median(ours[stage] / one["seconds"] for ours, one in pairs), 3)

    data = sorted(folder.glob("data/*/*.parquet"))
    text = _text_bytes(data) / 1e6
    result: dict[str, Any] = {
        "megabytes": round(sum(path.stat().st_size for path in data) / 1e6, 1),
        "text_megabytes": round(text, 1),
        "shards": len(data),
        "repeats": repeats,
        "cores": os.cpu_count(),
        "sent": sent,
    }
    for way in WAYS:
        result |= {f"{way}_{stage}": median(way, stage) for stage in took[way][0]}
    for way in ("push",):
        for peer_way in ("upload_folder", "create_commit"):
            result[f"{way}_over_{peer_way}"] = over(way, "seconds", peer_way)
            result[f"{way}_looking_over_{peer_way}"] = over(way, "looking_seconds", peer_way)
            result[f"{way}_sending_over_{peer_way}"] = over(way, "sending_seconds", peer_way)
    result["looking_text_megabytes_a_second"] = round(text / result["push_looking_seconds"], 1)
    result["looking_text_megabytes_a_core_second"] = round(
        text / result["push_looking_cpu_seconds"], 1
    )
    return result


def _text_bytes(files: list[Path]) -> int:
    """Bytes of the columns of text, before compression."""
    import pyarrow.parquet as pq

    found = 0
    for path in files:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = (group.column(at) for at in range(group.num_columns))
            found += sum(
                column.total_uncompressed_size
                for column in columns
                if column.physical_type == "BYTE_ARRAY"
            )
    return found


def section(found: dict[str, Any]) -> str:
    """The report's part on a push beside the client's own upload."""
    one = "create_commit"
    ways = "\n".join(
        f"| {name} | {found[f'{way}_seconds']} | {found[f'{way}_cpu_seconds']} | "
        + (f"{found[f'{way}_over_{one}']} |" if f"{way}_over_{one}" in found else "|")
        for way, name in (
            ("push", "push"),
            ("upload_folder", "`HfApi.upload_folder`"),
            (one, "one `HfApi.create_commit` of all files"),
        )
    )
    stages = "\n".join(
        f"| {name}, {stage} | {found[f'{way}_{stage}_seconds']} | "
        f"{found[f'{way}_{stage}_cpu_seconds']} | {found[f'{way}_{stage}_over_{one}']} |"
        for way, name in (("push", "push"),)
        for stage in ("looking", "sending")
    )
    goal = found[f"push_over_{one}"]
    verdict = (
        f"The target, 1.15 times the client's own time, is met: {goal}."
        if goal <= 1.15
        else f"The target, 1.15 times the client's own time, is missed: {goal}. Sending takes "
        f"{found[f'push_sending_over_{one}']} of the client's time; the rest is looking, which "
        f"comes first, for nothing is sent before all of it is looked at."
    )
    return f"""## A push beside the client's own upload

`benchmarks/push.py --upload-megabytes`: a release of {found["megabytes"]} MB in {found["shards"]}
shards over Xet to a stand-in on loopback, new to it; {found["repeats"]} uploads of each kind in
turn, medians, ratios of pairs. Every row stands in both configs, as one that is not rejected does,
and its texts three times in a row; they are random words, of which none begins what the scan looks
for. CPU seconds are the client's. Looking is loading libraries, hashing, counting, and scanning
{found["text_megabytes"]:,} MB of text for secrets and personal data; sending is everything after
it, reading back and tagging too. What was found in a file is remembered by its hash, so a push
after a dry run, or after one that failed, does not scan again.

| | seconds | CPU seconds | over `create_commit` |
|---|---|---|---|
{ways}
{stages}

`upload_folder` makes several commits of a large folder, a push one; over it, a push takes
{found["push_over_upload_folder"]} of the time. Looking goes through
{found["looking_text_megabytes_a_second"]} MB of text a second, and
{found["looking_text_megabytes_a_core_second"]} MB a second of one core. {verdict}
"""


if __name__ == "__main__":
    print(json.dumps(upload(sys.argv[1], Path(sys.argv[2]))))
