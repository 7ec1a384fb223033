"""A push's time beside the client's own upload of the same files; `push.py` calls it.

    .venv/bin/python benchmarks/push.py --upload-megabytes                       # 200 MB, 2 minutes
    .venv/bin/python benchmarks/push.py --upload-megabytes 2000 --shards 40

A release of random words goes to a stand-in for the Hub on loopback over Xet: by `publish`, by
`HfApi.upload_folder`, and by one `create_commit` of all files.
The three take turns, each upload in a process of its own with a store and caches that know nothing.
What a push does besides is timed apart: hashing, counting and scanning before anything is sent.
"""

from __future__ import annotations

import json
import math
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
    from magpie_hub.book import digest
    from magpie_hub.gates import build_gates
    from magpie_hub.job import Job
    from magpie_hub.journal import TurnRecord
    from magpie_hub.models import ModelSource
    from magpie_hub.recipe import parse_recipe
    from magpie_hub.release import parquet, write_release
    from tests.toy import ToyChat

    # Every row is in the config `default` and in the config `raw`.
    rows = round(megabytes * 10**6 / 2 / ROW_BYTES)
    # A shard of one row group, which is one batch.
    parquet.BATCH = math.ceil(rows / (shards / 2))
    parquet.GROUP_BYTES, parquet.SHARD_BYTES = 1, 1_000
    recipe = parse_recipe(RECIPE % rows, "bench")
    job = Job(recipe, ModelSource("toy/model", "r1", "hub"), scratch / "home", build_gates())
    draw = random.Random(0)
    with job.book(writable=True) as book:
        book.first.set_meta("chat", ToyChat().to_json())
        book.first.begin_session(
            {"engine": "toy", "version": "1", "device": "x", "dtype": "y", "slots": 8}
        )
        for row in range(rows):
            asked, answered = (
                draw.randbytes(size).translate(LETTERS).decode() for size in (200, ROW_CHARS - 200)
            )
            book.first.put(
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
    return write_release(job, scratch / "bench").path


def upload(way: str, folder: Path) -> dict[str, float]:
    """Uploads a release to the environment's Hub, which does not know it; seconds, by stage."""
    from huggingface_hub import CommitOperationAdd, HfApi

    from magpie_hub.hub import Push, publish

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    looked: list[float] = []

    def say(text: str) -> None:
        if text.startswith("scan: "):
            looked.append(time.perf_counter())

    api = HfApi()
    begun = time.perf_counter()
    if way == "push":
        publish(Push(folder, "bench", REPO), say=say)
    else:
        looked.append(begun)
        api.create_repo(REPO, repo_type="dataset")
        if way == "upload_folder":
            api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder)
        else:
            adds = [CommitOperationAdd(file.relative_to(folder).as_posix(), file) for file in files]
            api.create_commit(REPO, adds, commit_message="all", repo_type="dataset")
    ended = time.perf_counter()
    return {"seconds": ended - begun, "sending": ended - looked[0], "looking": looked[0] - begun}


def compare(scratch: Path, megabytes: int, shards: int, repeats: int) -> dict[str, Any]:
    """Measures the ways in turn; medians, and the medians of the pairs' ratios."""
    from tests.hub_peer.server import HubPeer

    folder = write(scratch, megabytes, shards)
    took: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    sent: dict[str, int] = {}
    for turn in range(repeats):
        for way in WAYS:
            with HubPeer() as peer:
                found = subprocess.run(
                    [sys.executable, __file__, way, str(folder)],
                    env=peer.environment(home=scratch / f"hf-{way}-{turn}"),
                    stdout=subprocess.PIPE,
                    check=True,
                )
                sent[way] = peer.data_sent()
            took[way].append(json.loads(found.stdout))

    def median(way: str, stage: str = "seconds") -> float:
        return round(statistics.median(each[stage] for each in took[way]), 2)

    def over(stage: str, way: str) -> float:
        pairs = zip(took["push"], took[way], strict=True)
        return round(statistics.median(ours[stage] / one["seconds"] for ours, one in pairs), 3)

    data = sorted(folder.glob("data/*/*.parquet"))
    return {
        "megabytes": round(sum(path.stat().st_size for path in data) / 1e6, 1),
        "shards": len(data),
        "repeats": repeats,
        "push_seconds": median("push"),
        "push_looking_seconds": median("push", "looking"),
        "push_sending_seconds": median("push", "sending"),
        "upload_folder_seconds": median("upload_folder"),
        "create_commit_seconds": median("create_commit"),
        "push_over_upload_folder": over("seconds", "upload_folder"),
        "push_over_create_commit": over("seconds", "create_commit"),
        "sending_over_upload_folder": over("sending", "upload_folder"),
        "sending_over_create_commit": over("sending", "create_commit"),
        "sent": sent,
    }


if __name__ == "__main__":
    print(json.dumps(upload(sys.argv[1], Path(sys.argv[2]))))
