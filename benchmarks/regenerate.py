"""What a tick costs beside generating its rows: seconds, and bytes to and from the Hub.

    .venv/bin/python benchmarks/regenerate.py [--rows 5000]

A dataset of real text is published on a stand-in for the Hub on loopback; then a tick adds 1 % of
its rows, written by a tiny random model, once on the machine that published and once on a new one.
The new rows' own Parquet bytes are not counted. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.push import texts

ADDED = 0.01


def fill(run: Any, rows: int) -> None:
    """Puts rows of real text into a job's journal, as if its model had written them."""
    from magpie_hub.generate.generator import load_chat
    from magpie_hub.store.journal import TurnRecord
    from magpie_hub.store.rows import digest

    chat = load_chat(run.recipe, run.source, run.home)
    with run.row_store(writable=True) as row_store:
        row_store.first.set_meta("chat", chat.to_json())
        row_store.first.set_meta("judges", {})
        row_store.first.begin_session(
            {"engine": "toy", "version": "1", "device": "none", "dtype": "none", "slots": 1}
        )
        for row_id, piece in enumerate(islice(texts(), rows)):
            # As compressible as it was, and nothing in it that the scan takes for a secret.
            text = codecs.encode(piece, "rot13").translate({ord(c): "-" for c in "@0123456789"})
            words = f"{row_id}: {text[:200]}"
            ids = tuple(range(len(words) // 4)), tuple(range(len(text) // 4))
            row_store.put(
                TurnRecord(row_id, 1, None, digest(words), words, text[200:], "stop", "stop", *ids)
            )


def measure(scratch: Path, rows: int) -> dict[str, Any]:
    """Publishes, and runs a tick on either machine."""
    from magpie_hub.hub.publish import PublishOptions, publish
    from magpie_hub.pipeline.run import Run, open_recipe
    from magpie_hub.regenerate.run import regenerate
    from magpie_hub.regenerate.tick import Tick
    from magpie_hub.release.folder import write_release
    from tests.hub_peer.server import HubPeer
    from tests.tiny import GATES_OFF, write_tiny_model, write_tiny_recipe

    os.environ["MAGPIE_HOME"] = str(scratch / "home")
    os.chdir(scratch)
    lengths = {"instruct": {"max_tokens": 50}, "respond": {"max_tokens": 100}}
    recipe = write_tiny_recipe(
        scratch / "tiny.magpie.yaml",
        write_tiny_model(scratch / "model"),
        rows=rows,
        gates={"rules": GATES_OFF},
        # Noise beside real text: the gates would see it, and are looked at all the same.
        regenerate={"drift": {"lengths": None, "cut_off": None, "mix": None}},
        **lengths,
    )
    run = Run.open(open_recipe(recipe))
    fill(run, rows)
    release = write_release(run, scratch / "tiny")
    found: dict[str, Any] = {"rows": rows, "added": round(rows * ADDED)}
    with HubPeer(user="tester") as peer:
        api = peer.api("write")
        publish(PublishOptions(release.path, "tiny"), api=api)
        repo = peer.repo("tester/magpie-tiny")
        sizes = {path: len(data) for path, data in repo.files().items()}
        dataset = sum(size for path, size in sizes.items() if path.startswith("data/"))
        found["dataset_bytes"] = dataset
        for name in ("same_machine", "new_machine"):
            if name == "new_machine":
                os.environ["MAGPIE_HOME"] = str(scratch / "elsewhere")
                (scratch / "away").mkdir()
                os.chdir(scratch / "away")
                os.environ["HF_HUB_CACHE"] = str(scratch / "away" / "hub")
            before, begun = len(peer.requests), time.perf_counter()
            tick = Tick(recipe, tick=name, grow=found["added"], push=True)
            regenerate(tick, say=lambda text: None, api=api)
            seconds = time.perf_counter() - begun
            files = repo.files()
            manifest = json.loads(files["manifest.json"])
            fresh = sum(len(files[path]) for path in manifest["increments"][-1]["files"])
            moved = sum(one.bytes_in + one.bytes_out for one in peer.requests[before:])
            made = _generating(recipe)
            found[name] = {
                "seconds": round(seconds, 2),
                "generating_seconds": round(made, 2),
                "bytes_beside_the_new_rows": moved - fresh,
                "of_the_dataset": round((moved - fresh) / dataset, 4),
            }
    return found


def _generating(recipe: Path) -> float:
    """Seconds that this machine's journals say were spent on rows."""
    from magpie_hub.paths import home
    from magpie_hub.pipeline.run import FIRST, find_journal, open_recipe
    from magpie_hub.store.journal import Journal
    from magpie_hub.store.usage import spent

    place = find_journal(open_recipe(recipe), home())
    assert place is not None
    with Journal(place.folder / FIRST, readonly=True) as journal:
        return sum(cost.seconds for cost in spent(journal))


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    machines = "\n".join(
        f"| {name} | {found[key]['seconds']} | {found[key]['generating_seconds']} | "
        f"{found[key]['bytes_beside_the_new_rows']:,} | {found[key]['of_the_dataset']:.2%} |"
        for name, key in (("where it was published", "same_machine"), ("new", "new_machine"))
    )
    return f"""## A tick

`benchmarks/regenerate.py`: {found["added"]:,} rows of a tiny model, added to {found["rows"]:,}
published ones ({found["dataset_bytes"] / 1e6:.1f} MB of Parquet, real text) on a stand-in for the
Hub. A new machine reads the columns that are counted and the first instructions, once. Bytes are
all that went to and from the Hub, less the new shards' own.

| machine | seconds | of these loading and generating | bytes beside the new rows | of the dataset |
|---|---|---|---|---|
{machines}
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_HOME"] = f"{scratch}/hf"
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        print(json.dumps(measure(Path(scratch).resolve(), chosen.rows)))


if __name__ == "__main__":
    main()
