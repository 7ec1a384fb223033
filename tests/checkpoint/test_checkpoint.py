"""Checkpoints: what is new is saved once, and comes back as it was, into whatever is there."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
import threading
from pathlib import Path

import fsspec
import pytest

from magpie_hub.checkpoint import delta
from magpie_hub.checkpoint import save as checkpoint_module
from magpie_hub.checkpoint.segment import files_in, is_kept
from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import JournalError
from magpie_hub.store.journal import FIRST, Journal, writer_lock
from tests.checkpoint.conftest import KINDS, url_of
from tests.checkpoint.faulty import FAULTS
from tests.checkpoint.journals import (
    LATER,
    PUT_OFF,
    TAGS,
    contents,
    label,
    put,
    record,
    rows_of,
    shelved,
)

JOURNAL = "tiny-0123456789abcdef"


class Machine:
    """A machine with a journal's folder of its own, and a runner on it."""

    def __init__(self, url: str, home: Path, first_row: int = 0) -> None:
        self.url, self.folder, self.first_row = url, home / JOURNAL, first_row
        self.said: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Another process, on the same machine."""
        self.state = CheckpointStore(self.url, "tester--magpie-smol")

    def restore(self, tick: str = "2026-11-21") -> int:
        return self.state.restore(self.folder, tick, self.first_row)

    def save(self, tick: str = "2026-11-21") -> None:
        with self.state.keeping(
            self.folder, tick, self.first_row, every=1000, say=self.said.append
        ):
            pass
        assert self.said == []


EVERYWHERE = pytest.mark.parametrize("url", KINDS, indirect=True)
"""On each kind of file system; what is merged does not depend on it."""


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(getattr(request, "param", "memory"), tmp_path)


@pytest.fixture
def one(url: str, tmp_path: Path) -> Machine:
    return Machine(url, tmp_path / "one")


@pytest.fixture
def two(url: str, tmp_path: Path) -> Machine:
    return Machine(url, tmp_path / "two")


def segments(url: str) -> dict[str, int]:
    """Names and sizes of what lies at a place."""
    fs, root = fsspec.url_to_fs(url)
    found = fs.find(root, detail=True)
    return {name[len(root) :].lstrip("/"): entry["size"] for name, entry in found.items()}


def fill(folder: Path, rows: range) -> None:
    """Two turns and a label for each row, in a session, with facts."""
    with Journal(folder / FIRST) as first, Journal(folder / LATER) as later:
        for journal in (first, later):
            journal.begin_session({"engine": "toy", "rows": rows.stop})
            journal.set_meta("settings", {"model": "tiny"})
            journal.set_meta("spent", [{"rows": rows.stop}])
        for row_id in rows:
            first.put(record(row_id))
            later.put(record(row_id, 2))
            later.put(record(row_id, 3))
    label(folder, rows)


@EVERYWHERE
def test_what_was_saved_comes_back(one: Machine, two: Machine) -> None:
    fill(one.folder, range(20))
    one.save()
    assert two.restore() == 20
    assert contents(two.folder) == contents(one.folder)


def test_nothing_comes_back_from_nothing(one: Machine) -> None:
    assert one.restore() == 0
    assert not one.folder.exists()
    one.save()
    assert segments(one.url) == {}


def test_restoring_twice_changes_nothing(one: Machine, two: Machine) -> None:
    fill(one.folder, range(5))
    one.save()
    two.restore()
    before = dump(two.folder)
    assert two.restore() == 0
    two.restart()
    assert two.restore() == 0
    assert dump(two.folder) == before


def dump(folder: Path) -> dict[str, list[str]]:
    """Everything in the files, rowids and order too."""
    found = {}
    for name in files_in(folder):
        with sqlite3.connect(folder / name) as db:
            found[name] = list(db.iterdump())
        db.close()
    return found


@EVERYWHERE
def test_a_save_writes_what_is_new_and_nothing_if_nothing_is(one: Machine, two: Machine) -> None:
    fill(one.folder, range(200))
    one.save()
    first = segments(one.url)
    one.save()
    assert segments(one.url) == first
    put(one.folder, [300])
    one.save()
    second = segments(one.url)
    (new,) = second.keys() - first.keys()
    assert {name: second[name] for name in first} == first
    assert second[new] < max(first.values()) / 3
    two.restore()
    assert contents(two.folder) == contents(one.folder)


def test_a_restart_saves_nothing_again(one: Machine, two: Machine) -> None:
    fill(one.folder, range(5))
    one.save()
    before = segments(one.url)
    for machine in (one, two):
        machine.restart()
        machine.restore()
        machine.save()
    assert segments(one.url) == before


def test_what_a_restart_finds_unsaved_is_saved(one: Machine, two: Machine) -> None:
    fill(one.folder, range(5))
    one.save()
    fill(one.folder, range(5, 9))  # And is killed before it is saved.
    one.restart()
    assert one.restore() == 0
    one.save()
    two.restore()
    assert contents(two.folder)[FIRST, "rows"] == contents(one.folder)[FIRST, "rows"]
    assert rows_of(two.folder, TAGS) == list(range(9))


def test_rows_that_are_published_already_are_not_kept(
    url: str, tmp_path: Path, two: Machine
) -> None:
    one = Machine(url, tmp_path / "one", first_row=1000)
    fill(one.folder, range(1000))
    one.save()
    assert segments(url) == {}
    fill(one.folder, range(1000, 1003))
    one.save()
    assert sum(segments(url).values()) < 10_000
    assert two.restore() == 3
    assert rows_of(two.folder) == [(1000, 1), (1001, 1), (1002, 1)]
    assert rows_of(two.folder, TAGS) == [1000, 1001, 1002]


def test_a_fact_that_changes_is_saved(one: Machine, two: Machine) -> None:
    fill(one.folder, range(3))
    one.save()
    with Journal(one.folder / FIRST) as journal:
        journal.set_meta("spent", [{"rows": 3, "seconds": 2.5}])
    one.save()
    two.restore()
    assert contents(two.folder) == contents(one.folder)


@EVERYWHERE
def test_a_large_save_makes_several_segments(
    one: Machine, two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "ROWS", 7)
    fill(one.folder, range(20))  # 20 first turns, 40 later ones and 20 labels.
    one.save()
    assert len(segments(one.url)) == 12
    assert two.restore() == 20
    assert contents(two.folder) == contents(one.folder)


@EVERYWHERE
def test_ticks_and_journals_are_kept_apart_and_a_tick_is_cleared(one: Machine) -> None:
    fill(one.folder, range(3))
    one.save("monday")
    one.save("tuesday")
    one.state.clear("monday")
    one.state.clear("monday")
    assert one.restore("monday") == 0
    other = one.folder.with_name("another-0123456789abcdef")
    assert one.state.restore(other, "tuesday", 0) == 0
    assert {name.split("/")[1] for name in segments(one.url)} == {"tuesday"}
    # What was cleared is forgotten, so it is saved again.
    one.save("monday")
    assert {name.split("/")[1] for name in segments(one.url)} == {"monday", "tuesday"}


def test_what_is_there_stays(one: Machine, two: Machine) -> None:
    fill(one.folder, range(3))
    one.save()
    with Journal(two.folder / FIRST) as journal:
        journal.set_meta("settings", {"model": "mine"})
        journal.begin_session({"engine": "mine"})
        journal.put(record(1, words=" Mine."))
    label(two.folder, [1, 2], "mine")
    before = contents(two.folder)
    assert two.restore() == 2
    after = contents(two.folder)
    for key, rows in before.items():
        assert rows.items() <= after[key].items()
    assert rows_of(two.folder) == [(0, 1), (1, 1), (2, 1)]
    # What rests on the other machine's words did not come with them.
    assert rows_of(two.folder, LATER) == [(0, 2), (0, 3), (2, 2), (2, 3)]
    assert rows_of(two.folder, TAGS) == [0, 1, 2]
    assert after[TAGS, "rows"][0][2] == '{"input_quality": "good"}'


def test_sessions_are_matched_and_their_ids_translated(one: Machine, two: Machine) -> None:
    with Journal(two.folder / FIRST) as journal:
        journal.begin_session({"engine": "mine"})
        journal.put(record(100))
    fill(one.folder, range(3))
    one.save()
    fill(one.folder, range(3, 6))
    one.save()
    with Journal(one.folder / FIRST) as journal:
        journal.begin_session({"engine": "last"})
        for row_id in range(6, 8):
            journal.put(record(row_id))
            one.save()
    two.restore()
    with Journal(two.folder / FIRST, readonly=True) as journal:
        infos = [(one["engine"], one.get("rows")) for one in journal.sessions()]
    assert infos == [("mine", None), ("toy", 3), ("toy", 6), ("last", None)]
    mine, theirs = contents(two.folder), contents(one.folder)
    assert theirs[FIRST, "rows"].items() <= mine[FIRST, "rows"].items()


def test_two_runners_of_one_tick_lose_nothing_and_the_first_wins(
    url: str, one: Machine, two: Machine, tmp_path: Path
) -> None:
    put(one.folder, [0, 1])
    with Journal(two.folder / FIRST) as journal:
        journal.put(record(1, words=" Otherwise."))
        journal.put(record(2))
    label(two.folder, [1, 2], "theirs")
    for machine in (one, two):
        machine.save()
    first, second = sorted(segments(url))
    assert first.split("-")[-1] != second.split("-")[-1]
    three = Machine(url, tmp_path / "three")
    assert three.restore() == 3
    assert rows_of(three.folder) == [(0, 1), (1, 1), (2, 1)]
    winner = contents(one.folder if first.split("/")[-1] == first_of(one) else two.folder)
    row = contents(three.folder)[FIRST, "rows"][1, 1]
    assert row == winner[FIRST, "rows"][1, 1]
    # A label goes with the words that it is of.
    labelled = rows_of(three.folder, TAGS)
    assert labelled == ([1, 2] if "Otherwise" in row[2] else [2])


def first_of(machine: Machine) -> str:
    """The name of a machine's first segment."""
    return f"000001-{machine.state._writer}.segment"


