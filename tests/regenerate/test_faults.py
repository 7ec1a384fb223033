"""What goes wrong around a tick: it ends in the old release or the new one, and is done once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import HubError, MagpieError, UserError
from magpie_hub.hub.verify import verify
from tests.hub_peer.server import HubPeer
from tests.regenerate.conftest import REPO, ROWS, Ticker


def ticks(peer: HubPeer) -> list[str | None]:
    found = json.loads(peer.repo(REPO).files()["manifest.json"])["increments"]
    return [one["tick"] for one in found]


def whole(peer: HubPeer) -> bool:
    return not verify(REPO, api=peer.api("write"), load=False).problems


def test_a_release_published_in_between_is_gone_on_from(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path
) -> None:
    other = Ticker(hub_peer, recipe)
    hub_peer.before("commit", lambda: other("b", grow=5, out=Path("other"), report=Path("o.md")))
    done = ticker("a", grow=5)
    assert ticks(hub_peer) == [None, "b", "a"]
    assert done.rows == ROWS + 10
    assert "another release was published in between; continuing from that one" in ticker.said
    assert whole(hub_peer)


def test_a_commit_of_somebody_else_in_between_is_kept(ticker: Ticker, hub_peer: HubPeer) -> None:
    repo = hub_peer.repo(REPO)
    hub_peer.before("commit", lambda: repo.commit({"notes.txt": b"mine"}, "notes", "main"))
    assert ticker("a", grow=5).state == "published"
    assert repo.files()["notes.txt"] == b"mine"
    assert whole(hub_peer)


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        *(("repo_info", "503"), ("tree", "lost-connection"), ("refs", "429"), ("resolve", "503")),
        *(("preupload", "lost-504"), ("commit", "503"), ("commit", "lost-504"), ("tag", "429")),
    ],
)
def test_one_fault_anywhere_and_the_tick_is_published_once(
    ticker: Ticker, hub_peer: HubPeer, endpoint: str, kind: str
) -> None:
    commits = len(hub_peer.repo(REPO).commits)
    hub_peer.faults.add(endpoint, kind)
    done = ticker("a", grow=3)
    assert done.state == "published"
    assert len(hub_peer.repo(REPO).commits) == commits + 1
    assert hub_peer.repo(REPO).tags[done.tag] == hub_peer.repo(REPO).head
    assert whole(hub_peer)


def test_a_tag_that_was_missed_is_set_by_the_same_tick(ticker: Ticker, hub_peer: HubPeer) -> None:
    hub_peer.faults.add("tag", "503", times=100)
    with pytest.raises(HubError, match="run again"):
        ticker("a", grow=3)
    hub_peer.faults.clear()
    again = ticker("a", grow=3)
    assert again.state == "unchanged"
    assert hub_peer.repo(REPO).tags[again.tag] == hub_peer.repo(REPO).head


def test_two_schedules_at_once_publish_a_tick_once(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path
) -> None:
    statuses: list[str] = []

    def one(number: int) -> None:
        places: dict[str, Any] = {
            "out": Path(f"out-{number}"),
            "report": Path(f"report-{number}.md"),
        }
        try:
            statuses.append(Ticker(hub_peer, recipe)("a", grow=5, **places).state)
        except MagpieError as error:
            statuses.append(str(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) in (["published", "unchanged"], ["published", "published"])
    assert ticks(hub_peer) == [None, "a"]
    assert whole(hub_peer)


def test_a_wrong_clock_here_changes_nothing(
    ticker: Ticker, hub_peer: HubPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day is the Hub's: a runner whose clock is years off names the same tick."""
    first = ticker(grow=3)
    import magpie_hub.regenerate.tick as clock

    class Off(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Off:
            return cls(2001, 1, 1)

    monkeypatch.setattr(clock, "datetime", Off)
    again = ticker(grow=3)
    assert (again.state, again.tick, again.tag) == ("unchanged", first.tick, first.tag)


def test_a_read_only_token_and_none_send_nothing(ticker: Ticker, hub_peer: HubPeer) -> None:
    head = hub_peer.repo(REPO).head
    with pytest.raises(UserError, match="write role"):
        ticker("a", grow=3, token="read", repo_id=REPO)
    assert hub_peer.repo(REPO).head == head


def start(peer: HubPeer, recipe: Path, *more: str, home: Path) -> subprocess.Popen[bytes]:
    """A tick of 24 rows, two at a time, in a process of its own."""
    tick = ("--variant", str(recipe), "--grow", "24", "--tick", "a", "--push")
    return subprocess.Popen(
        [sys.executable, "-m", "magpie_hub", "regenerate", *tick, "--max-num-seqs", "2", *more],
        cwd=recipe.parent,
        env={**peer.environment(home=recipe.parent / "hf"), "MAGPIE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def journal_bytes(home: Path) -> int:
    """Bytes of a machine's journals: more once a row is written."""
    return sum(path.stat().st_size for path in home.rglob("first.db*"))


def test_a_tick_killed_at_any_moment_is_finished_by_the_same_tick(
    ticker: Ticker, hub_peer: HubPeer, recipe: Path, tmp_path: Path
) -> None:
    """Killed before it has asked, while it generates, and before, in and after the commit."""
    home = tmp_path / "home"

    def killed(when: str) -> None:
        process = start(hub_peer, recipe, home=home)
        if when == "generating":
            begun = journal_bytes(home)
            while process.poll() is None and journal_bytes(home) == begun:
                time.sleep(0.02)
            process.kill()
        else:
            hub_peer.before(when, process.kill)
        assert process.wait() == -signal.SIGKILL, f"it was not killed at {when}"
        assert whole(hub_peer), "the old release or the new one"

    for when in ("repo_info", "generating", "preupload", "commit", "tag"):
        killed(when)
        is_published = when in ("commit", "tag")
        assert ticks(hub_peer) == ([None, "a"] if is_published else [None]), when
    done = ticker("a", grow=24)
    assert (done.state, done.rows) == ("unchanged", ROWS + 24)
    assert hub_peer.repo(REPO).tags[done.tag] == hub_peer.repo(REPO).head


def test_a_tick_killed_on_one_machine_is_finished_on_another(
    ticker: Ticker,
    hub_peer: HubPeer,
    recipe: Path,
    tmp_path: Path,
    elsewhere: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that the second machine has is the URL of the state."""
    lease = CheckpointStore.lease
    monkeypatch.setattr(CheckpointStore, "lease", lambda self, say: lease(self, say, ttl=2.0))
    state = (tmp_path / "state").as_uri()
    recipe.write_text(recipe.read_text() + "regenerate: {checkpoint_seconds: 1}\n")
    process = start(hub_peer, recipe, "--state", state, home=tmp_path / "home")
    while process.poll() is None and not list((tmp_path / "state").rglob("*.segment")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert ticks(hub_peer) == [None]
    elsewhere()
    done = ticker("a", grow=24, state=state)
    assert done.state == "published"
    assert [line for line in ticker.said if "were made elsewhere" in line]
    assert ticks(hub_peer) == [None, "a"]
    assert whole(hub_peer)
    assert not list((tmp_path / "state").rglob("*.segment")), "what is published is kept no more"
