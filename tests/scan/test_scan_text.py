"""What is found in a text, what is not, and how long it takes."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
from typing import Any

import detect_secrets.plugins as library
import pyarrow as pa
import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.scan.text import PIECE, kinds, rules, scan_text, suspects

from .harmless import NEARLY, ORDINARY, PUBLISHED
from .planted import FORMS, Planted, every_form, form_names, plant

EVERY_FORM = pytest.mark.parametrize("planted", list(every_form()), ids=form_names())
any_plant = st.builds(plant, st.integers(0, len(FORMS) - 1), st.integers(0, 2**32))


def found(text: str) -> list[tuple[str, str]]:
    return list(scan_text(text))


@EVERY_FORM
def test_every_form_is_found(planted: Planted) -> None:
    text = f"Hello, here it is:\n{planted.text}\nThank you!"
    assert found(text) == [(planted.kind, planted.value)]


def test_every_kind_has_a_form_here() -> None:
    assert {kind for kind, _ in FORMS} == set(kinds()) - {"local-path"}


def test_which_kinds_are_personal_data() -> None:
    assert {kind for kind, personal in kinds().items() if personal} == {
        "credit-card",
        "email",
        "iban",
        "local-path",
        "phone",
    }


@given(any_plant, st.text(max_size=200), st.text(max_size=200))
def test_it_is_found_in_any_text(planted: Planted, before: str, after: str) -> None:
    text = f"{before}\n{planted.text}\n{after}"
    assert (planted.kind, planted.value) in found(text)


@given(any_plant, st.integers(0, 3 * PIECE), st.sampled_from(["¶", "¶ "]))
def test_it_is_found_wherever_a_long_text_is_cut(planted: Planted, at: int, filler: str) -> None:
    padding = filler * (3 * PIECE // len(filler))
    text = f"{padding[:at]}\n{planted.text}\n{padding[at:]}"
    alike = [value for kind, value in found(text) if kind == planted.kind]
    assert alike == [planted.value]


@pytest.mark.parametrize(
    "kind", ["anthropic-key", "aws-key", "credit-card", "email", "hf-token", "inference-key"]
)
def test_it_is_found_once_where_there_is_no_space_to_cut_at(kind: str) -> None:
    planted = next(one for one in every_form() if one.kind == kind)
    for at in range(PIECE - len(planted.text) - 2, PIECE + 3):
        text = "¶" * at + planted.text + "¶" * PIECE
        assert found(text) == [(planted.kind, planted.value)], at


# Fragments of what is looked for, in any order and any case: texts that nearly hold something.
fragments = st.lists(
    st.one_of(
        any_plant.map(lambda planted: planted.text),
        st.tuples(any_plant, st.integers(0, 60), st.integers(0, 60)).map(
            lambda cut: cut[0].text[cut[1] : cut[1] + cut[2]]
        ),
        any_plant.map(lambda planted: planted.text.swapcase()),
        st.sampled_from(["\n", " ", "@", "://", ":", "+", "'", '"', "=", "key: ", "token=", "."]),
        st.text(max_size=5),
    ),
    max_size=8,
).map("".join)


@given(fragments)
def test_the_prefilter_hides_nothing_that_a_rule_finds(text: str) -> None:
    array = pa.array([text.encode("utf-8", "surrogatepass")], pa.large_binary())
    for rule in rules():
        if list(rule.search(text)):
            assert suspects(array) == [0], rule.kind


NOT_USED = {
    "Base64 High Entropy String",
    "Hex High Entropy String",
    "Public IP (ipv4)",
    "Secret Keyword",
}


@EVERY_FORM
def test_nothing_is_lost_that_the_library_finds(planted: Planted) -> None:
    """Its values are parts of ours: of some tokens it gives the prefix, or what follows."""
    ours = [value for _, value in found(planted.text)]
    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    for name, plugin in plugins.items():
        if name in NOT_USED or not plugin.__module__.startswith(library.__name__):
            continue
        for line in planted.text.splitlines():
            for value in plugin().analyze_string(line):
                assert any(
                    value.rstrip(".") in text or text in value for text in (*ours, planted.text)
                )
                assert ours


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for plugin in get_mapping_from_secret_type_to_class().values():
        monkeypatch.setattr(plugin, "verify", refuse)
    for planted in every_form():
        assert found(planted.text)


def test_nothing_heavy_is_loaded_until_something_is_scanned() -> None:
    heavy = "{'detect_secrets', 'requests', 'phonenumbers', 'stdnum', 'pyarrow'}"
    script = f"import sys, magpie_hub.scan; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_value_is_given_once_and_in_one_spelling() -> None:
    mail = "Jo" + "@" + "Acme.IO"
    assert found(f"{mail}, {mail.lower()} or {mail.upper()}") == [("email", mail.lower())]
    assert found("+49 30 901820 = (+49) 30-901820") == [("phone", "+4930901820")]


def test_letters_that_go_to_and_fro_are_no_run() -> None:
    token = "hf_" + "abababKqWbZtLmXrVdPsGhNcJyKqWbZtLm"
    assert found(token) == [("hf-token", token)]


def test_all_values_of_a_text_are_given_in_order() -> None:
    planted = list(every_form())
    text = "\n".join(one.text for one in planted)
    assert found(text) == [(one.kind, one.value) for one in planted]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_manuals_print_is_no_finding(name: str) -> None:
    assert found(PUBLISHED[name]) == []


@pytest.mark.parametrize("name", NEARLY)
def test_what_only_looks_alike_is_no_finding(name: str) -> None:
    assert found(NEARLY[name]) == []


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_texts_hold_nothing(name: str) -> None:
    assert found(ORDINARY[name]) == []


def test_nuls_and_lone_surrogates_are_characters_like_others() -> None:
    for planted in every_form():
        text = f"\0\ud800{chr(0xDFFF)}\n{planted.text}\n\ud800\0"
        assert found(text) == [(planted.kind, planted.value)]


def test_a_token_that_nests_too_deeply_is_none() -> None:
    claims = base64.urlsafe_b64encode(b'{"a":' + b"[" * 4000).decode().rstrip("=")
    assert found(f"eyJhbGciOiAiSFMyNTYifQ.{claims} \n{plant(0, 1).text}") == [
        ("hf-token", plant(0, 1).value)
    ]


HOSTILE = {
    "one letter": "a",
    "digits": "4",
    "signs": "+",
    "at signs": "a@",
    "domains": "a@b.",
    "phones": "+49 ",
    "cards": "4111 ",
    "ibans": "DE44 5001 ",
    "slashes": "//",
    "tokens of npm": "//:_authToken=",
    "urls": "://a:",
    "urls with at signs": "://a:b@",
    "jwt headers": "eyJ",
    "jwts": "eyJ.eyJ ",
    "headers of keys": "BEGIN " + "RSA PRIVATE KEY",
    "assignments": "aws key token = '",
    "prefixes": "sk-proj-T3BlbkFJ",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_takes_linear_time(name: str) -> None:
    """A tenth of a megabyte takes half a second; in quadratic time it would take minutes."""
    planted = list(every_form())
    tail = "\n".join(one.text for one in planted)
    text = HOSTILE[name] * (100_000 // len(HOSTILE[name])) + "\n" + tail
    begun = time.monotonic()
    assert {(one.kind, one.value) for one in planted} <= set(scan_text(text))
    assert time.monotonic() - begun < 30
