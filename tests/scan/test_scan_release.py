"""The scan of a release folder: every place is looked at, and nothing is shown."""

from __future__ import annotations

import json
import string
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from magpie_hub.errors import UserError
from magpie_hub.release.schema import arrow_schema
from magpie_hub.scan import finding as finding_module
from magpie_hub.scan import rows as rows_module
from magpie_hub.scan.finding import Finding, Report, mark, mask
from magpie_hub.scan.scanner import scan_release

from .planted import FORMS, Planted, every_form, form_names, plant

TABLE = "data/default/train-00000-of-00001.parquet"
EVERY_FORM = pytest.mark.parametrize("planted", list(every_form()), ids=form_names())


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    instruction, response = f"What is {number} and one?", f"It is {number + 1}."
    return {
        "uuid": str(uuid.UUID(int=number)),
        "row_id": number,
        "model": "toy/model",
        "instruction": instruction,
        "response": response,
        "messages": [
            {"role": "user", "content": instruction},
            {"role": "assistant", "content": response},
        ],
    } | changes


def said(number: int, text: str) -> dict[str, Any]:
    """A row whose response, and all that repeats it, is a text."""
    return row_of(
        number,
        response=text,
        messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}],
    )


def release(
    folder: Path,
    rows: list[dict[str, Any]] | None = None,
    files: dict[str, str] | None = None,
    table: str = TABLE,
    group: int = 10,
) -> Path:
    path = folder / table
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row_of(number) for number in range(30)] if rows is None else rows
    pq.write_table(
        pa.Table.from_pylist(rows, arrow_schema(2, ["tags"])), path, row_group_size=group
    )
    texts = {
        "README.md": "# A set\n\nMade by magpie_hub.\n",
        "recipe.yaml": "name: toy\nmodel: toy/model\n",
        "stats.json": '{"rows": 30, "yield": 0.5}\n',
        "manifest.json": '{"made_by": "magpie_hub", "files": {"README.md": {"sha256": "%s"}}}\n'
        % ("0a1b2c3d" * 8),
    }
    for name, text in (texts | (files or {})).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def places(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.place) for finding in report.findings]


def test_a_clean_release_is_clean(tmp_path: Path) -> None:
    report = scan_release(release(tmp_path))
    assert report.clean
    assert (report.findings, dict(report.counts), report.allowed, report.rows) == ((), {}, 0, 30)
    assert report.seconds > 0


@EVERY_FORM
def test_every_form_is_found_in_every_place(planted: Planted, tmp_path: Path) -> None:
    rows = [row_of(number) for number in range(30)]
    rows[3] = said(3, f"Sure:\n{planted.text}")
    rows[14]["instruction"] = planted.text
    rows[27]["messages"] = [{"role": "user", "content": planted.text}]
    rows[28]["other_task_category"] = ["Math", planted.text]
    rows[29]["gen_input_configs"] = {"pre_query_template": planted.text}
    line = planted.text.replace("\n", "\\n")
    folder = release(
        tmp_path,
        rows,
        {
            "README.md": f"# A set\n\n> {planted.text}\n",
            "recipe.yaml": f"name: toy\ndescription: {json.dumps(planted.text)}\n# so\n",
            "stats.json": json.dumps({"labels": {planted.text: 1}}, indent=2),
            "notes.txt": f"\n\n{line}\n",
        },
    )
    report = scan_release(folder)
    found = [place for kind, place in places(report) if kind == planted.kind]
    in_files = [place.split(" ")[0] for place in found if place.split(" ")[0] != TABLE]
    assert {"README.md", "recipe.yaml", "stats.json", "notes.txt"} == set(in_files)
    assert ("README.md line 3") in found
    assert ("notes.txt line 3") in found
    assert [place for place in found if place.startswith(TABLE)] == [
        f"{TABLE} row {uuid.UUID(int=3)} column response",
        f"{TABLE} row {uuid.UUID(int=14)} column instruction",
        f"{TABLE} row {uuid.UUID(int=27)} column messages.content",
        f"{TABLE} row {uuid.UUID(int=28)} column other_task_category",
        f"{TABLE} row {uuid.UUID(int=29)} column gen_input_configs.pre_query_template",
    ]
    assert report.counts[planted.kind] == len(found)
    assert not report.clean


