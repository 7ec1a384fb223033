"""Plots: what is in stats.json and no more, the same to the byte, whatever the names are."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magpie_hub.release.plots import draw as drawing
from magpie_hub.release.plots.histogram import Histogram, read_histogram
from magpie_hub.release.plots.style import (
    BLUE,
    DPI,
    INK,
    PALETTE,
    SHADE,
    VERMILLION,
    WIDTH,
    Plot,
    PlotData,
)
from magpie_hub.release.plots.text import plain, short
from magpie_hub.release.stats import distribution

ALL = [
    "funnel.png",
    "categories.png",
    "levels.png",
    "languages.png",
    "lengths.png",
    "distances.png",
    "rewards.png",
    "coverage.png",
]

HOSTILE = [
    "$\\frac{1}$",
    "unclosed $x",
    "x" * 500,
    "W" * 50,
    "",
    " \t",
    "two\nlines",
    "‮desrever",
    "שלום עולם",
    "مرحبا",
    "🙂🙂🙂",
    "中文",
    "\ud800",
    "e" + "́" * 80,
    "<script>",
    "![x](y)",
    "\\",
    "%s {} {0}",
]


def draw(given: dict[str, Any], folder: Path, **more: Any) -> list[Plot]:
    return drawing.draw_plots(PlotData(given, **more), folder)


def counted(**counts: int) -> dict[str, Any]:
    return {"counts": {name.replace("_", " "): n for name, n in counts.items()}, "missing": 0}


def stats(rows: int = 400, turns: int = 1) -> dict[str, Any]:
    """Statistics with everything in them, as `describe` counts them."""
    rng = np.random.default_rng(rows)
    lengths = {}
    for turn in range(1, turns + 1):
        for side, typical in (("instruction", 25), ("response", 400)):
            tokens = np.exp(rng.normal(np.log(typical), 0.7, rows)).astype(int)
            name = f"{side}_tokens" + (f"_{turn}" if turn > 1 else "")
            lengths[name] = distribution(tokens, rows, tail=True)
    reward, base = rng.normal(-1, 3, rows), rng.normal(-5, 3, rows)
    numbers = {
        "min_neighbor_distance": rng.beta(3, 7, rows),
        "instruct_reward": reward,
        "base_reward": base,
        "reward_difference": reward - base,
    }
    return {
        "rows": rows,
        "turns": turns,
        "funnel": {
            "planned": rows + 70,
            "rejected": {"selection.quality": 50, "instruction.colon": 20},
            "delivered": rows,
        },
        "lengths": lengths,
        "labels": {
            "task_category": counted(Math=100, Information_seeking=200, Planning=50, Others=0),
            "input_quality": counted(good=300, excellent=100),
            "difficulty": counted(easy=200, very_hard=200),
            "language": counted(en=390, de=10),
        },
        "numbers": {name: distribution(values, rows) for name, values in numbers.items()},
    }


def points(rows: int = 50, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    radius, angle = np.sqrt(rng.random(rows)), rng.random(rows) * 2 * np.pi
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def pixels(path: Path) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of every pixel."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


def where(path: Path, color: str) -> NDArray[np.bool_]:
    """Which pixels of a picture have a colour, or one that the eye takes for it."""
    wanted = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)])
    found = pixels(path).astype(int)
    near = np.abs(found[..., :3] - wanted).max(axis=2) <= 3
    return np.asarray(near & (found[..., 3] > 250))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(given: dict[str, Any], folder: Path) -> list[str]:
    return [picture.name for picture in draw(given, folder)]


def alts(given: dict[str, Any], folder: Path) -> dict[str, str]:
    return {picture.name: picture.alt for picture in draw(given, folder)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Plot]]:
    """The pictures of `stats`, and the folder that they are in."""
    folder = tmp_path_factory.mktemp("release") / "assets"
    coverage = {"ours": points(60), "none": points(0), "theirs": points(50, 1)}
    return folder, draw(stats(), folder, coverage=coverage)


def test_every_picture_in_the_cards_order(release: tuple[Path, list[Plot]]) -> None:
    folder, drawn = release
    assert [picture.name for picture in drawn] == ALL
    assert set(content(folder)) == set(ALL)


def test_what_the_hub_shows_is_sharp_and_its_page_shows_through(
    release: tuple[Path, list[Plot]],
) -> None:
    folder, drawn = release
    for picture in drawn:
        shown = pixels(folder / picture.name)
        assert shown.shape[1] == WIDTH * DPI == 1520
        assert (shown[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all(), picture.name


@pytest.mark.parametrize("page", ["#FFFFFF", "#0D1117", "#0B0F19"])
def test_every_colour_stands_out_on_a_light_and_on_a_dark_page(page: str) -> None:
    def luminance(color: str) -> float:
        parts = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for color in (*PALETTE, INK, SHADE):
        darker, lighter = sorted((luminance(color), luminance(page)))
        assert (lighter + 0.05) / (darker + 0.05) >= 3, color


def test_the_near_duplicate_threshold_is_drawn(tmp_path: Path) -> None:
    given = {"numbers": stats()["numbers"]}
    draw(given, tmp_path / "without")
    (plot, _) = draw(given, tmp_path / "with", threshold=0.05)
    assert not where(tmp_path / "without" / plot.name, VERMILLION).any()
    line = where(tmp_path / "with" / plot.name, VERMILLION)
    assert line.sum(axis=0).max() > 300
    assert "Rows nearer than 0.05 are near-duplicates." in plot.alt


def test_the_map_is_coloured_by_category_with_a_legend(tmp_path: Path) -> None:
    labels = [*["Math"] * 30, *["Planning"] * 20, *["Editing"] * 9, None]
    coverage = {"ours": points(60), "theirs": points(50, 1)}
    (plot,) = draw({}, tmp_path, coverage=coverage, categories=labels)
    found = [where(tmp_path / "coverage.png", color) for color in (*PALETTE[:4], SHADE)]
    assert [bool(one.any()) for one in found] == [True, True, True, False, True]
    assert "Math 50.0%, Planning 33.3% and Editing 15.0% are the largest" in plot.alt
    (plain_map,) = draw({}, tmp_path, coverage=coverage, categories=labels[:-1])
    assert "category" not in plain_map.alt


def test_the_largest_files_are_small(tmp_path: Path) -> None:
    given = {"turns": 8, "lengths": stats(20_000, 8)["lengths"]}
    draw(given, tmp_path, coverage={f"set {n}": points(2000, n) for n in range(4)})
    assert set(content(tmp_path)) == {"lengths.png", "coverage.png"}
    assert all(len(data) < 150_000 for data in content(tmp_path).values())


def test_alternative_texts_say_the_numbers(release: tuple[Path, list[Plot]]) -> None:
    given = stats()
    said = {picture.name: picture.alt for picture in release[1]}
    assert "ours (60 shown) and theirs (50 shown)" in said["coverage.png"]
    assert "Of 470 rows planned, 400 (85.1%) were delivered" in said["funnel.png"]
    assert "selection.quality 50" in said["funnel.png"]
    assert "350 rows: Information seeking 57.1%, Math 28.6%" in said["categories.png"]
    assert "en 97.5%" in said["languages.png"]
    median = given["lengths"]["response_tokens"]["percentiles"]["50"]
    assert f"response: median {median:.0f} " in said["lengths.png"]
    median = given["numbers"]["min_neighbor_distance"]["percentiles"]["50"]
    assert f"400 rows, median {median:.3g}, " in said["distances.png"]
    median = given["numbers"]["base_reward"]["percentiles"]["50"]
    assert f"base model's answer: 400 rows, median −{-median:.3g}, " in said["rewards.png"]


def test_scales_are_in_their_own_order_with_every_level(
    release: tuple[Path, list[Plot]],
) -> None:
    (said,) = [picture.alt for picture in release[1] if picture.name == "levels.png"]
    assert "very poor 0%, poor 0%, average 0%, good 75.0% and excellent 25.0%" in said
    assert "very easy 0%, easy 50.0%, medium 0%, hard 0% and very hard 50.0%" in said


def test_every_turn_has_its_lengths(tmp_path: Path) -> None:
    (picture,) = draw({"turns": 3, "lengths": stats(turns=3)["lengths"]}, tmp_path)
    for turn in (1, 2, 3):
        assert f"instruction {turn}: median" in picture.alt
        assert f"response {turn}: median" in picture.alt


def test_bars_are_as_long_as_their_counts(release: tuple[Path, list[Plot]]) -> None:
    found = where(release[0] / "categories.png", BLUE).sum(axis=1)
    assert {round(run / found.max(), 2) for run in found if run} == {1.0, 0.5, 0.25}


def test_rejected_rows_lead_from_the_planned_to_the_delivered(
    release: tuple[Path, list[Plot]],
) -> None:
    delivered = where(release[0] / "funnel.png", BLUE)
    rejected = where(release[0] / "funnel.png", VERMILLION)
    unit = delivered.sum(axis=1).max() / 400
    runs = {round(run / unit) for run in rejected.sum(axis=1) if run}
    assert sorted(runs) == pytest.approx([20, 50], abs=1)
    across = np.flatnonzero(rejected.any(axis=0))
    assert len(across) / unit == pytest.approx(70, abs=1)
    assert across[0] == pytest.approx(np.flatnonzero(delivered.any(axis=0))[-1], abs=2)


def test_other_sets_are_beside_ours_and_ours_is_blue(release: tuple[Path, list[Plot]]) -> None:
    ours = where(release[0] / "coverage.png", BLUE).any(axis=0)
    theirs = where(release[0] / "coverage.png", VERMILLION).any(axis=0)
    assert np.flatnonzero(ours).max() < np.flatnonzero(theirs).min()


@pytest.mark.parametrize(("middle", "colors"), [(20, {BLUE}), (-20, {VERMILLION}), (0, None)])
def test_differences_below_zero_have_a_colour_of_their_own(
    tmp_path: Path, middle: float, colors: set[str] | None
) -> None:
    values = np.random.default_rng(0).normal(middle, 2, 1000)
    draw({"numbers": {"reward_difference": distribution(values, 1000)}}, tmp_path)
    found = {color for color in (BLUE, VERMILLION) if where(tmp_path / "rewards.png", color).any()}
    assert found == (colors or {BLUE, VERMILLION})


@pytest.mark.parametrize(
    ("part", "pictures"),
    [
        ("funnel", ["funnel.png"]),
        ("lengths", ["lengths.png"]),
        ("labels", ["categories.png", "levels.png", "languages.png"]),
        ("numbers", ["distances.png", "rewards.png"]),
    ],
)
def test_a_picture_needs_its_own_numbers_only(
    tmp_path: Path, part: str, pictures: list[str]
) -> None:
    assert names({"turns": 1, part: stats()[part]}, tmp_path) == pictures


def test_no_rows_no_pictures(tmp_path: Path) -> None:
    given = stats(0)
    given["funnel"] = {"planned": 0, "rejected": {}, "delivered": 0}
    given["labels"] = {name: counted() for name in given["labels"]}
    assert draw(given, tmp_path / "assets", coverage={"ours": points(0)}) == []
    assert draw({}, tmp_path / "assets") == []
    assert not (tmp_path / "assets").exists()


def test_one_row(tmp_path: Path) -> None:
    """One number is no distribution; one label is."""
    given = stats(1) | {"labels": {"difficulty": counted(easy=1)}}
    assert names(given, tmp_path) == ["funnel.png", "levels.png"]


def test_one_language_is_no_picture_and_neither_is_a_funnel_that_lost_nothing(
    tmp_path: Path,
) -> None:
    given = {
        "labels": {"language": counted(en=400, de=0)},
        "funnel": {"planned": 400, "rejected": {}, "delivered": 400},
    }
    assert draw(given, tmp_path) == []


def test_rows_without_a_label_are_counted_apart(tmp_path: Path) -> None:
    labels = {"task_category": counted(Math=3, Planning=1), "difficulty": counted(easy=4)}
    labels["task_category"]["missing"] = 7
    said = alts({"labels": labels}, tmp_path / "a")
    assert "4 rows: Math 75.0%" in said["categories.png"]
    labels["task_category"]["missing"] = 0
    assert alts({"labels": labels}, tmp_path / "b") == said
    one, two = content(tmp_path / "a"), content(tmp_path / "b")
    assert {name for name in one if one[name] != two[name]} == {"categories.png"}


def test_many_labels_become_one_last_line(tmp_path: Path) -> None:
    given = {"labels": {"language": {"counts": {f"l{n}": 100 - n for n in range(90)}}}}
    draw(given, tmp_path)
    assert len(pixels(tmp_path / "languages.png")) < 1300


def test_there_is_nothing_in_a_file_but_the_picture(release: tuple[Path, list[Plot]]) -> None:
    for name, data in content(release[0]).items():
        found, at = [], 8
        while at < len(data):
            found.append(data[at + 4 : at + 8])
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        assert set(found) == {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}, name


def test_drawn_again_it_is_the_same_to_the_byte_whatever_matplotlibrc_says(
    release: tuple[Path, list[Plot]], tmp_path: Path
) -> None:
    import matplotlib

    loud: dict[Any, object] = {
        "font.size": 31,
        "font.family": "serif",
        "text.usetex": True,
        "text.color": "red",
        "text.antialiased": False,
        "figure.facecolor": "black",
        "figure.autolayout": True,
        "savefig.dpi": 30,
        "axes.facecolor": "black",
        "axes.grid": True,
        "axes.spines.bottom": False,
        "axes.titlesize": 40,
        "axes.xmargin": 0.4,
        "xtick.color": "red",
        "xtick.bottom": False,
        "xtick.labelbottom": False,
        "xtick.minor.visible": True,
        "xtick.alignment": "left",
        "xtick.direction": "in",
        "ytick.labelleft": False,
        "lines.linewidth": 9,
        "lines.antialiased": False,
        "lines.scale_dashes": False,
        "lines.dash_capstyle": "round",
        "lines.solid_capstyle": "round",
        "patch.linewidth": 9,
        "patch.edgecolor": "red",
        "patch.force_edgecolor": True,
        "patch.antialiased": False,
        "grid.color": "red",
    }
    with matplotlib.rc_context(loud):
        draw(stats(), tmp_path, coverage={"ours": points(60), "theirs": points(50, 1)})
    one, two = content(release[0]), content(tmp_path)
    assert [name for name in one if one[name] != two[name]] == []


def test_threads_may_draw_at_once(tmp_path: Path) -> None:
    given = [{"labels": {"difficulty": counted(easy=n + 1, hard=5)}} for n in range(3)]
    for n in range(3):
        draw(given[n], tmp_path / f"alone {n}")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: draw(given[n], tmp_path / f"beside {n}"), range(3)))
    for n in range(3):
        assert content(tmp_path / f"alone {n}") == content(tmp_path / f"beside {n}")


def test_nothing_global_is_loaded_or_set(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from magpie_hub.release.plots.draw import draw_plots
from magpie_hub.release.plots.style import PlotData
assert not {"matplotlib", "sklearn", "PIL"} & set(sys.modules), "loaded before it is needed"
import matplotlib
looks = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}
before = looks()
lost = {"funnel": {"planned": 2, "rejected": {"x": 1}, "delivered": 1}}
drawn = draw_plots(PlotData(lost), Path(sys.argv[1]))
assert len(drawn) == 1 and looks() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=300)


def test_hostile_names_are_drawn_as_they_are_or_escaped(tmp_path: Path) -> None:
    counts = {name: 1000 + n for n, name in enumerate(HOSTILE)}
    given = {
        "labels": {"task_category": {"counts": counts, "missing": 0}},
        "funnel": {"planned": 10**6, "rejected": counts, "delivered": 5},
    }
    coverage = {name: points(20, n) for n, name in enumerate(HOSTILE)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character without a glyph.
        drawn = draw(given, tmp_path, coverage=coverage)
    assert [picture.name for picture in drawn] == ["funnel.png", "categories.png", "coverage.png"]
    for picture in drawn:
        assert picture.alt.isprintable()
        assert pixels(tmp_path / picture.name).shape[1] == 1520


@given(st.text())
def test_a_plain_name_is_one_short_printable_line(name: str) -> None:
    text = plain(name)
    assert 0 < len(text) <= 60
    assert text.isprintable()
    assert not any(unicodedata.combining(char) for char in text)
    assert plain(text) == text


@given(st.from_regex(r"[a-z]{1,15}[._][a-z ]{0,40}[a-z]", fullmatch=True))
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert plain(name) == name


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (-3.2541, "−3.25"), (0.04123, "0.0412"), (1204.4, "1,204"), (-1e-12, "0")],
)
def test_short_numbers(number: float, text: str) -> None:
    assert short(number) == text


def heights(histogram: Histogram) -> list[float]:
    return histogram.heights(histogram.bin)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300),
    st.booleans(),
)
def test_a_histogram_keeps_every_row_and_the_whole_range(values: list[float], log: bool) -> None:
    numbers = np.array([int(abs(value)) for value in values] if log else values)
    assume(numbers.max() - numbers.min() > 1e-3)
    histogram = read_histogram(distribution(numbers, len(numbers) + 3, tail=log), log=log)
    assert histogram is not None
    assert sum(histogram.shares) == pytest.approx(1)
    assert all(a < b for a, b in zip(histogram.edges, histogram.edges[1:], strict=False))
    assert (histogram.count, histogram.missing) == (len(numbers), 3)
    ends = np.array([histogram.edges[0], histogram.edges[-1]])
    if not log:
        assert ends == pytest.approx([numbers.min(), numbers.max()])
    assert len(histogram.shares) <= np.ceil(2 * len(numbers) ** (1 / 3))
    assert all(np.isfinite(heights(histogram)))


def test_a_bin_that_is_next_to_nothing_is_no_needle() -> None:
    """Rounded edges may cut a first bin of no width, with the lowest row in it."""
    given = distribution(np.random.default_rng(0).normal(size=50_000), 50_000)
    edges, counts = given["histogram"]["edges"], given["histogram"]["counts"]
    given["histogram"] = {
        "edges": [edges[0], edges[0] + 1e-7, *edges[1:]],
        "counts": [3, counts[0] - 3, *counts[1:]],
    }
    histogram = read_histogram(given)
    assert histogram is not None
    assert max(heights(histogram)) < 0.2


def test_numbers_that_are_all_the_same_are_no_picture() -> None:
    assert read_histogram(distribution(np.full(9, 0.5), 9)) is None
    assert read_histogram(distribution(np.array([]), 9)) is None
    assert read_histogram(None) is None


@settings(max_examples=5)
@given(
    rows=st.integers(1, 10**7),
    values=st.lists(st.floats(-1e4, 1e4), max_size=20),
    turns=st.integers(1, 3),
    label=st.text(max_size=12),
)
def test_whatever_was_counted_is_drawn_without_a_word(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    values: list[float],
    turns: int,
    label: str,
) -> None:
    numbers = np.array(values, dtype=float)
    tokens = np.abs(numbers).astype(int)
    given = {
        "turns": turns,
        "funnel": {"planned": rows, "rejected": {label: rows // 2}, "delivered": rows - rows // 2},
        "labels": {"task_category": {"counts": {label: rows}, "missing": 0}},
        "lengths": {"response_tokens": distribution(tokens, 20, tail=True)},
        "numbers": {
            name: distribution(numbers, 20) for name in ("instruct_reward", "reward_difference")
        },
    }
    folder = tmp_path_factory.mktemp("assets")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw(given, folder)
    assert {picture.name for picture in drawn} == set(content(folder))


def test_points_in_one_place(tmp_path: Path) -> None:
    draw({}, tmp_path, coverage={"ours": np.zeros((9, 2), np.float32)})
    assert where(tmp_path / "coverage.png", BLUE).any()
