"""A card that the user edited: the edits stay, our part is renewed, a second merge does nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, reject
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.release.card.front_matter import read_page, write_front
from magpie_hub.release.card.merge import BEGIN, END, keep_edits
from magpie_hub.release.card.render import render_card
from tests.release.card_data import card_data, recipe

INFO = [
    {
        "config_name": name,
        "features": [{"name": "uuid", "dtype": "string"}],
        "splits": [{"name": "train", "num_bytes": 40, "num_examples": 4}],
        "download_size": 1000,
        "dataset_size": 40,
    }
    for name in ("default", "raw")
]


@pytest.fixture(scope="module")
def ours() -> str:
    return render_card(card_data(info=INFO))


@pytest.fixture(scope="module")
def older() -> str:
    """An earlier card of ours, as it was published."""
    data = card_data(
        info=INFO,
        tag="data-000000000000",
        recipe=recipe(pretty_name="Old", license="other", tags=("old",)),
    )
    return render_card(data)


def front(text: str) -> dict[str, Any]:
    return read_page(text).front


def edited(text: str, **changes: Any) -> str:
    """The card with keys of its front matter changed."""
    page = read_page(text)
    return write_front(page.front | changes) + page.body


lines = st.sampled_from(
    ["", "# Mine", "words", "---", "```", BEGIN, END, f" {BEGIN}", "a: b", "<!-- note -->", "\ttab"]
)
texts = st.lists(lines, max_size=6).map("\n".join)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.dates(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["no", "on", "12:30", "010", "~", "- a", "1e3", "a: b", "default", "#x"]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["config_name", "default", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    ["tags", "language", "license", "license_name", "configs", "dataset_info", "viewer", "mine"]
)
fronts = st.dictionaries(keys, values, max_size=5)


@st.composite
def published(draw: st.DrawFn, card: str) -> str:
    """A card as it may be on the Hub."""
    page = read_page(card)
    kept = page.front if draw(st.booleans()) else {}
    head = write_front(kept | draw(fronts)) if draw(st.booleans()) else ""
    body = page.body if draw(st.booleans()) else ""
    text = head + draw(texts) + draw(st.sampled_from(["", "\n"])) + body + draw(texts)
    return text if draw(st.booleans()) else text.replace("\n", "\r\n")


@given(st.data())
def test_joining_twice_is_joining_once(ours: str, older: str, data: st.DataObject) -> None:
    theirs = data.draw(published(older))
    try:
        once = keep_edits(ours, theirs)
    except UserError:
        reject()
    assert keep_edits(ours, once) == once


@given(st.data())
def test_whatever_they_wrote_the_card_is_one_and_ours_is_in_it(
    ours: str, older: str, data: st.DataObject
) -> None:
    theirs = data.draw(published(older))
    try:
        joined = keep_edits(ours, theirs)
    except UserError:
        reject()
    page = read_page(joined)
    assert ours[ours.index(BEGIN) :] in joined
    assert [one.get("default") for one in page.front["configs"] if isinstance(one, dict)].count(
        True
    ) == 1
    assert page.front["license"] == "llama3"
    assert front(ours)["tags"] == page.front["tags"][: len(front(ours)["tags"])]
    assert yaml.safe_load(joined.split("\n---\n")[0].removeprefix("---\n"))


@given(before=texts, after=texts)
def test_every_word_around_the_markers_stays(
    ours: str, older: str, before: str, after: str
) -> None:
    page = read_page(older)
    before, after = (f"\n{text.replace(BEGIN, '').replace(END, '')}\n" for text in (before, after))
    joined = read_page(keep_edits(ours, write_front(page.front) + before + page.body + after))
    assert joined.body == before + read_page(ours).body + after


def test_a_card_that_nobody_edited_becomes_the_new_one(ours: str, older: str) -> None:
    assert keep_edits(ours, ours) == ours
    assert keep_edits(ours, edited(older, tags=[])) == ours


def test_an_empty_card_becomes_ours(ours: str) -> None:
    for nothing in ("", "\n", "---\n---\n", "---\nlicense: mit\n---\n"):
        assert keep_edits(ours, nothing) == ours


def test_text_around_the_markers_stays(ours: str, older: str) -> None:
    page = read_page(older)
    theirs = write_front(page.front) + "\n# Hello\n" + page.body + "\n## Thanks\n\nTo all.\n"
    joined = keep_edits(ours, theirs)
    assert "---\n\n# Hello\n\n<!-- magpie:begin -->\n" in joined
    assert joined.endswith(f"{END}\n\n## Thanks\n\nTo all.\n")
    assert "data-000000000000" not in joined


def test_what_was_written_between_the_markers_goes(ours: str) -> None:
    assert keep_edits(ours, ours.replace("## Limits", "## Limits\n\nNone!")) == ours


def test_a_card_without_markers_is_kept_below_ours(ours: str) -> None:
    joined = keep_edits(ours, "---\nviewer: false\n---\n# Theirs\n\nWords.")
    assert joined.endswith(f"{END}\n\n# Theirs\n\nWords.\n")
    assert front(joined)["viewer"] is False


def test_their_text_may_speak_of_the_markers(ours: str) -> None:
    after = f"\nBetween these:\n\n{BEGIN}\n{END}\n\nThat is all.\n"
    assert keep_edits(ours, ours + after) == ours + after


def test_their_yaml_is_read_as_the_hub_reads_it(ours: str) -> None:
    theirs = "---\nlanguage: no\nviewer: off\nbuild: 010\ngood: true\n---\n"
    joined = front(keep_edits(ours, theirs))
    assert joined["language"] == ["en", "de", "no"]
    assert (joined["viewer"], joined["build"], joined["good"]) == ("off", "010", True)


def test_keys_that_we_do_not_write_stay_and_ours_win(ours: str) -> None:
    theirs = edited(ours, pretty_name="Mine", viewer=False, extra_gated_prompt="Who are you?")
    joined = front(keep_edits(ours, theirs))
    assert joined["pretty_name"] == "Magpie Toy"
    assert joined["viewer"] is False
    assert joined["extra_gated_prompt"] == "Who are you?"


def test_lists_are_ours_and_what_they_added(ours: str) -> None:
    theirs = edited(ours, tags=["mine", "synthetic", "mine"], language="no", size_categories=["1M"])
    joined = front(keep_edits(ours, theirs))
    assert joined["tags"] == [*front(ours)["tags"], "mine"]
    assert joined["language"] == ["en", "de", "no"]
    assert joined["size_categories"] == ["n<1K"]


def test_a_config_of_theirs_stays_but_is_not_the_default(ours: str) -> None:
    extra = {"config_name": "eval", "default": True, "data_files": "eval/*.parquet"}
    stale = {"config_name": "raw", "data_files": "elsewhere/*"}
    described = {"config_name": "eval", "features": [{"name": "x", "dtype": "string"}]}
    theirs = edited(
        ours,
        configs=[*front(ours)["configs"], extra, stale],
        dataset_info=[*front(ours)["dataset_info"], described],
    )
    joined = front(keep_edits(ours, theirs))
    assert [one["config_name"] for one in joined["configs"]] == ["default", "raw", "eval"]
    assert [one["config_name"] for one in joined["configs"] if one.get("default")] == ["default"]
    assert joined["configs"][1] == front(ours)["configs"][1]
    assert [one["config_name"] for one in joined["dataset_info"]] == ["default", "raw", "eval"]


def test_the_name_of_another_licence_goes_with_it(ours: str) -> None:
    named = edited(ours, license="other", license_name="theirs", license_link="LICENSE")
    joined = front(keep_edits(ours, named))
    assert joined["license"] == "llama3"
    assert "license_name" not in joined
    assert "license_link" not in joined


def test_a_name_that_they_gave_an_unknown_licence_stays(older: str) -> None:
    named = edited(older, license_name="theirs", license_link="LICENSE")
    joined = front(keep_edits(older, named))
    assert (joined["license_name"], joined["license_link"]) == ("theirs", "LICENSE")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("a: [1,\nb: 2", "line 3"),
        ("a: b: c", "line 2"),
        ("- a\n- b", "no mapping"),
        ("just words", "no mapping"),
        ("when: 2026-99-99", "month must be"),
        ("a: \x00", "special characters"),
        ("a: !!int words", "invalid literal"),
        ("a: !!timestamp words", "a value that its tag does not fit"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_front_matter_that_cannot_be_read_is_a_clear_error(ours: str, bad: str, why: str) -> None:
    with pytest.raises(UserError, match="repair it on the Hub") as caught:
        keep_edits(ours, f"---\n{bad}\n---\n")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gone", [BEGIN, END])
def test_one_marker_alone_is_refused(ours: str, gone: str) -> None:
    with pytest.raises(UserError, match="lacks one of the two lines"):
        keep_edits(ours, ours.replace(gone, ""))


def test_a_marker_inside_a_line_is_no_marker(ours: str) -> None:
    theirs = f"We write between `{BEGIN}` and `{END}`.\n"
    assert keep_edits(ours, theirs) == f"{ours}\n{theirs}"
