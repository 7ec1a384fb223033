"""The report: the verdict first, then sentences, then tables that no foreign text can break."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.examine import DriftReport, examine
from magpie_hub.regenerate.drift.report import write_report
from tests.regenerate.drift.toy_stats import CATEGORIES, REASONS, Toy

HOSTILE = "| x |\n\n# <script>alert(1)</script> [a](http://b) `\\|` \u202e"


def write(found: DriftReport, **changes: Any) -> str:
    given: dict[str, Any] = {
        "name": "air",
        "tick": "2026-11-21",
        "tag": "v2026.11.21",
        "repo_id": "ns/magpie-air",
        "published_rows": 12_000,
        "new_rows": 1000,
    }
    return write_report(found, **given | changes)


def compare(new: Toy, rows: int = 1000, bounds: Drift | None = None) -> DriftReport:
    rng = np.random.default_rng(1)
    return examine(Toy().draw(rng, 5000), new.draw(rng, rows), bounds or Drift())


def tables(text: str) -> list[list[list[str]]]:
    """The cells of all tables, row by row, as a reader of Markdown sees them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 3:
            found[-1][-1].append("".join(one.content for one in token.children or []))
    return found


def headings(text: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(text)
    return [tokens[n + 1].content for n, one in enumerate(tokens) if one.type == "heading_open"]


def test_a_refusal_says_so_first_and_what_failed_next() -> None:
    found = compare(Toy(response_tokens=800.0))
    text = write(found)
    assert text.splitlines()[0] == (
        "Refused: the 1,000 new rows of `air` (tick `2026-11-21`) failed 2 checks against the "
        "12,000 rows published in `ns/magpie-air`."
    )
    assert headings(text) == ["What failed", "Checks", "Reject reasons"]
    (line,) = (one for one in text.splitlines() if one.startswith("- median of response"))
    assert "tokens in the new rows, 401 tokens in what is published" in line
    assert "the bound a factor of 1.5." in line


def test_what_passes_names_its_tag() -> None:
    text = write(compare(Toy()))
    assert text.splitlines()[0] == (
        "Passed: the 1,000 new rows of `air` (tick `2026-11-21`) are like the 12,000 rows "
        "published in `ns/magpie-air`; their tag is `v2026.11.21`."
    )
    assert headings(text) == ["Checks", "Reject reasons"]
    assert write(compare(Toy()), tag=None, repo_id=None).splitlines()[0].endswith("rows published.")


@pytest.mark.parametrize("rows", [1, 4, 12])
def test_beside_a_figure_over_its_bound_it_never_says_ok(rows: int) -> None:
    found = compare(Toy(response_tokens=900.0), rows)
    text = write(found, new_rows=rows)
    checks = tables(text)[0][1:]
    over = {one.name for one in found.checks if one.published is not None and one.size > one.bound}
    assert over
    for state, name, *_ in checks:
        assert (state == "ok") == (name not in over), name
    unsure = [row[1] for row in checks if row[0] == "too few rows to tell"]
    assert unsure == [one.name for one in found.unsure]
    if unsure and not found.failed:
        assert f"For {len(unsure)} check" in text.splitlines()[0]
        assert "too few rows to tell" in text.splitlines()[0]


def test_warnings_are_counted_and_told() -> None:
    text = write(compare(Toy(reward=-0.35), 4000))
    assert text.startswith("Passed with 1 warning: ")
    assert headings(text)[0] == "What to look at"


def test_the_worst_check_stands_first_with_its_numbers_side_by_side() -> None:
    found = compare(Toy(response_tokens=800.0, reward=-0.35), 4000)
    checks, reasons = tables(write(found))
    states = [row[0] for row in checks[1:]]
    order = ["failed", "warning", "too few rows to tell", "ok"]
    assert states == sorted(states, key=order.index)
    assert len(checks) == len(found.checks) + 1
    assert checks[0][3:] == ["published", "new", "difference", "bound", "p"]
    first = checks[1]
    assert first[1] == "length.response_tokens.p50"
    assert first[3] == "401 tokens"
    assert first[6] == "a factor of 1.5"
    assert float(first[7].removeprefix("<")) < 1e-9
    assert [row[0] for row in reasons[1:]] == [reason.code for reason in found.reasons]
    (quality,) = (row for row in reasons if row[0] == "selection.quality")
    assert quality[1] == "below the quality asked for"
    assert [value[-1] for value in quality[2:]] == ["%", "%"]


@pytest.mark.parametrize("state", ["ok", "failed"])
def test_nobodys_words_break_the_page(state: str) -> None:
    share = 0.3 if state == "failed" else 0.001
    hostile = Toy(
        categories={**CATEGORIES, HOSTILE: share},
        languages={HOSTILE: 1.0, "EN": 1 / share},
        reasons={**REASONS, HOSTILE: share / 2},
    )
    rng = np.random.default_rng(2)
    published, new = Toy().draw(rng, 5000), hostile.draw(rng, 1000)
    new["failures"] = {HOSTILE: {HOSTILE: 1000 if state == "failed" else 1}}
    found = examine(published, new, Drift())
    assert found.state == state
    text = write(found, name=HOSTILE, tick=HOSTILE, tag=HOSTILE, repo_id=HOSTILE)
    assert headings(text)[-2:] == ["Checks", "Reject reasons"]
    assert all(one in ("What failed", "What to look at") for one in headings(text)[:-2])
    checks, reasons = tables(text)
    assert {len(row) for row in checks} == {8}
    assert {len(row) for row in reasons} == {4}
    assert len(checks) == len(found.checks) + 1
    assert len(reasons) == len(found.reasons) + 1
    kinds = {token.type for token in MarkdownIt("commonmark").enable("table").parse(text)}
    assert "html_block" not in kinds
    inner = [
        child.type
        for token in MarkdownIt("commonmark").enable("table").parse(text)
        for child in token.children or []
    ]
    assert not {"html_inline", "link_open", "image"} & set(inner)
    assert "\u202e" not in text


def test_rows_that_could_not_be_finished_are_reported_too() -> None:
    published = Toy().draw(np.random.default_rng(3), 2000)
    new = {"funnel": {"planned": 200, "rejected": {"instruction.garbage": 200}, "delivered": 0}}
    text = write(examine(published, new, Drift()), new_rows=0, tag=None)
    assert text.startswith("Refused: the 0 new rows of `air`")
    assert "planned rows that pass, repeats aside: 0% in the new rows" in text
    checks, reasons = tables(text)
    assert next(row[1] for row in checks if row[0] == "failed") == "yield"
    assert reasons[1][:2] == ["instruction.garbage", "noise instead of words"]
    assert reasons[1][3] == "100.0%"
