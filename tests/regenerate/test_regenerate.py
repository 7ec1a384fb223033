"""A published dataset that grows: what a tick adds, and what it leaves as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from magpie_hub.errors import DriftError, UserError
from magpie_hub.hub.verify import verify
from magpie_hub.release.stats import describe
from tests.hub_peer.server import HubPeer
from tests.regenerate.conftest import REPO, ROWS, Ticker


def manifest(peer: HubPeer) -> dict[str, Any]:
    return dict(json.loads(peer.repo(REPO).files()["manifest.json"]))


def shards(peer: HubPeer, config: str = "default") -> dict[str, bytes]:
    files = peer.repo(REPO).files()
    return {path: files[path] for path in sorted(files) if path.startswith(f"data/{config}/")}


def table(peer: HubPeer, config: str = "default") -> pa.Table:
    return pa.concat_tables(pq.read_table(io.BytesIO(one)) for one in shards(peer, config).values())


def test_two_ticks_add_their_rows_and_leave_the_others(ticker: Ticker, hub_peer: HubPeer) -> None:
    before, repo = shards(hub_peer), hub_peer.repo(REPO)
    commits, tags = len(repo.commits), set(repo.tags)
    first = ticker("a", grow=10)
    second = ticker("b", grow=10)
    assert (first.state, first.added, first.rows) == ("published", 10, ROWS + 10)
    assert (second.state, second.added, second.rows) == ("published", 10, ROWS + 20)
    after = shards(hub_peer)
    assert {path: after[path] for path in before} == before, "earlier shards are untouched"
    assert len(after) == len(before) + 2
    assert len(repo.commits) == commits + 2
    assert set(repo.tags) - tags == {first.tag, second.tag}
    assert second.tag == f"{first.tag}.2", "the second of that day"
    rows = table(hub_peer)
    assert rows.num_rows == ROWS + 20
    assert len(set(rows["uuid"].to_pylist())) == ROWS + 20
    row_ids = rows["row_id"].to_pylist()
    assert row_ids == sorted(set(row_ids)), "row ids go on where they ended"
    words = [" ".join(text.split()).casefold() for text in rows["instruction"].to_pylist()]
    assert len(set(words)) == len(words), "nothing published is repeated"
    raw = table(hub_peer, "raw")
    assert raw["row_id"].to_pylist() == list(range(raw.num_rows)), "every planned row, once"
    turned = table(hub_peer, "sharegpt")
    assert turned["uuid"].to_pylist() == rows["uuid"].to_pylist()
    assert len(shards(hub_peer, "sharegpt")) == 3
    assert verify(REPO, api=hub_peer.api("write"), load=False).problems == ()


def test_a_tick_that_is_published_changes_nothing(ticker: Ticker, hub_peer: HubPeer) -> None:
    done = ticker("a", grow=5)
    repo = hub_peer.repo(REPO)
    commits, sent = len(repo.commits), hub_peer.data_sent()
    again = ticker("a", grow=5)
    assert (again.state, again.tag, again.rows) == ("unchanged", done.tag, done.rows)
    assert (len(repo.commits), hub_peer.data_sent()) == (commits, sent)


def test_statistics_and_card_are_of_the_whole(
    ticker: Ticker, hub_peer: HubPeer, tmp_path: Path
) -> None:
    ticker("a", grow=7)
    files = hub_peer.repo(REPO).files()
    paths: dict[str, list[Path]] = {"default": [], "raw": []}
    for config, found in paths.items():
        for path, content in shards(hub_peer, config).items():
            (tmp_path / "all" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / path).write_bytes(content)
            found.append(tmp_path / "all" / path)
    counted = describe(paths["default"], paths["raw"])
    said = json.loads(files["stats.json"])
    for key in counted.keys() - {"spent"}:
        assert said[key] == counted[key], key
    (cost,) = said["spent"]
    assert cost["rows"] == said["funnel"]["planned"], "what all rows have cost, none of them twice"
    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    counts = {one["config_name"]: one["splits"][0] for one in front["dataset_info"]}
    assert counts["default"]["num_examples"] == ROWS + 7
    assert counts["raw"]["num_examples"] == said["funnel"]["planned"]
    assert f"{ROWS + 7} conversations" in card
    assert yaml.safe_load(files["recipe.yaml"])["rows"] == ROWS + 7


def test_the_changelog_says_what_came_when(ticker: Ticker, hub_peer: HubPeer) -> None:
    first = ticker("2026-11-21", grow=5)
    second = ticker("b", grow=6)
    assert first.tag == "v2026.11.21"
    entries = manifest(hub_peer)["changelog"]
    assert [entry["edition"] for entry in entries] == ["1.2", "1.1", "1.0"]
    assert [entry["tag"] for entry in entries[:2]] == [second.tag, first.tag]
    assert entries[1]["text"].startswith("5 rows added")
    figures = json.loads(hub_peer.repo(REPO).files()["stats.json"])["changelog"]
    assert [one["rows"] for one in figures] == [6, 5, ROWS]
    assert all(one["revision"] for one in figures)
    card = hub_peer.repo(REPO).files()["README.md"].decode()
    assert f"`{first.tag}`" in card
    assert f'revision="{second.tag}"' in card, "the quick start pins the newest"


def test_without_push_it_leaves_the_release_and_sends_nothing(
    ticker: Ticker, hub_peer: HubPeer, tmp_path: Path
) -> None:
    head = hub_peer.repo(REPO).head
    built = ticker("a", grow=5, push=False)
    assert (built.state, built.commit) == ("built", None)
    assert hub_peer.repo(REPO).head == head
    assert (tmp_path / "tiny-next" / "manifest.json").exists()
    assert "tiny" in (tmp_path / "tiny-report.md").read_text()
    assert ticker("a", grow=5).state == "published"


def test_another_machine_adds_the_same_rows(
    ticker: Ticker, hub_peer: HubPeer, elsewhere: Callable[[], None], tmp_path: Path
) -> None:
    ticker("a", grow=8, push=False)
    here = pq.read_table(tmp_path / "tiny-next" / "data" / "default")
    elsewhere()
    ticker("a", grow=8)
    there = table(hub_peer).slice(ROWS)
    assert there["uuid"].to_pylist() == here["uuid"].to_pylist()
    assert there["instruction"].to_pylist() == here["instruction"].to_pylist()


def test_published_rows_are_not_fetched_where_they_were_made(
    ticker: Ticker, hub_peer: HubPeer, elsewhere: Callable[[], None]
) -> None:
    ticker("a", grow=5)
    assert not [line for line in ticker.said if line.startswith("reading data/")]
    elsewhere()
    ticker("b", grow=5)
    assert len([line for line in ticker.said if line.startswith("reading data/")]) == 4
    ticker.said.clear()
    ticker("c", grow=5)
    assert not [line for line in ticker.said if line.startswith("reading data/")]


def test_a_refresh_generates_all_rows_again(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path
) -> None:
    ticker("a", grow=5)
    old = table(hub_peer)
    data = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump(data | {"seed": 7}))
    done = ticker("b", refresh=True)
    new = table(hub_peer)
    assert (done.state, done.edition, done.rows) == ("published", "2.0", ROWS + 5)
    assert not set(old["uuid"].to_pylist()) & set(new["uuid"].to_pylist())
    assert [entry["edition"] for entry in manifest(hub_peer)["changelog"]] == ["2.0", "1.1", "1.0"]
    assert verify(REPO, api=hub_peer.api("write"), load=False).problems == ()
    assert ticker("a", grow=5).state == "unchanged", "a tick of an earlier version is done too"
    assert ticker("c", grow=5).edition == "2.1"


def test_a_generator_that_went_wrong_is_refused(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path, tmp_path: Path
) -> None:
    head = hub_peer.repo(REPO).head
    data = yaml.safe_load(recipe.read_text())
    # Rows of the tiny model pass at any temperature; what it must not do here is end its words.
    data["gates"]["rules"]["cut_off"] = True
    recipe.write_text(yaml.safe_dump(data))
    with pytest.raises(DriftError, match="nothing is published") as caught:
        ticker("a", grow=20)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert hub_peer.repo(REPO).head == head
    report = (tmp_path / "tiny-report.md").read_text()
    assert report.startswith("Refused")
    assert "cut_off" in report
    assert not (tmp_path / "tiny-next").exists()


def test_rows_of_a_changed_recipe_are_added_with_a_word_of_it(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path
) -> None:
    data = yaml.safe_load(recipe.read_text())
    data["respond"]["temperature"] = 0.5
    recipe.write_text(yaml.safe_dump(data))
    done = ticker("a", grow=3)
    assert [line for line in done.warnings if "sampling, seed or gates" in line]
    assert "sampling, seed or gates" in manifest(hub_peer)["changelog"][0]["text"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"model": "other/model", "model_name": "other/model"},
            "--refresh generates all rows again",
        ),
        ({"turns": 2}, "its columns differ from the recipe's"),
        ({"name": "other"}, "it holds the release of tiny, not of other"),
    ],
)
def test_a_recipe_of_another_dataset_is_refused(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path, change: dict[str, Any], says: str
) -> None:
    head = hub_peer.repo(REPO).head
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | change))
    with pytest.raises(UserError, match=says) as caught:
        ticker("a", grow=5, repo_id=REPO)
    assert "\n" not in str(caught.value)
    assert hub_peer.repo(REPO).head == head


def test_a_release_with_two_columns_of_conversations_is_not_added_to(
    ticker: Ticker, hub_peer: HubPeer
) -> None:
    repo, said = hub_peer.repo(REPO), manifest(hub_peer)
    said["columns"].insert(said["columns"].index("messages"), "conversations")
    repo.commit({"manifest.json": json.dumps(said).encode()}, "as it once was", "main")
    with pytest.raises(
        UserError, match="column conversations.*magpie-hub push --variant .* --build"
    ) as caught:
        ticker("a", grow=5)
    assert "\n" not in str(caught.value)


def test_what_is_not_ours_or_half_there_is_refused(ticker: Ticker, hub_peer: HubPeer) -> None:
    def refused(repo_id: str = REPO) -> str:
        with pytest.raises(UserError) as caught:
            ticker("a", grow=5, repo_id=repo_id)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no such dataset" in refused("tester/nothing")
    hub_peer.create_repo("tester/foreign", files={"data/x.csv": b"1"})
    assert "no release of magpie-hub" in refused("tester/foreign")
    repo = hub_peer.repo(REPO)
    whole = repo.files()
    repo.commit({"stats.json": b"{"}, "torn", "main")
    assert "do not fit together" in refused()
    repo.commit({"stats.json": whole["stats.json"], "manifest.json": b"{}"}, "torn", "main")
    assert "no release of magpie-hub" in refused()
    path = next(iter(shards(hub_peer)))
    repo.commit({"manifest.json": whole["manifest.json"], path: None}, "lost", "main")
    assert "is missing" in refused()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"tick": "../x"}, "not a tick's name"),
        ({"tick": "a", "grow": 5, "refresh": True}, "choose one"),
        ({"tick": "a", "grow": 0}, "1 is the least"),
        ({"tick": "a", "report": Path("/nowhere/x.md")}, "the report cannot be written"),
        ({"tick": "a", "out": Path("tiny.magpie.yaml")}, "not a folder"),
    ],
)
def test_nonsense_is_refused_before_anything(
    recipe: Path, hub_peer: HubPeer, how: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        Ticker(hub_peer, recipe)(**how)
    assert hub_peer.requests == []
