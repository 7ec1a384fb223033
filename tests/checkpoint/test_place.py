"""Places: whole files or none at any URL, and one line with a way out when that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from magpie_hub.checkpoint.filesystem import NEW, Filesystem
from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import UserError
from tests.checkpoint.faulty import FAULTS

NAME = "tester--magpie-smol"


@pytest.fixture
def place(url: str) -> Filesystem:
    return Filesystem(url)


def test_files_are_written_listed_read_and_removed(place: Filesystem) -> None:
    assert place.files("a") == []
    assert place.read("a/b/1") is None
    place.write("a/b/1", b"one")
    place.write("a/2", b"two")
    place.put("ab", b"three")
    place.put("ab", b"four")
    assert place.files("a") == ["2", "b/1"]
    assert place.twin().files("a") == ["2", "b/1"]
    assert place.read("a/b/1") == b"one"
    assert place.read("ab") == b"four"
    place.remove("a")
    place.remove("a")
    assert place.files("a") == []
    place.remove("ab")
    assert place.read("ab") is None


def test_a_file_is_created_once(place: Filesystem) -> None:
    assert place.create("a/b", b"mine")
    assert not place.twin().create("a/b", b"theirs")
    assert place.read("a/b") == b"mine"


@pytest.mark.parametrize("url", ["faulty://bucket", "faulty-store://bucket"])
@pytest.mark.parametrize("how", ["before", "torn", "after"])
def test_a_file_appears_whole_or_not_at_all(url: str, how: str) -> None:
    for at in range(4):
        place = Filesystem(url)
        FAULTS.plan(at, how)
        said = ""
        try:
            place.write(f"a/{at}", b"0123456789")
        except UserError as error:
            said = str(error)
        assert said == "" or said.startswith(f"{url}/a/{at}: state cannot be written")
        FAULTS.reset()
        for name in place.files("a"):
            assert name.endswith(NEW) or place.read(f"a/{name}") == b"0123456789"


def test_a_folder_url_is_a_place_wherever_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = Filesystem("some/where")
    monkeypatch.chdir("/")
    place.write("x", b"1")
    assert (tmp_path / "some/where/x").read_bytes() == b"1"
    Filesystem("~/there").write("x", b"1")
    assert (tmp_path / "home/there/x").exists()


def uses(url: str, folder: Path) -> list[str]:
    """What is said when state at a place is used in each way that asks it."""
    said, beside = [], []

    def lease() -> None:
        with CheckpointStore(url, NAME).lease(beside.append, ttl=0.1):
            pass

    for use in (lease, lambda: CheckpointStore(url, NAME).restore(folder, "monday", 0)):
        with pytest.raises(UserError) as caught:
            use()
        said.append(str(caught.value))
        assert "\n" not in said[-1]
        assert len(said[-1]) < 700
    assert beside == []
    return said


def test_a_file_system_that_is_not_installed_is_named(tmp_path: Path) -> None:
    for said in uses("s3://bucket/path", tmp_path):
        assert "s3://bucket/path: " in said
        assert "pip install s3fs" in said


def test_a_url_that_is_none_is_refused(tmp_path: Path) -> None:
    for url in ("nothing://bucket", "", " ", "simplecache::memory://x", "memory://a*b"):
        for said in uses(url, tmp_path):
            assert "name another place" in said


def test_a_repository_of_the_hub_is_refused_and_a_bucket_is_asked(tmp_path: Path) -> None:
    for url in ("hf://datasets/tester/x", "hf://tester/x"):
        for said in uses(url, tmp_path):
            assert "hf://buckets/" in said
    # The tests are offline.
    for said in uses("hf://buckets/tester/x/path", tmp_path):
        assert said.startswith("hf://buckets/tester/x/path")
        assert "state cannot be" in said


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"somebody's")
    for url in (str(tmp_path / "file"), (tmp_path / "file").as_uri(), str(tmp_path / "file/in")):
        for said in uses(url, tmp_path / "journal"):
            assert said.startswith(url)
            assert "there is a file where a folder should be" in said
    assert (tmp_path / "file").read_bytes() == b"somebody's"


def test_a_key_below_another_is_said_where_the_store_minds(tmp_path: Path) -> None:
    Filesystem("memory://bucket").put("file", b"somebody's")
    with (
        pytest.raises(UserError, match="there is a file where a folder should be"),
        CheckpointStore("memory://bucket/file", NAME).lease(print),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with (
        pytest.raises(UserError, match="Permission denied.*name another place"),
        CheckpointStore(str(tmp_path / "locked"), NAME).lease(print),
    ):
        pass


def test_a_bucket_that_cannot_be_reached_or_written_is_said(tmp_path: Path) -> None:
    for error in (PermissionError("Access Denied"), ValueError(""), RuntimeError("no\nroute")):
        FAULTS.plan(0, error=error, forever=True)
        for said in uses("faulty-store://bucket", tmp_path):
            assert " ".join(str(error).split()) in said
            assert "name another place" in said


def test_credentials_never_appear(tmp_path: Path) -> None:
    login = "some%40body:pass%2Fword"
    # Nothing listens there, so every use fails, with the URL in the client's own message.
    said = uses(f"http://{login}@127.0.0.1:9/path", tmp_path)
    said += uses(f"http://{login}@127.0.0.1:9/path?token=s3cret&x=y", tmp_path)
    for text in (login, "password pass/word", "some@body:pass/word", f"http://{login}@bucket/x"):
        FAULTS.plan(0, forever=True, error=OSError(f"no luck with {text} today"))
        said += uses(f"faulty-store://{login}@bucket/path", tmp_path)
        assert "no luck with" in said[-1]
        assert "today" in said[-1]
    # Another party's, as of a proxy that the environment names.
    FAULTS.plan(0, forever=True, error=OSError("no way by http://some:password@proxy:3128/"))
    said += uses("faulty-store://bucket", tmp_path)
    assert "proxy:3128" in said[-1]
    place = Filesystem(f"faulty-store://{login}@bucket/path")
    said += [place.shown, CheckpointStore(f"faulty-store://{login}@bucket", NAME).shown]
    assert len(said) == 16
    for line in said:
        for secret in ("pass", "word", "s3cret", "some", "token"):
            assert secret not in line.replace("password ***", ""), line


def test_a_container_is_no_credential() -> None:
    from magpie_hub.checkpoint.filesystem import _part

    assert _part("abfs://box@account.dfs.core.windows.net/x") == (
        [],
        "abfs://box@account.dfs.core.windows.net/x",
    )