def test_of_two_labels_of_the_same_words_the_first_wins(
    one: Machine, two: Machine, tmp_path: Path
) -> None:
    for machine, words in ((one, "good"), (two, "poor")):
        put(machine.folder, [0])
        label(machine.folder, [0], words)
        machine.save()
    first = sorted(segments(one.url))[0].split("/")[-1]
    three = Machine(one.url, tmp_path / "three")
    three.restore()
    winner = one if first == first_of(one) else two
    assert contents(three.folder)[TAGS, "rows"] == contents(winner.folder)[TAGS, "rows"]


def test_a_conversation_is_of_one_runner(one: Machine, two: Machine, tmp_path: Path) -> None:
    fill(one.folder, range(2))
    with Journal(two.folder / FIRST) as first, Journal(two.folder / LATER) as later:
        first.put(record(1, words=" Otherwise."))
        later.put(record(1, 2, words=" Otherwise."))
        later.put(record(1, 3, words=" Otherwise."))
    for machine in (one, two):
        machine.save()
    three = Machine(one.url, tmp_path / "three")
    three.restore()
    found = contents(three.folder)
    words = [found[FIRST, "rows"][1, 1][2], *(found[LATER, "rows"][1, turn][2] for turn in (2, 3))]
    assert len({"Otherwise" in said for said in words}) == 1
    assert rows_of(three.folder, LATER) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_a_response_that_was_put_off_takes_its_place(one: Machine, two: Machine) -> None:
    with Journal(one.folder / FIRST) as journal:
        for row_id in range(3):
            journal.put(shelved(row_id))
        label(one.folder, range(3))
        one.save()
        journal.put_many((), [record(2)])  # The highest row.
        journal.put_many((), [shelved(0, PUT_OFF.replace("poor", "fair"))])
    one.save()
    assert two.restore() == 3
    assert contents(two.folder) == contents(one.folder)
    two.restart()
    assert two.restore() == 0
    assert contents(two.folder) == contents(one.folder)


