"""Journals of 10^5, 10^6 and 10^7 rows: time to open and to go on, and whether memory stays flat.

    .venv/bin/python benchmarks/journal.py [--rows 100000 1000000 10000000]

Each journal is filled in bulk with short texts, since neither opening nor going on reads texts:
one in five rows rejected, one in fifty a duplicate. A fresh process then opens it, settles every
row and generates 1,000 more with a scripted engine. What writing costs is measured apart, by the
package's own `put` on rows of usual length. Ten million rows take about 3 GB of disk. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.recipe.config import Recipe
from magpie_hub.store.journal import Journal, TurnRecord
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore, digest
from tests.toy import ToyChat, ToyEngine

SIZES = (100_000, 1_000_000, 10_000_000)
MORE = 1_000
WRITTEN = 5_000
REJECTED, REPEATED = 5, 50


def write(folder: Path) -> dict[str, float]:
    """Puts rows of usual length, a commit each: CPU time and bytes a row."""
    draw = random.Random(0)
    words = [f"word{n}" for n in range(5_000)]
    response = " ".join(draw.choices(words, k=250))
    asked, answered = (tuple(draw.choices(range(128_000), k=k)) for k in (20, 350))
    path = folder / "written.db"
    with Journal(path) as journal:
        begun, cpu = time.perf_counter(), time.process_time()
        for row in range(WRITTEN):
            said = f"What is {row} in {draw.choice(words)}?"
            journal.put(
                TurnRecord(
                    row, 1, None, digest(said), said, response, "stop", "stop", asked, answered
                )
            )
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "rows_written": WRITTEN,
        "microseconds_to_write_a_row": round(took / WRITTEN * 1e6, 1),
        "cpu_microseconds_to_write_a_row": round(cpu / WRITTEN * 1e6, 1),
        "bytes_a_row_written": round(path.stat().st_size / WRITTEN),
    }


def fill(path: Path, rows: int) -> None:
    """Fills a journal in one transaction: one row that was put, again under other ids and digests.

    The indexes are made last, and nothing is written twice.
    """
    with Journal(path) as journal:
        journal.put(
            TurnRecord(-1, 1, None, b"", "What is it?", "It is so.", "stop", "stop", (1, 2), (3, 4))
        )
    held = f"(row - 3 * (row % {REPEATED} = {REPEATED - 1}))"
    verdict = {
        "reason": f"CASE WHEN row % {REJECTED} = 0 THEN 'instruction.colon' END",
        # In no order, as a hash is; modulo a prime, so that no two are the same by chance.
        "digest": f"CASE WHEN row % {REJECTED} != 0 "
        f"THEN CAST(printf('%016d', {held} * 2654435761 % 10000000019) AS BLOB) END",
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE%INDEX%'"
        ).fetchall()
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        for table, other in (("turns", {}), ("verdicts", verdict)):
            names = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
            made = {"row_id": "row", **other}
            db.execute(f"CREATE TEMP TABLE one_{table} AS SELECT * FROM {table}")
            db.execute(f"DELETE FROM {table}")
            db.execute(
                f"INSERT INTO {table} WITH RECURSIVE rows (row) AS "
                "(SELECT 0 UNION ALL SELECT row + 1 FROM rows WHERE row < ? - 1) "
                f"SELECT {', '.join(made.get(name, f'one_{table}.{name}') for name in names)} "
                f"FROM rows, one_{table}",
                (rows,),
            )
        for _, sql in indexes:
            db.execute(sql)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")


def resume(path: Path) -> dict[str, float]:
    """Opens the journal and generates `MORE` rows beyond what it holds."""
    recipe = Recipe(name="bench", description="A benchmark.", model="toy/model", rows=10**9)
    before = peak_mb()
    begun, cpu = time.perf_counter(), time.process_time()
    with Journal(path) as journal:
        row_store = RowStore(journal, None, 1)
        tracker = PrefixTracker(row_store, recipe.rows)
        opened, cpu = time.perf_counter() - begun, time.process_time() - cpu
        settled, peak_to_open = tracker.settled, peak_mb()
        tracker.wanted = tracker.passed + MORE
        engine = ToyEngine(slots=256)
        pending = PendingTurns(row_store)
        rollouts = Rollouts(Plan(recipe), ToyChat(), engine, build_gates(), pending)  # type: ignore[arg-type]
        asyncio.run(run_rollouts(tracker, rollouts, pending, engine))
    return {
        "settled": settled,
        "passed": tracker.wanted - MORE,
        "seconds_to_open": round(opened, 2),
        "cpu_seconds_to_open": round(cpu, 2),
        "cpu_microseconds_to_open_a_row": round(cpu / settled * 1e6, 2),
        "seconds_for_1000_more_rows": round(time.perf_counter() - begun - opened, 2),
        "peak_mb_before_opening": before,
        "peak_mb_when_open": peak_to_open,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Most memory that this process has held so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def run(*arguments: str) -> bytes:
    """This script in a process of its own; what it prints."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def section(found: dict[str, Any]) -> str:
    """The report's part, as Markdown."""
    sizes = found["sizes"]
    rows = "\n".join(
        f"| {size['settled']:,} | {size['megabytes']:,} | {size['seconds_to_open']} | "
        f"{size['cpu_microseconds_to_open_a_row']} | {size['seconds_for_1000_more_rows']} | "
        f"{size['peak_mb_before_opening']} | {size['peak_mb']} |"
        for size in sizes
    )
    most = max(size["peak_mb"] for size in sizes) - min(size["peak_mb"] for size in sizes)
    return f"""## A large journal

`benchmarks/journal.py`: journals
filled in bulk with short texts, which are never read here. A fresh process opens one, settles
every row and generates 1,000 more with a scripted engine.

| rows | MB | s to open | CPU µs a row | s for 1,000 more | MB of memory before | at the peak |
|---|---|---|---|---|---|---|
{rows}

Target: memory is flat in the rows. The peaks differ by {most:.1f} MB. Opening reads one entry
of an index and looks one digest up for each row, so its time grows with the rows. Putting a row of
usual length ({found["bytes_a_row_written"]:,} bytes in the file), a commit each, takes
{found["microseconds_to_write_a_row"]} µs, of which
{found["cpu_microseconds_to_write_a_row"]} µs are CPU time.
"""


def main() -> None:
    """Fills each journal and resumes it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        fill(given.fill, *given.rows)
        return
    if given.resume:
        print(json.dumps(resume(given.resume)))
        return
    sizes = []
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "first.db"
            begun = time.perf_counter()
            # Not in this process: a child's peak of memory is never below its parent's.
            run("--fill", str(path), "--rows", str(rows))
            filled = time.perf_counter() - begun
            found = json.loads(run("--resume", str(path)))
            found["seconds_to_fill"] = round(filled, 1)
            found["megabytes"] = round(path.stat().st_size / 1e6, 1)
        print(found, file=sys.stderr, flush=True)
        sizes.append(found)
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder))
    print(json.dumps({"more": MORE, "sizes": sizes, **written}))


if __name__ == "__main__":
    main()
