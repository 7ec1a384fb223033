"""What is remembered of a scan: it spares work, changes no answer, and shows no value."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from magpie_hub.scan import file_cache as records_module
from magpie_hub.scan import scanner as folder_module
from magpie_hub.scan.file_cache import FileCache
from magpie_hub.scan.finding import Report
from magpie_hub.scan.scanner import scan_release

from .planted import plant
from .test_scan_release import release, row_of, said

MAILS = ("jo@acme.io", "al@acme.io")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def scan(folder: Path, home: Path, *allow: str) -> Report:
    return scan_release(folder, allow=allow, records=FileCache(home), sha256=digest)


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    rows = [row_of(0), said(1, plant(0, 1).text), *(said(2 + at, m) for at, m in enumerate(MAILS))]
    return release(tmp_path / "leaky", rows)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tables whose rows are scanned, as they are."""
    paths: list[Path] = []
    before = folder_module.scan_rows
    monkeypatch.setattr(
        folder_module,
        "scan_rows",
        lambda part, seen: (paths.append(part.path), before(part, seen))[1],
    )
    return paths


def same(one: Report, other: Report) -> bool:
    return (one.findings, one.counts, one.allowed, one.rows) == (
        other.findings,
        other.counts,
        other.allowed,
        other.rows,
    )


def test_a_second_scan_says_the_same_and_reads_no_rows(
    leaky: Path, tmp_path: Path, scanned: list[Path]
) -> None:
    first = scan(leaky, tmp_path)
    assert len(scanned) == 1
    assert first.counts == {"email": 2, "hf-token": 1}
    assert same(scan(leaky, tmp_path), first)
    assert len(scanned) == 1
    marks = tuple(finding.mark for finding in first.findings)
    assert same(scan(leaky, tmp_path, *marks), scan_release(leaky, allow=marks))
    assert scan(leaky, tmp_path, *marks[1:]).counts == {"hf-token": 1}


def test_a_pattern_is_held_against_values_which_are_looked_for_again(
    leaky: Path, tmp_path: Path, scanned: list[Path]
) -> None:
    scan(leaky, tmp_path)
    assert scan(leaky, tmp_path, "email jo@*").counts == {"hf-token": 1, "email": 1}
    assert len(scanned) == 2
    scan(leaky, tmp_path, "phone +49*")
    assert len(scanned) == 2, "nothing was found that this could concern"


def test_other_bytes_are_scanned(leaky: Path, tmp_path: Path, scanned: list[Path]) -> None:
    scan(release(tmp_path / "clean"), tmp_path)
    assert not scan(leaky, tmp_path).clean
    assert len(scanned) == 2


def test_a_file_that_changes_while_it_is_scanned_is_not_remembered(
    tmp_path: Path, leaky: Path
) -> None:
    answers = iter(["a" * 64, None])
    folder = release(tmp_path / "clean")
    scan_release(folder, records=FileCache(tmp_path), sha256=lambda path: next(answers))
    assert FileCache(tmp_path).find("a" * 64) is None


def test_another_scanner_scans_again(
    leaky: Path, tmp_path: Path, scanned: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(leaky, tmp_path)
    monkeypatch.setattr(records_module, "scanner", lambda: "another")
    scan(leaky, tmp_path)
    assert len(scanned) == 2


@pytest.mark.parametrize("spoilt", [b"", b"{}", b"[]", b'{"sha256": 1}', b"\xff"])
def test_a_spoilt_record_is_no_record(
    spoilt: bytes, leaky: Path, tmp_path: Path, scanned: list[Path]
) -> None:
    first = scan(leaky, tmp_path)
    (path,) = (tmp_path / "scans").iterdir()
    path.write_bytes(spoilt)
    assert same(scan(leaky, tmp_path), first)
    assert len(scanned) == 2
    assert path.read_bytes() != spoilt


def test_a_record_of_another_file_is_no_record(leaky: Path, tmp_path: Path) -> None:
    scan(release(tmp_path / "clean"), tmp_path)
    (path,) = (tmp_path / "scans").iterdir()
    (table,) = leaky.glob("data/*/*.parquet")
    path.rename(path.with_name(path.name.replace(path.name[:64], digest(table))))
    assert not scan(leaky, tmp_path).clean


def test_a_record_holds_no_value(leaky: Path, tmp_path: Path) -> None:
    scan(leaky, tmp_path)
    (path,) = (tmp_path / "scans").iterdir()
    for value in (plant(0, 1).value, *MAILS):
        assert value not in path.read_text(encoding="utf-8")


def test_without_a_place_to_keep_records_all_is_scanned(leaky: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").write_text("a file")
    assert scan(leaky, tmp_path).counts == {"email": 2, "hf-token": 1}