def test_another_runner_s_answer_comes_to_who_put_it_off(one: Machine, two: Machine) -> None:
    with Journal(one.folder / FIRST) as journal:
        journal.put(shelved(0))
        journal.put(shelved(1))
    one.save()
    two.restore()
    with Journal(two.folder / FIRST) as journal:
        journal.put_many((), [record(0)])
        journal.put_many((), [record(1)])
    two.save()
    with Journal(one.folder / FIRST) as journal:  # Put off again, for another reason.
        journal.put_many((), [shelved(1, PUT_OFF.replace("poor", "fair"))])
    one.restart()
    assert one.restore() == 2
    assert contents(one.folder)[FIRST, "rows"] == contents(two.folder)[FIRST, "rows"]


def test_a_label_given_before_the_answer_comes_to_who_has_the_answer(
    one: Machine, two: Machine
) -> None:
    with Journal(one.folder / FIRST) as journal:
        journal.put(shelved(0))
        label(one.folder, [0])
        one.save()
        journal.put_many((), [record(0)])
    one.save()
    put(two.folder, [0])
    assert two.restore() == 1
    assert rows_of(two.folder, TAGS) == [0]


def test_a_label_of_a_turn_in_flight_is_saved_with_its_turn(one: Machine, two: Machine) -> None:
    put(one.folder, [0])
    label(one.folder, [0, 1])
    one.save()
    two.restore()
    assert rows_of(two.folder, TAGS) == [0]
    put(one.folder, [1])
    one.save()
    two.restore()
    assert rows_of(two.folder, TAGS) == [0, 1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"more",
        lambda data: b"{}",
        lambda data: gzip.compress(b"no database at all, and long enough to be read as one" * 20),
        lambda data: gzip.compress(b""),
    ],
)
def test_a_torn_or_foreign_segment_is_refused_by_name(spoil, one: Machine, two: Machine) -> None:
    fill(one.folder, range(30))
    one.save()
    (name,) = segments(one.url)
    fs, root = fsspec.url_to_fs(one.url)
    fs.pipe_file(f"{root}/{name}", spoil(fs.cat_file(f"{root}/{name}")))
    with pytest.raises(JournalError, match="torn or foreign.*remove it") as caught:
        two.restore()
    assert str(caught.value).startswith(f"{one.url}/{name}: ")
    assert "\n" not in str(caught.value)
    # The way out that it names is one.
    fs.rm_file(f"{root}/{name}")
    assert two.restore() == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE turns SET row_id = 'x'",
        "UPDATE turns SET turn = 'x'",
        "UPDATE turns SET instruction = x'ff'",
        "UPDATE turns SET instruction_ids = 'x'",
        "UPDATE turns SET response_tokens = 1.5",
        "UPDATE meta SET value = '{'",
        "UPDATE meta SET value = x'ff'",
        "UPDATE OR IGNORE meta SET file = '../x.db'",
        "UPDATE sessions SET info = '['",
        "ALTER TABLE turns DROP COLUMN response",
        "DROP TABLE labels",
    ],
)
def test_a_segment_with_other_values_is_refused_whole(
    sql: str, one: Machine, two: Machine, tmp_path: Path
) -> None:
    fill(one.folder, range(3))
    one.save()
    (name,) = segments(one.url)
    fs, root = fsspec.url_to_fs(one.url)
    file = tmp_path / "segment.db"
    file.write_bytes(gzip.decompress(fs.cat_file(f"{root}/{name}")))
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute(sql)
    fs.pipe_file(f"{root}/{name}", gzip.compress(file.read_bytes()))
    with pytest.raises(JournalError, match="torn or foreign") as caught:
        two.restore()
    assert str(caught.value).isprintable()
    assert rows_of(two.folder) == []


