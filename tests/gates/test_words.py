"""The quick ways to count words and letters find what their definitions say."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.gates.languages import small_words
from magpie_hub.gates.scripts import script_of, scripts
from magpie_hub.gates.words import words

TEXTS = (
    st.text(st.sampled_from("aZ09 _'’\t\n.-“–éßſıİΩ漢かカー・한русअ½²\u200b\ufffd\ud800"))
    | st.text()
)


@given(TEXTS)
def test_words_are_runs_of_letters_and_digits_and_single_characters_of_cjk(text: str) -> None:
    pattern = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+"
    assert words(text) == re.findall(pattern, text)


@given(TEXTS)
def test_letters_are_counted_by_script(text: str) -> None:
    assert scripts(text) == Counter(script for char in text if (script := script_of(char)))


@given(st.lists(st.sampled_from("it's i'm 'the the' it rock'n'roll c'est die le . 1 ’ é".split())))
def test_small_words_may_hold_an_apostrophe(parts: list[str]) -> None:
    text = " ".join(parts)
    found = set(re.findall(r"[^\W\d_]+(?:'[a-z]+)?", text.replace("’", "'")))
    english = {"it", "it's", "i'm", "the"}
    assert small_words(text)["en"] == len(found & english)
