"""The allow-list: its rules, what they let pass, and the message for a bad line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.scan.allowlist import read_allowed
from magpie_hub.scan.finding import mark
from magpie_hub.scan.text import kinds

HASH = "sha256:0123456789abcdef"


def test_a_mark_lets_one_value_of_one_kind_pass() -> None:
    allowed = read_allowed([mark("email", "jo@acme.io")])
    assert allowed.lets_pass("email", "jo@acme.io")
    assert not allowed.lets_pass("email", "jo@acme.ioo")
    assert not allowed.lets_pass("phone", "jo@acme.io")


@given(st.sampled_from(sorted(kinds())), st.text(), st.text())
def test_a_mark_lets_nothing_else_pass(kind: str, value: str, other: str) -> None:
    allowed = read_allowed([mark(kind, value)])
    assert allowed.lets_pass(kind, value)
    assert allowed.lets_pass(kind, other) == (value == other)


def test_a_pattern_lets_all_values_that_it_matches_whole_pass() -> None:
    allowed = read_allowed(["email *@Acme.io", "phone +4930*"])
    assert allowed.lets_pass("email", "jo@acme.io")
    assert allowed.lets_pass("phone", "+4930901820")
    assert not allowed.lets_pass("email", "jo@acme.io.uk")
    assert not allowed.lets_pass("email", "jo@mail.acme.io")
    assert not allowed.lets_pass("phone", "+4989901820")


@pytest.mark.parametrize("kind", [kind for kind, personal in kinds().items() if not personal])
@pytest.mark.parametrize("pattern", ["*", "hf_*", "sha256*", "sha256:*"])
def test_no_pattern_lets_a_credential_pass(kind: str, pattern: str) -> None:
    with pytest.raises(UserError, match="line 1"):
        read_allowed([f"{kind} {pattern}"])


def test_comments_blank_lines_and_repeats_are_fine() -> None:
    lines = [
        "\ufeff# ours\r\n",
        "",
        f"  hf-token   {HASH}\t# revoked\n",
        f"hf-token {HASH}",
        "email *#tag@acme.io # not a comment within a word",
    ]
    allowed = read_allowed(lines)
    assert allowed.marks == {f"hf-token {HASH}"}
    assert allowed.patterns == {("email", "*#tag@acme.io")}


def test_nothing_is_allowed_by_an_empty_list() -> None:
    assert not read_allowed([]).lets_pass("email", "jo@acme.io")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("email", "there are 1 words"),
        ("email a b", "there are 3 words"),
        (HASH, "no known kind"),
        (f"e-mail {HASH}", "no known kind (known are hf-token, aws-key"),
        ("email sha256:0123456789ABCDEF", "16 hex digits"),
        ("email sha256:0123", "16 hex digits"),
        ("hf-token hf_*", "a credential, which is allowed by its hash only"),
    ],
)
def test_a_bad_line_is_named_with_what_is_allowed(line: str, problem: str) -> None:
    with pytest.raises(UserError, match=rf"^allow-list line 3: .*{re.escape(problem)}") as caught:
        read_allowed(["# ours", f"email {HASH}", line])
    assert "'email sha256:0123456789abcdef'" in str(caught.value)
    assert "'email *@example.net'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_line_is_not_repeated() -> None:
    """Someone may have put the credential itself there."""
    token = "hf_" + "KqWbZtLmXrVdPsGhNcJyKqWbZtLmXrVdPs"
    for line in (token, f"hf-token {token}", f"hf-token {token} ours"):
        with pytest.raises(UserError) as caught:
            read_allowed([line])
        assert token not in str(caught.value)
