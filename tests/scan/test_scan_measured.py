"""The figures in the docs are what the scan finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.scan import paths
from magpie_hub.scan import text as text_module
from magpie_hub.scan.scanner import scan_release
from magpie_hub.scan.text import find, rules_of_files, scan_text

from .harmless import PLACEHOLDERS
from .measured import measure, table
from .test_scan_release import TABLE, places, release, said

_CACHED = (text_module.rules, text_module.rules_of_files, text_module._any_anchor)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "release.md"


def test_the_docs_say_how_much_is_found_and_how_much_wrongly() -> None:
    measured = measure()
    assert measured.missed == []
    assert measured.wrong == []
    assert table(measured) in PAGE.read_text(encoding="utf-8"), table(measured)


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_no_finding(text: str) -> None:
    assert list(scan_text(text)) == []


def test_a_real_value_beside_a_placeholder_is_found() -> None:
    text = "name@domain.com, or carol.m@acme-works.io"
    assert list(scan_text(text)) == [("email", "carol.m@acme-works.io")]


def in_our_files(text: str) -> list[str]:
    return [value for _, kind, value, _ in find([text], rules_of_files()) if kind == "local-path"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('"name": "/home/carol/models/x"', "/home/carol/models/x"),
        ("model: /root/weights", "/root/weights"),
        ('from_pretrained("/tmp/m/x")', "/tmp/m/x"),
        ("at C:\\Users\\carol\\m, say", "C:\\Users\\carol\\m,"),
        ("D:/models/x", "D:/models/x"),
        ("`file:///srv/x`", "file:///srv/x"),
        ("~/models/x.", "~/models/x"),
        ("\\\\nas\\share", "\\\\nas\\share"),
        ("in /scratch/m1/x", "/scratch/m1/x"),
        ("(/Users/carol/x)", "/Users/carol/x"),
        ('["/models/llama/8b"]', "/models/llama/8b"),
    ],
)
def test_a_path_in_a_file_of_ours_is_found(text: str, path: str) -> None:
    (found,) = in_our_files(text)
    assert found in (path, path.rstrip(","))


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/datasets/home/x/y",
        "and/or, 1/2/3, tokens/s, data/default/train-00000-of-00001.parquet",
        "</details> <br/> a </tool_call>",
        "s3://bucket/a/b/c hf://buckets/a/b",
        "/home/user/notes.txt C:\\Users\\YourName\\x /Users/username/x",
        "/think /no_think",
    ],
)
def test_what_is_no_path_of_a_machine_is_no_finding(text: str) -> None:
    assert in_our_files(text) == []


def test_a_path_is_a_finding_in_our_files_and_not_in_rows(tmp_path: Path) -> None:
    text = "see /home/carol/x"
    folder = release(
        tmp_path,
        [said(0, text)],
        {
            "README.md": text,
            "manifest.json": '{"made_by": "magpie_hub", "model": "/home/carol/x"}',
            "recipe.yaml": "model: /home/carol/x\n",
            "stats.json": '{"spent": ["/home/carol/x"]}',
        },
    )
    found = places(scan_release(folder))
    assert [place.split(" ")[0] for kind, place in found if kind == "local-path"] == [
        "README.md",
        "manifest.json",
        "recipe.yaml",
        "stats.json",
    ]
    assert scan_release(folder, allow=["local-path /home/carol/*"]).clean


def test_the_home_folder_of_the_user_is_found_in_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/carolm")
    monkeypatch.setenv("MAGPIE_HOME", "/data/carolm-magpie")
    try:
        for cached in (paths.own_places, *_CACHED):
            cached.cache_clear()
        folder = release(
            tmp_path, [said(0, "in /home/carolm/x"), said(1, "/home/carolmina /home/user /root/x")]
        )
        (place,) = [place for kind, place in places(scan_release(folder)) if kind == "local-path"]
        assert place.startswith(f"{TABLE} row 00000000-0000-0000-0000-000000000000")
    finally:
        monkeypatch.undo()
        for cached in (paths.own_places, *_CACHED):
            cached.cache_clear()


def test_a_home_that_everybody_has_tells_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("/root", "/home/user", "/home/ubuntu", "/home/runner", "/"):
        monkeypatch.setenv("HOME", home)
        monkeypatch.setenv("MAGPIE_HOME", home)
        assert paths.own_places.__wrapped__() == ()
