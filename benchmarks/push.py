"""What a push sends: unchanged data, and data with rows inserted, beside a plain rewrite.

    .venv/bin/python benchmarks/push.py [--megabytes 200]

Real text (the Python sources and documentation of the installed packages, cut into rows) goes to a
stand-in for the Hub on loopback by the Hub's own client over Xet, which sends the chunks that the
store does not know. Two stores: one gets shards as a release has them, the other the same rows
without content-defined chunking. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

ROW_CHARS = 2_000
INSERTED = 0.01


def texts() -> Iterator[str]:
    """Pieces of real text, the same in every run."""
    root = Path(sysconfig.get_path("purelib"))
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".md", ".rst", ".txt") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            for begin in range(0, len(text) - ROW_CHARS, ROW_CHARS):
                yield text[begin : begin + ROW_CHARS]


def rows(count: int, inserted: int) -> Iterator[dict[str, Any]]:
    """Rows with an instruction and a response; the inserted ones are in the middle."""
    pieces = texts()
    old = list(islice(pieces, count))
    new = list(islice(pieces, inserted))
    middle = count // 2
    for number, text in enumerate([*old[:middle], *new, *old[middle:]]):
        yield {"row_id": number, "instruction": text[:200], "response": text[200:]}


def write_plain(data: Iterator[dict[str, Any]], schema: Any, folder: Path) -> None:
    """The same shard without content-defined chunking."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(data), schema)
    pq.write_table(table, folder / "train-00000-of-00001.parquet", compression="zstd")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="text before compression")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_HOME"] = f"{scratch}/hf"
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        found = measure(Path(scratch), chosen.megabytes * 10**6 // ROW_CHARS)
        print(json.dumps(found))


def measure(scratch: Path, count: int) -> dict[str, Any]:
    """Uploads each version once."""
    import pyarrow as pa
    from huggingface_hub import CommitOperationAdd

    from tests.hub_peer.server import HubPeer
    from tests.release.shard_files import write_shards

    schema = pa.schema(
        [("row_id", pa.int64()), ("instruction", pa.string()), ("response", pa.string())]
    )
    inserted = round(count * INSERTED)
    result: dict[str, Any] = {"rows": count, "inserted": inserted}
    for name, write in (("ours", write_shards), ("plain", write_plain)):
        with HubPeer(user="tester") as peer:
            api = peer.api("write")
            api.create_repo(f"tester/{name}", repo_type="dataset")
            for version, more in (("first", 0), ("again", 0), ("grown", inserted)):
                folder = scratch / f"{name}-{version}"
                write(rows(count, more), schema, folder)
                files = sorted(folder.glob("*.parquet"))
                before, begun = peer.data_sent(), time.perf_counter()
                api.create_commit(
                    f"tester/{name}",
                    [CommitOperationAdd(f"data/default/{f.name}", f) for f in files],
                    commit_message=version,
                    repo_type="dataset",
                )
                result[f"{name}_{version}_bytes"] = sum(file.stat().st_size for file in files)
                result[f"{name}_{version}_sent"] = peer.data_sent() - before
                result[f"{name}_{version}_seconds"] = round(time.perf_counter() - begun, 2)
    whole = result["plain_grown_bytes"]
    result["sent_of_plain_rewrite"] = round(result["ours_grown_sent"] / whole, 4)
    result["plain_sent_of_plain_rewrite"] = round(result["plain_grown_sent"] / whole, 4)
    return result


def section(found: dict[str, Any]) -> str:
    """The report's part on what a push sends."""
    return f"""## Pushing

`benchmarks/push.py --megabytes 60`,
real text, the Hub's own client over Xet to a stand-in on loopback: pushed again, {found["rows"]:,}
rows send {found["ours_again_sent"]} bytes of data; with {found["inserted"]:,} more in the middle,
{found["ours_grown_sent"] / 1e6:.1f} MB of {found["ours_grown_bytes"] / 1e6:.1f} MB.

| sent, of a plain rewrite's bytes | |
|---|---|
| a release's shards | **{found["sent_of_plain_rewrite"]:.1%}** |
| without content-defined chunking | {found["plain_sent_of_plain_rewrite"]:.1%} |
"""


if __name__ == "__main__":
    main()
