"""Where a release may go: no file of the user is removed, and the folder appears in one step."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magpie_hub import api
from magpie_hub.errors import OutputError
from magpie_hub.release import output
from magpie_hub.release.folder import write_release
from magpie_hub.release.output import check_output, taking
from tests.tiny import write_tiny_recipe
from tests.toy_release import toy_job

FILES = ("README.md", "recipe.yaml", "stats.json", "data/default/train-00000-of-00001.parquet")


def put(folder: Path, word: str = "old") -> Path:
    """Writes what looks like a release, each file with one word."""
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(word)
    said = {"made_by": "magpie_hub", "files": {name: {} for name in FILES}, "word": word}
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(out: Path, match: str) -> str:
    """A place is refused, by the check and by the writer, in one line; nothing changes there."""
    watched = out.is_dir() and out != Path("/")
    before = tree(out) if watched else {}
    for attempt in (lambda: check_output(out), lambda: taking(out).__enter__()):
        with pytest.raises(OutputError, match=match) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(out))
    assert (tree(out) if watched else {}) == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("NOTES.md", "NOTES.md"),
        (".git/HEAD", r"\.git"),
        (".env", r"\.env"),
        ("data/mine.csv", "data/mine.csv"),
        ("data/default/train.parquet", "data/default/train.parquet"),
        ("assets/my-plot.png", "assets/my-plot.png"),
        ("sub/README.md", "sub/README.md"),
    ],
)
def test_what_a_person_keeps_in_a_release_is_named_and_stays(
    name: str, shown: str, tmp_path: Path
) -> None:
    folder = put(tmp_path / "out")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    refused(folder, rf"not part of it \({shown}\).*move that elsewhere, or name another folder")
    assert (folder / name).read_text() == "mine"


def test_of_many_files_a_few_are_named(tmp_path: Path) -> None:
    folder = put(tmp_path / "out")
    for number in range(5):
        (folder / f"n{number}.md").write_text("mine")
    refused(folder, r"\(n0.md, n1.md, n2.md and 2 more\)")


def test_links_in_a_release_are_a_persons(tmp_path: Path) -> None:
    folder = put(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    refused(folder, r"\(more\)")


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "{",
        "[]",
        "{}",
        '{"made_by": "me"}',
        '{"made_by": "magpie_hub"}',
        '{"made_by": "magpie_hub", "files": ["README.md"]}',
        '{"made_by": "magpie_hub", "files": {"manifest.json": {}}}',
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_only_a_release_of_ours_is_replaced(manifest: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "README.md").write_text("my own")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    refused(folder, "holds something that is not a release .*README.md")


def test_a_release_and_what_file_managers_leave_are_replaced(tmp_path: Path) -> None:
    folder = put(tmp_path / "out")
    (folder / ".DS_Store").write_text("")
    (folder / "data" / "default" / "train-00001-of-00002.parquet").write_text("an older shard")
    with taking(folder) as staging:
        put(staging, "new")
    assert set(tree(folder).values()) >= {b"new"}
    assert set(tree(folder)) == {*FILES, "manifest.json"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    for target in (put(tmp_path / "disk" / "release"), tmp_path / "disk" / "empty"):
        target.mkdir(parents=True, exist_ok=True)
        link = tmp_path / f"link-{target.name}"
        link.symlink_to(os.path.relpath(target, tmp_path), target_is_directory=True)
        with taking(link) as staging:
            assert staging.parent == target.parent
            put(staging, "new")
        assert link.is_symlink()
        assert tree(target)["README.md"] == b"new"


def test_a_link_above_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk", target_is_directory=True)
    with taking(tmp_path / "link" / "out") as staging:
        put(staging, "new")
    assert tree(tmp_path / "disk" / "out")["README.md"] == b"new"


def test_links_that_lead_nowhere_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    refused(tmp_path / "dangling", "a link to .*gone, which is not there")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop", "loop")
    (tmp_path / "file").write_text("mine")
    refused(tmp_path / "file", "not a folder")
    (tmp_path / "to-file").symlink_to(tmp_path / "file")
    refused(tmp_path / "to-file", "not a folder")
    refused(tmp_path / "file" / "out", "cannot be (written|used)")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [".", "..", "../work", "sub/..", "", "sub/../../work"])
def test_the_folder_that_the_caller_is_in_is_not_taken_away(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = put(tmp_path / "shell" / "work")
    (work / "sub").mkdir()
    monkeypatch.chdir(work)
    for place in (Path(name), Path(name).absolute()):
        with pytest.raises(OutputError, match="you are in this folder|not a release"):
            check_output(place)
    assert Path.cwd() == work
    assert tree(work)["README.md"] == b"old"


@pytest.mark.parametrize("name", ["", "journals", "journals/x", "models/new", "logs", ".."])
def test_where_the_journals_are_no_release_goes(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "journals" / "x").mkdir(parents=True)
    (home / "journals" / "x" / "first.db").write_text("rows")
    refused(home / name, "the journals are there|holds something")
    (tmp_path / "alias").symlink_to(home, target_is_directory=True)
    refused(tmp_path / "alias" / name, "the journals are there|holds something")


def test_beside_the_journals_a_release_may_go(tmp_path: Path) -> None:
    (tmp_path / "home" / "journals").mkdir(parents=True)
    with taking(tmp_path / "home" / "smol") as staging:
        put(staging)
    with pytest.raises(OutputError, match="the journals are there"):
        check_output(tmp_path / "elsewhere", home=tmp_path / "elsewhere" / "home")


def test_places_that_cannot_be_written_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, nul = tmp_path / ("x" * 300), tmp_path / "nul\0"
    for place in (Path("/"), Path("/proc/magpie"), Path("/proc/self/x/y"), long, nul):
        with pytest.raises(OutputError, match="cannot be|journals are there"):
            check_output(place)
        with pytest.raises(OutputError, match="cannot be|journals are there"):
            taking(place).__enter__()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == mounted)
    refused(mounted, "a disk is mounted there.*mounted/release")


def test_a_name_as_long_as_a_name_can_be_works(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "-out", "a b'\"$(x)", ".hidden", "[a]*?"):
        for word in ("one", "two"):
            with taking(tmp_path / name) as staging:
                put(staging, word)
            assert tree(tmp_path / name)["README.md"] == word.encode()
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(
    "token", [pytest.param(str(os.getpid()), id="own-pid"), "0123456789abcdef"]
)
@pytest.mark.parametrize("kind", ["old", "partial"])
def test_what_a_dead_process_left_never_blocks_a_build(
    token: str, kind: str, tmp_path: Path
) -> None:
    """A container's processes have the same id every time."""
    left = put(tmp_path / f".out.{token}.{kind}", "left")
    (left / "assets").mkdir()
    (left / "assets" / "funnel.png").write_text("")
    put(tmp_path / "out")
    with taking(tmp_path / "out") as staging:
        put(staging, "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    assert tree(tmp_path / "out")["README.md"] == b"new"


def test_an_interrupted_swap_is_healed_even_if_the_next_build_fails(tmp_path: Path) -> None:
    put(tmp_path / f".out.{os.getpid()}.old")
    with pytest.raises(RuntimeError), taking(tmp_path / "out"):
        raise RuntimeError
    assert tree(tmp_path / "out")["README.md"] == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_what_only_looks_like_a_leftover_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".out.1234.old"
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    (tmp_path / ".out.backup.old").mkdir()
    (tmp_path / ".out.77.partial").write_text("a file")
    (tmp_path / ".other.77.partial").mkdir()
    for word in ("one", "two"):
        with taking(tmp_path / "out") as staging:
            put(staging, word)
    assert len(list(tmp_path.iterdir())) == 5
    assert (mine / "thesis.tex").read_text() == "mine"


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    with taking(tmp_path / "out") as one:
        put(one, "one")
        with taking(tmp_path / "out") as two:
            put(two, "two")
        assert one.is_dir()
    assert tree(tmp_path / "out")["README.md"] == b"one"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_note_that_is_put_there_meanwhile_stays(tmp_path: Path) -> None:
    put(tmp_path / "out")
    with pytest.raises(OutputError, match="NOTES.md"), taking(tmp_path / "out") as staging:
        put(staging, "new")
        (tmp_path / "out" / "NOTES.md").write_text("mine")
    assert tree(tmp_path / "out")["README.md"] == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


KILLED = """
import sys
from pathlib import Path
from magpie_hub import files
from magpie_hub.release import output
from tests.release.test_output import put
if sys.argv[2] == "apart":
    files.exchange = lambda one, other: False
for number in range(100_000):
    with output.taking(Path(sys.argv[1])) as staging:
        put(staging, f"{number:06}")
"""


@pytest.mark.parametrize("how", ["exchanged", "apart"])
def test_killed_at_any_moment_the_old_or_the_new_release_is_whole(how: str, tmp_path: Path) -> None:
    out, rng = tmp_path / "place" / "out", random.Random(7)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(out), how],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        while process.poll() is None and not out.exists():
            time.sleep(0.01)
        time.sleep(0.3 + rng.random() / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if how == "apart":  # between two renames it lies beside; the next build puts it back
            output._clear_up(out)
        found = tree(out)
        assert set(found) == {*FILES, "manifest.json"}
        words = {found[name] for name in FILES}
        assert words == {json.loads(found["manifest.json"])["word"].encode()}
    with taking(out) as staging:
        put(staging, "last")
    assert list(out.parent.iterdir()) == [out]


def test_everything_is_refused_before_anything_is_loaded_or_written(tmp_path: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", tmp_path / "no-model")
    folder = put(tmp_path / "out")
    (folder / "NOTES.md").write_text("mine")
    with pytest.raises(OutputError, match="NOTES.md"):
        api.build(recipe, folder)
    assert not (tmp_path / "home").exists()


def test_a_real_release_is_replaced_through_a_link(tmp_path: Path) -> None:
    run = toy_job(tmp_path / "home", rows=4)
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
    for _ in range(2):
        release = write_release(run, tmp_path / "out")
        assert release.path == tmp_path / "out"
        assert release.card.is_file()
    assert (tmp_path / "out").is_symlink()
    (tmp_path / "disk" / "NOTES.md").write_text("mine")
    with pytest.raises(OutputError, match="NOTES.md"):
        write_release(run, tmp_path / "out")
