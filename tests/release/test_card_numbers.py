"""Numbers, sizes and licences as a card shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.release.card import numbers as numerals
from magpie_hub.release.card.licenses import find_license
from magpie_hub.release.card.render import size_category


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (1234567, "1,234,567"),
        (1234.5, "1,234"),
        (153.27, "153.3"),
        (-10.45, "-10.45"),
        (2.0, "2"),
        (0.02131, "0.0213"),
        (2.1e-06, "2.1e-06"),
    ],
)
def test_numbers_have_as_many_digits_as_mean_something(value: float | None, shown: str) -> None:
    assert numerals.number(value) == shown


def test_units() -> None:
    assert [numerals.share(part, 3000) for part in (0, 1, 369, 2999, 3000)] == [
        "0%",
        "<0.1%",
        "12.3%",
        ">99.9%",
        "100.0%",
    ]
    assert numerals.share(0, 0) == "–"
    assert [numerals.size(value) for value in (999, 18_940, 562_579_366, 19_031_408_037_000)] == [
        "999 bytes",
        "18.9 kB",
        "562.6 MB",
        "19,031.4 GB",
    ]
    times = [numerals.duration(value) for value in (0.42, 45, 600, 3600, 12_000, 187_200)]
    assert [time.replace("\u00a0", " ") for time in times] == [
        "0.4 s",
        "45 s",
        "10 min",
        "1 h",
        "3 h 20 min",
        "2 d 4 h",
    ]
    assert [numerals.about(value) for value in (0, 950, 14_512, 1_234_567, 2.4e9)] == [
        "0",
        "950",
        "14,500",
        "1.23 million",
        "2.4 billion",
    ]
    assert numerals.plural(1, "row") == "1 row"


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_nothing_or_everything_only_if_it_is(part: int, more: int) -> None:
    whole = part + more
    assert (numerals.share(part, whole) == "0%") == (part == 0)
    assert numerals.share(part, whole) != "100.0%"


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        *((0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (300_000, "100K<n<1M")),
        *((10**6, "1M<n<10M"), (10**7, "10M<n<100M"), (10**8, "100M<n<1B"), (10**10, "100M<n<1B")),
    ],
)
def test_size_categories(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_licences() -> None:
    assert find_license("Apache-2.0").id == "apache-2.0"
    assert find_license(" ") == find_license(None) == ("other", None, "")
    assert find_license("something else").name == "something else"