@EVERY_FORM
def test_the_value_itself_is_never_shown(planted: Planted, tmp_path: Path) -> None:
    rows = [
        said(0, planted.text),
        row_of(1, uuid=planted.text),
        row_of(2, judge_failures=[{"judge": planted.text, "reason": "x"}]),
    ]
    folder = release(
        tmp_path, rows, {"README.md": planted.text, "stats.json": json.dumps({planted.text: 1})}
    )
    report = scan_release(folder)
    assert len(report.findings) >= 5
    for finding in report.findings:
        for shown in (str(finding), repr(finding), finding.place, finding.mark):
            assert planted.value not in shown
            assert planted.text not in shown
        head, _, tail = finding.shown.partition("…")
        assert max(len(head), len(tail)) <= 3
        assert 3 * len(head + tail) <= len(planted.value)
    assert planted.value not in repr(report)


def test_a_short_value_is_not_shown_at_all() -> None:
    assert mask("s3cr3") == "…"
    assert mask("hunter") == "h…r"
    assert mask("x" * 40) == "xxx…xxx"
    assert mask("\0\ud800\n" + "x" * 40) == "???…xxx"


def test_names_that_hold_something_are_not_shown(tmp_path: Path) -> None:
    planted = plant(0, 1)
    table = pa.table({planted.value: [planted.text], "b": ["x"]})
    path = release(tmp_path) / "data" / "raw" / f"{planted.value}.parquet"
    path.parent.mkdir()
    pq.write_table(table, path)
    report = scan_release(tmp_path)
    assert places(report) == [
        ("hf-token", "a file header"),
        ("hf-token", "a file row 0 column ?"),
    ]
    assert planted.value not in repr(report)


def test_metadata_of_a_table_is_looked_at(tmp_path: Path) -> None:
    planted = plant(0, 1)
    table = pa.table({"a": ["x"]}).replace_schema_metadata({"made_with": planted.text})
    path = release(tmp_path) / "data" / "x.parquet"
    pq.write_table(table, path)
    assert places(scan_release(tmp_path)) == [("hf-token", "data/x.parquet header")]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: pa.array([text], pa.large_string()),
        lambda text: pa.array([text.encode()], pa.binary()),
        lambda text: pa.array([text]).dictionary_encode(),
        lambda text: pa.array([[[None], [], [text]]], pa.list_(pa.large_list(pa.string()))),
        lambda text: pa.array([[("key", text)]], pa.map_(pa.string(), pa.string())),
        lambda text: pa.array([{"a": {"b": [text]}}]),
        lambda text: pa.ExtensionArray.from_storage(pa.json_(), pa.array([text])),
        lambda text: pa.array([[text, "x"]], pa.list_(pa.string(), 2)),
    ],
    ids=["large", "binary", "dictionary", "lists", "map", "structs", "json", "fixed"],
)
def test_text_of_every_type_is_looked_at(wrap: Any, tmp_path: Path) -> None:
    planted = plant(0, 1)
    path = release(tmp_path) / "data" / "x.parquet"
    column = pa.concat_arrays([wrap("nothing"), wrap(planted.text), wrap("here")])
    pq.write_table(pa.table({"column": column, "number": [1, 2, 3]}), path)
    (finding,) = scan_release(tmp_path).findings
    assert finding.place.startswith("data/x.parquet row 1 column column")


def test_a_table_without_text_is_fine(tmp_path: Path) -> None:
    table = pa.table({"number": [1, 2, 3], "day": pa.array([1, 2, 3], pa.date32())})
    pq.write_table(table, release(tmp_path) / "data" / "x.parquet")
    report = scan_release(tmp_path)
    assert report.clean
    assert report.rows == 33


