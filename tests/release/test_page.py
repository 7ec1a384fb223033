"""The card as a page, in a browser: Chromium without a window, where there is one."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from magpie_hub.release.folder import write_release
from tests.release.test_card_words import hostile
from tests.release.test_escape import HOSTILE
from tests.toy_release import toy_job

pytest.importorskip("matplotlib")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")

# As the Hub shows a card, as far as widths go: a column of 860 pixels, tables that scroll.
PAGE = """<!doctype html><meta charset="utf-8"><title>tame</title>
<style>
body {{ width: 860px }}
img {{ max-width: 100% }}
pre, table {{ overflow-x: auto; display: block }}
</style>
<script>
addEventListener("load", () => {{
  const all = (what) => [...document.body.querySelectorAll(what)];
  document.body.textContent = JSON.stringify({{
    title: document.title,
    headings: all("h1, h2").map((one) => one.textContent),
    images: all("img").map((one) => one.naturalWidth),
    foreign: all("script, style, iframe, form, [onclick], [onerror]").length,
    width: document.body.scrollWidth,
  }});
}});
</script>
<body>{card}</body>"""


def look(card: str, folder: Path) -> dict:
    """What a browser makes of a card that lies in a folder."""
    body = card.split("---\n", 2)[2]
    text = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(body)
    page = folder / "page.html"
    page.write_text(PAGE.format(card=text), encoding="utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'chromium'}", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=300, check=True
    )
    found = re.search("<body>(.*?)</body>", done.stdout.decode(), re.DOTALL)
    assert found, done.stderr.decode()[-2000:]
    return json.loads(html.unescape(found[1]))


def test_a_release_s_card_shows_its_pictures_and_fits_its_column(tmp_path: Path) -> None:
    release = write_release(toy_job(tmp_path / "home"), tmp_path / "toy")
    seen = look(release.card.read_text(encoding="utf-8"), release.path)
    pictures = sorted(name for name in release.files if name.startswith("assets/"))
    assert len(seen["images"]) == len(pictures) > 0
    assert all(seen["images"])
    assert seen["width"] <= 860
    assert seen["headings"][0] == "A: toy"
    assert {"Quick start", "Examples", "Statistics", "Limits", "Citation"} <= set(seen["headings"])


def test_no_words_of_a_row_become_the_page_s_own(tmp_path: Path) -> None:
    from magpie_hub.release.card.render import render_card

    tame = look(render_card(hostile(lambda: "tame")), tmp_path)
    together = " ".join(HOSTILE)
    seen = look(render_card(hostile(lambda: together)), tmp_path)
    assert seen["foreign"] == 0
    assert seen["title"] == "tame"
    assert len(seen["headings"]) == len(tame["headings"])
