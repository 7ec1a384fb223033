"""A tick whose settings leave this machine's rows behind says so in its report, and goes on."""

from __future__ import annotations

from pathlib import Path

from tests.hub_peer.server import HubPeer
from tests.regenerate.conftest import REPO, ROWS, Ticker


def test_a_refresh_with_another_seed_says_in_its_report_what_stays_behind(
    ticker: Ticker, hub_peer: HubPeer, tmp_path: Path
) -> None:
    done = ticker("a", refresh=True, overrides={"seed": 5})
    assert done.rows == ROWS
    report = (tmp_path / "tiny-report.md").read_text()
    assert "seed was 42, now 5" in report
    assert any(line.startswith("warning: ") and "stay behind" in line for line in ticker.said)
    # The path of the journal is private.
    for path, content in hub_peer.repo(REPO).files().items():
        assert b"stay behind" not in content, path
        assert str(tmp_path).encode() not in content, path


def test_published_rows_are_not_left_behind_by_a_tick(ticker: Ticker, tmp_path: Path) -> None:
    ticker("a", grow=5, overrides={"seed": 5})
    assert "stay behind" not in (tmp_path / "tiny-report.md").read_text()
    assert not any("stay behind" in line for line in ticker.said)