def test_a_file_that_holds_itself_is_read(tmp_path: Path) -> None:
    planted = plant(0, 1)
    escaped = "".join(f"\\u{ord(char):04x}" for char in planted.text)
    laughs = "\n".join(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}, *l{n - 1}]" for n in range(1, 60))
    text = f'l0: &l0 ["{escaped}"]\n{laughs}\nme: &me [*me]\n'
    folder = release(tmp_path, files={"recipe.yaml": text})
    assert places(scan_release(folder)) == [("hf-token", "recipe.yaml when parsed")]


@pytest.mark.parametrize("name", ["BATCH", "PART_BYTES", "KEPT"])
def test_rows_without_uuid_are_named_by_their_number(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, name, 3)
    planted = plant(0, 1)
    table = pa.table({"text": ["x"] * 41 + [planted.text]})
    pq.write_table(table, release(tmp_path) / "data" / "x.parquet", row_group_size=5)
    assert places(scan_release(tmp_path)) == [("hf-token", "data/x.parquet row 41 column text")]


def test_a_line_is_that_of_the_value(tmp_path: Path) -> None:
    text = f'+999 123 456 789\n+49 30 901820\n"{plant(38, 1).text}"\n'
    assert FORMS[38][0] == "artifactory-key"
    assert places(scan_release(release(tmp_path, files={"README.md": text}))) == [
        ("phone", "README.md line 2"),
        ("artifactory-key", "README.md line 3"),
    ]


def test_what_is_escaped_in_a_file_is_found_as_it_is_read(tmp_path: Path) -> None:
    planted = plant(3, 1)
    assert planted.kind == "aws-key"
    escaped = "".join(f"\\u{ord(char):04x}" for char in planted.text)
    folder = release(
        tmp_path,
        files={
            "stats.json": f'{{"note": ["{escaped}", "two\\n{planted.value}"]}}',
            "recipe.yaml": f'name: "{escaped}"\n',
        },
    )
    assert places(scan_release(folder)) == [
        ("aws-key", "recipe.yaml when parsed"),
        ("aws-key", "stats.json line 1"),  # behind a line break that is spelled out
    ]


def test_files_that_are_not_what_they_seem_are_looked_at_as_text(tmp_path: Path) -> None:
    planted = plant(0, 1)
    folder = release(
        tmp_path, files={"stats.json": f"{{ {planted.text}", "recipe.yaml": f"[\n{planted.text}"}
    )
    (folder / "LICENSE").write_bytes(b"\xff\xfe\0" + planted.text.encode() + b"\0\xff")
    assert places(scan_release(folder)) == [
        ("hf-token", "LICENSE line 1"),
        ("hf-token", "recipe.yaml line 2"),
        ("hf-token", "stats.json line 1"),
    ]


def test_hostile_rows_are_scanned(tmp_path: Path) -> None:
    planted = plant(0, 1)
    texts = [
        b"\0" * 1000 + planted.text.encode(),
        b"\xed\xa0\x80 " + planted.text.encode() + b" \xff",  # no UTF-8
        b"x" * 3_000_000 + b" " + planted.text.encode(),
    ]
    column = pa.array(texts, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), release(tmp_path) / "data" / "x.parquet")
    assert [place for _, place in places(scan_release(tmp_path))] == [
        f"data/x.parquet row {row} column text" for row in range(3)
    ]


def test_a_row_says_each_value_once_and_each_row_says_it(tmp_path: Path) -> None:
    planted = plant(0, 1)
    text = f"{planted.text} {planted.text}"
    rows = [said(0, text), said(1, text) | {"instruction": f"Is it {planted.text}?"}, row_of(2)]
    report = scan_release(release(tmp_path, rows))
    assert report.counts == {"hf-token": 2}
    assert [place.split(" ")[-1] for _, place in places(report)] == ["response", "instruction"]
    assert len({finding.mark for finding in report.findings}) == 1


