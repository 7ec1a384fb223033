"""Expressions mean what GitHub's documentation says that they mean."""

from __future__ import annotations

import pytest

from tests.actions.expressions import as_text, evaluate, fill, holds

CONTEXTS = {
    "inputs": {"grow": "", "rows": "8", "refresh": False, "push": True},
    "vars": {"REPO": "ns/name", "LABELS": '["self-hosted", "gpu"]'},
    "steps": {"run": {"outputs": {"status": "3"}}},
    "status": "success",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.grow || vars.REPO", "ns/name"),
        ("inputs.rows || vars.REPO", "8"),
        ("inputs.missing", None),
        ("inputs.missing.deeper", None),
        ("vars.MISSING != ''", False),
        ("vars.REPO != ''", True),
        ("'A' == 'a'", True),
        ("steps.run.outputs.status == '3'", True),
        ("steps.run.outputs.status == 3", True),
        ("'x' == 0", False),
        ("inputs.push == 'true'", False),
        ("!inputs.refresh && 'yes' || 'no'", "yes"),
        ("!(inputs.push || inputs.refresh)", False),
        ("false || true && 'both'", "both"),
        ("startsWith(vars.LABELS, '[') && fromJSON(vars.LABELS) || 'one'", ["self-hosted", "gpu"]),
        ("startsWith(vars.REPO, '[') && fromJSON(vars.REPO) || vars.REPO", "ns/name"),
        ("'it''s'", "it's"),
        ("null || 0", 0.0),
    ],
)
def test_values(text: str, value: object) -> None:
    assert evaluate(text, CONTEXTS) == value


@pytest.mark.parametrize(
    "text", ["inputs.grow ??", "(true", "secret.x", "contains('a', 'b')", "'a"]
)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, KeyError, IndexError)):
        evaluate(text, CONTEXTS)


def test_a_text_with_expressions_in_it() -> None:
    assert fill("datasets/${{ vars.REPO }} ${{ inputs.push }}", CONTEXTS) == "datasets/ns/name true"
    assert fill("${{ inputs.push }}", CONTEXTS) is True
    assert fill("${{ inputs.rows }}/${{ vars.REPO }}", CONTEXTS) == "8/ns/name"
    assert fill("${{ '}}' }} and more", CONTEXTS) == "}} and more"
    assert fill(30, CONTEXTS) == 30
    assert [as_text(value) for value in (None, True, 3.0, "x")] == ["", "true", "3", "x"]


@pytest.mark.parametrize(
    ("condition", "so_far", "runs"),
    [
        (None, "success", True),
        (None, "failure", False),
        ("${{ always() }}", "failure", True),
        ("vars.REPO != ''", "success", True),
        ("vars.REPO != ''", "failure", False),
        ("${{ failure() && steps.run.outputs.status == '3' }}", "failure", True),
        ("${{ failure() && steps.run.outputs.status == '3' }}", "success", False),
        ("${{ failure() && steps.run.outputs.status == '2' }}", "failure", False),
    ],
)
def test_a_condition_without_a_status_asks_for_success(
    condition: str | None, so_far: str, runs: bool
) -> None:
    assert holds(condition, {**CONTEXTS, "status": so_far}) is runs
