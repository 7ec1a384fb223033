"""Whatever dies when: what a complete save has saved comes back, once and unchanged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.checkpoint import save as checkpoint_module
from magpie_hub.checkpoint.filesystem import Filesystem
from magpie_hub.checkpoint.save import Checkpoint
from magpie_hub.errors import OutputError
from magpie_hub.store.journal import FIRST, Journal
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import DEFERRED
from tests.checkpoint.conftest import empty
from tests.checkpoint.faulty import FAULTS, Killed
from tests.checkpoint.journals import LATER, TAGS, contents, record, shelved

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where journals are made that need not outlive a power cut."""

ROWS = st.integers(0, 5)
FAULT = st.none() | st.tuples(
    st.integers(0, 8),
    st.sampled_from(["before", "torn", "after"]),
    st.sampled_from([OSError, Killed]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ROWS),
        st.tuples(st.just("shelve"), ROWS),
        st.tuples(st.just("later"), ROWS),
        st.tuples(st.just("label"), ROWS),
        st.tuples(st.just("fact"), ROWS),
        st.tuples(st.just("save"), FAULT),
        st.tuples(st.just("kill"), FAULT),
    ),
    max_size=30,
)


class Run:
    """Runners of one tick, one after the other, each on a machine of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home, self.machines = url, home, 0
        self.open = contextlib.ExitStack()
        self.durable: dict[Any, Any] = {}
        self.ever: set[Any] = set()  # Every row that was ever committed, by file, as it was.
        self.start()

    def start(self) -> None:
        """On a machine that holds nothing."""
        self.machines += 1
        self.folder = self.home / str(self.machines) / "tiny-00"
        # Each says other words, as another batch shape may.
        self.words = f" {self.machines}."
        writer = f"{self.machines:012x}"
        self.checkpoint = Checkpoint(self.folder, "monday", "x/monday/tiny-00", 0, writer)
        self.open.close()
        self.journals: tuple[Journal, Journal, Labels] | None = None

    def restore(self) -> None:
        self.checkpoint.restore(Filesystem(self.url), print)
        found = contents(self.folder)
        for (file, kind), rows in self.durable.items():
            if kind == "rows":
                have = found[file, kind] if rows else {}
                changed = [rows[key] for key in rows if rows[key] != have[key]]
                # What a later save had begun to save may be there too, in the place of rows that
                # were put off.
                assert all(row[5] is None for row in changed)
        assert self.all(found) <= self.ever
        self.check(found)

    def check(self, found: dict[Any, Any]) -> None:
        """What rests on words rests on the words that are there."""
        first = found.get((FIRST, "rows"), {})
        for row in found.get((LATER, "rows"), {}).values():
            assert words(row) == words(first[row[0], 1])
        for row_id, _, label in found.get((TAGS, "rows"), {}).values():
            assert words(first[row_id, 1]) in label

    @staticmethod
    def all(found: dict[Any, Any]) -> set[Any]:
        return {
            (file, row)
            for (file, kind), rows in found.items()
            if kind == "rows"
            for row in rows.values()
        }

    def commit(self, what: str, row_id: int) -> None:
        if self.journals is None:
            made = (
                Journal(self.folder / FIRST),
                Journal(self.folder / LATER),
                Labels(self.folder / TAGS),
            )
            self.journals = made
            for one in made:
                self.open.enter_context(one)
            for journal in made[:2]:
                journal.begin_session({"engine": "toy", "machine": self.machines})
        first, later, labels = self.journals
        known = first.get(row_id, 1)
        said = self.words if known is None else known.instruction[-3:]
        put_off = known is not None and known.response is None
        if what == "put" and known is None:
            first.put(record(row_id, words=said))
        elif what == "put" and put_off:
            first.put_many((), [record(row_id, words=said)])
        elif what == "shelve" and known is None:
            first.put(shelved(row_id, words=said))
        elif what == "shelve" and put_off:
            first.put_many((), [shelved(row_id, f"{DEFERRED}:fair@{random.random()}", said)])
        elif what == "later" and known is not None and not put_off:
            turn = 2 + (later.get(row_id, 2) is not None)
            if later.get(row_id, turn) is None:
                later.put(record(row_id, turn, words=said))
        elif what == "fact":
            first.set_meta("spent", random.random())
        elif what == "label" and known is not None:
            labels.put([Label(row_id, {"of": said})])

    def save(self, fault: tuple[int, str, type[BaseException]] | None) -> None:
        """Saves; a kill, or a fault that this process outlives, may come in between."""
        self.ever |= self.all(contents(self.folder))
        if fault is not None:
            FAULTS.plan(fault[0], fault[1], fault[2]("torn"))
        try:
            self.checkpoint.save(Filesystem(self.url))
        except OutputError:
            FAULTS.reset()
        except Killed:
            FAULTS.reset()
            self.start()
            self.restore()
        else:
            FAULTS.reset()
            self.durable = contents(self.folder)


def words(row: Any) -> str:
    return str(row[2])[-3:]


@pytest.mark.parametrize("url", ["faulty://bucket", "faulty-store://bucket"])
@pytest.mark.parametrize("most", [2, 5000])
@settings(max_examples=60)
@given(steps=STEPS)
def test_what_was_saved_completely_comes_back(url: str, most: int, steps: Any) -> None:
    empty()
    with tempfile.TemporaryDirectory(dir=MEMORY) as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_module, "ROWS", most)
        run = Run(url, Path(home))
        for what, detail in steps:
            if what == "save":
                run.save(detail)
            elif what == "kill":
                run.save(detail)
                run.start()
                run.restore()
            else:
                run.commit(what, detail)
        run.save(None)
        last = contents(run.folder)
        run.start()
        run.restore()
        found = contents(run.folder)
        assert run.all(found) == run.all(last)
        for file, kind in found:
            if last[file, "rows"]:
                assert found[file, kind] == last[file, kind]
        # And a second time nothing changes.
        run.checkpoint.restore(Filesystem(url), print)
        assert contents(run.folder) == found
        run.open.close()


WRITER = """
import sys
from pathlib import Path
from magpie_hub.store.journal import Journal
from magpie_hub.store.labels import Labels
from magpie_hub.store.labels import Label
from magpie_hub.checkpoint.store import CheckpointStore
from tests.checkpoint.journals import record, TAGS
url, folder = sys.argv[1], Path(sys.argv[2])
state = CheckpointStore(url, "x")
print("found", state.restore(folder, "monday", 0), flush=True)
with Journal(folder / "first.db") as journal, Labels(folder / TAGS) as labels:
    begin = max((one.row_id for one in journal.texts(0, 2**62)), default=-1) + 1
    def say(text):
        print("said", text, flush=True)
    with state.keeping(folder, "monday", 0, every=0.001, say=say):
        for row_id in range(begin, 10**6):
            journal.put(record(row_id))
            labels.put([Label(row_id, {"row": row_id})])
            if row_id == begin + 20:
                print("going", flush=True)
"""


def test_a_process_killed_while_it_saves_leaves_whole_segments(tmp_path: Path) -> None:
    url, before = str(tmp_path / "state"), 0
    for number, pause in enumerate((0.2, 0.31, 0.47, 0.23)):
        folder = tmp_path / str(number) / "tiny-00"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},  # It leaves its scratch folder behind.
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"found {before}\n"
            assert process.stdout.readline() == "going\n"
            time.sleep(pause)
            os.kill(process.pid, signal.SIGKILL)
            assert process.stdout.read() == ""
        there = tmp_path / f"{number}-restored" / "tiny-00"
        Checkpoint(there, "monday", "x/monday/tiny-00", 0, "0" * 12).restore(Filesystem(url), print)
        found, written = contents(there), contents(folder)
        rows = found[FIRST, "rows"]
        assert [key[0] for key in sorted(rows)] == list(range(len(rows)))
        assert rows.items() <= written[FIRST, "rows"].items()
        assert found[TAGS, "rows"].items() <= written[TAGS, "rows"].items()
        assert len(rows) > before
        before = len(rows)