def test_a_segment_that_unpacks_without_end_is_refused(
    one: Machine, two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(one.folder, range(3))
    one.save()
    monkeypatch.setattr("magpie_hub.checkpoint.segment.LARGEST", 1000)
    with pytest.raises(JournalError, match="unpacks to more than 1,000 bytes"):
        two.restore()


def test_a_segment_of_another_journal_is_refused(one: Machine, two: Machine) -> None:
    fill(one.folder, range(3))
    one.save()
    (name,) = segments(one.url)
    two.folder = two.folder.with_name("another-0123456789abcdef")
    fs, root = fsspec.url_to_fs(one.url)
    there = f"{root}/{name}".replace(JOURNAL, two.folder.name)
    fs.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
    fs.cp_file(f"{root}/{name}", there)
    with pytest.raises(JournalError, match="its journal is tiny-.*, not another-"):
        two.restore()


@EVERYWHERE
def test_a_file_that_is_no_segment_is_refused_and_a_temporary_one_passed_over(
    one: Machine, two: Machine
) -> None:
    fill(one.folder, range(3))
    one.save()
    (name,) = segments(one.url)
    fs, root = fsspec.url_to_fs(one.url)
    fs.pipe_file(f"{root}/{name.replace('000001', '000002')}.new", b"half")
    assert two.restore() == 3
    fs.pipe_file(f"{root}/{name.rpartition('/')[0]}/notes.txt", b"somebody's")
    with pytest.raises(JournalError, match=r"notes\.txt: a torn or foreign segment"):
        two.restore()


@EVERYWHERE
def test_the_rest_is_restored_when_a_torn_segment_is_removed(one: Machine, two: Machine) -> None:
    fill(one.folder, range(3))
    one.save()
    (first,) = segments(one.url)
    label(one.folder, [], "good", "labels/safety-00.db")
    label(one.folder, [0], "safe", "labels/safety-00.db")
    fill(one.folder, range(3, 5))
    one.save()
    fs, root = fsspec.url_to_fs(one.url)
    fs.rm_file(f"{root}/{first}")
    assert two.restore() == 2
    assert rows_of(two.folder) == [(3, 1), (4, 1)]
    assert rows_of(two.folder, "labels/safety-00.db") == []


def test_a_journal_of_another_layout_is_refused(
    one: Machine, two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(one.folder, [0])
    one.save()
    monkeypatch.setattr("magpie_hub.store.journal.FORMAT", 99)
    with pytest.raises(JournalError, match=r"first\.db has layout \d+\)"):
        two.restore()


def test_saving_reads_while_another_thread_writes(one: Machine, two: Machine) -> None:
    with Journal(one.folder / FIRST) as journal:
        with one.state.keeping(one.folder, "2026-11-21", 0, every=0.01, say=one.said.append):
            for row_id in range(400):
                journal.put(record(row_id))
        assert one.said == []
        assert len(segments(one.url)) > 1
    assert two.restore() == 400
    assert contents(two.folder) == contents(one.folder)


def test_what_comes_while_a_save_looks_is_kept_with_what_it_rests_on(
    one: Machine, two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come(row_id: int) -> None:
        put(one.folder, [row_id])
        put(one.folder, [row_id], LATER, 2)
        label(one.folder, [row_id])

    come(0)
    looks: list[str] = []

    def look(db: sqlite3.Connection, file: str, first_row: int) -> dict[str, str]:
        found = find(db, file, first_row)
        looks.append(file)
        if len(looks) == 1:
            come(1)
        return found

    find = delta.find_fresh
    monkeypatch.setattr(delta, "find_fresh", look)
    one.save()
    one.save()
    two.restore()
    assert contents(two.folder) == contents(one.folder)


def test_a_turn_answered_while_it_is_saved_is_saved(
    one: Machine, two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(one.folder / FIRST) as journal:
        journal.put(shelved(0))
    label(one.folder, [0])
    looks: list[str] = []

    def take(db: sqlite3.Connection, file: str, most: int) -> int:
        if not looks:
            with Journal(one.folder / FIRST) as journal:
                journal.put_many((), [record(0)])
        looks.append(file)
        return taken(db, file, most)

    taken = delta.take
    monkeypatch.setattr(delta, "take", take)
    one.save()
    assert two.restore() == 1
    assert contents(two.folder) == contents(one.folder)


def test_restoring_waits_for_who_writes_the_journal(one: Machine, two: Machine) -> None:
    put(one.folder, [0])
    one.save()
    said: list[str] = []
    with writer_lock(two.folder, said.append):
        thread = threading.Thread(
            target=two.state.restore, args=(two.folder, "2026-11-21", 0, said.append)
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert not (two.folder / FIRST).exists()
    thread.join()
    assert rows_of(two.folder) == [(0, 1)]
    assert len(said) == 1
    assert "waiting" in said[0]


def test_a_lost_answer_costs_no_row(tmp_path: Path) -> None:
    for url in ("faulty://bucket/path", "faulty-store://bucket/path"):
        one, two = Machine(url, tmp_path / url[:8] / "1"), Machine(url, tmp_path / url[:8] / "2")
        put(one.folder, range(3))
        FAULTS.plan({"faulty://bucket/path": 2}.get(url, 0), "after")
        with one.state.keeping(one.folder, "2026-11-21", 0, every=1000, say=one.said.append):
            pass
        assert len(one.said) == 1
        put(one.folder, [3])
        one.said.clear()
        one.save()
        assert two.restore() == 4
        assert contents(two.folder) == contents(one.folder)


@pytest.mark.parametrize(
    "name", ["../first.db", "labels/../first.db", "later-1.db-wal", "labels/.db", "/first.db"]
)
def test_a_segment_cannot_name_files_outside_the_folder(name: str) -> None:
    assert not is_kept(name)