def test_what_is_allowed_is_counted_and_not_listed(tmp_path: Path) -> None:
    tokens, mails = [plant(0, seed) for seed in range(2)], ["a@acme.io", "b@acme.io", "c@other.io"]
    rows = [said(at, one) for at, one in enumerate([*(one.text for one in tokens), *mails])]
    folder = release(tmp_path, rows)
    before = scan_release(folder)
    assert before.counts == {"email": 3, "hf-token": 2}
    assert list(before.counts) == ["email", "hf-token"]
    allow = [f"{before.findings[0].mark}  # looked at", "email *@acme.io"]
    after = scan_release(folder, allow=allow)
    assert [finding.mark for finding in after.findings] == [
        mark("hf-token", tokens[1].value),
        mark("email", "c@other.io"),
    ]
    assert (after.allowed, after.counts) == (3, {"hf-token": 1, "email": 1})
    assert not after.clean
    all_marks = [finding.mark for finding in before.findings]
    assert scan_release(folder, allow=all_marks).clean


def test_a_bad_allow_list_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allow-list line 1"):
        scan_release(tmp_path / "missing", allow=["hf-token *"])


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_of_many_files_are_put_together_in_order(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "PART_BYTES", 1)
    monkeypatch.setattr(rows_module, "KEPT", 1)
    expected = []
    for shard in range(3):
        rows = [row_of(number) for number in range(100 * shard, 100 * shard + 40)]
        table = f"data/default/train-0000{shard}-of-00003.parquet"
        for at in (0, 7, 39):
            rows[at] = said(100 * shard + at, plant(at, shard).text)
            name = f"{table} row {uuid.UUID(int=100 * shard + at)} column response"
            expected.append((FORMS[at][0], name))
        release(tmp_path, rows, table=table, group=7)
    steps: list[tuple[int, int]] = []
    report = scan_release(
        tmp_path, threads=threads, watch=lambda done, of: steps.append((done, of))
    )
    assert places(report) == expected
    assert report.rows == 120
    assert steps[-1] == (120, 120)
    assert steps == sorted(steps)
    assert len(steps) == 18


def test_more_findings_than_are_listed_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magpie_hub.scan.scanner.MOST", 5)
    rows = [said(number, plant(0, number).text) for number in range(20)]
    report = scan_release(release(tmp_path, rows))
    assert len(report.findings) == 5
    assert report.counts == {"hf-token": 20}
    assert finding_module.MOST >= 1_000


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A set")
    with pytest.raises(UserError, match="no Parquet file"):
        scan_release(tmp_path)
    for folder in (tmp_path / "missing", tmp_path / "README.md"):
        with pytest.raises(UserError, match="it cannot be scanned"):
            scan_release(folder)


def test_links_to_files_are_followed_and_others_refused(tmp_path: Path) -> None:
    folder, planted = release(tmp_path / "release"), plant(0, 1)
    (tmp_path / "notes.md").write_text(planted.text)
    (folder / "notes.md").symlink_to(tmp_path / "notes.md")
    assert places(scan_release(folder)) == [("hf-token", "notes.md line 1")]
    (folder / "more").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match="^more: it is no file"):
        scan_release(folder)
    (folder / "more").unlink()
    (folder / "gone.md").symlink_to(tmp_path / "gone.md")
    with pytest.raises(UserError, match="^gone.md: it is no file"):
        scan_release(folder)


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = release(tmp_path) / TABLE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"^{TABLE}: it cannot be read") as caught:
        scan_release(tmp_path)
    assert "\n" not in str(caught.value)
    damaged = bytearray(whole)
    damaged[4 : len(damaged) // 2] = b"\xff" * (len(damaged) // 2 - 4)
    path.write_bytes(bytes(damaged))
    with pytest.raises(UserError, match=rf"^{TABLE}: it cannot be read"):
        scan_release(tmp_path)


def test_a_mark_names_kind_and_value() -> None:
    one = mark("email", "jo@acme.io")
    kind, _, digest = one.partition(" sha256:")
    assert kind == "email"
    assert len(digest) == 16
    assert set(digest) <= set(string.hexdigits.lower())
    values = ["jo@acme.io", "jo@acme.i", "", "\0", "\ud800"]
    marks = Counter(mark(kind, value) for kind in ("email", "jwt") for value in values)
    assert set(marks.values()) == {1}
    assert Finding("email", "README.md line 1", "…", one).mark == one
