"""A run that names another model than the recipe's: who judges it, and what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from magpie_hub.errors import ModelError
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import Run, open_recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.folder import Release, write_release
from tests.judges.runs import EMBEDDER, edit
from tests.tiny import write_tiny_model

pytestmark = pytest.mark.engine

GUARD = "owner/guard-that-nobody-has"


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "Other-1B", context=8192)


@pytest.fixture
def claiming(recipe: Path, model: Path, reward_model: Path) -> Path:
    """A recipe whose words are about its own model, judged by whatever there is."""
    edit(
        recipe,
        description="Written by Llama-3-70B-Instruct, filtered as the published set.",
        oversample=1.5,
        judges={
            "tags": {"model": str(model)},
            "reward": {"model": str(reward_model), "base": {"model": str(model)}},
            "guard": {"model": GUARD},
            "language": True,
            "neighbors": {"model": EMBEDDER},
        },
        selection={
            "preset": "air-filter",
            "require_safe": True,
            "min_quality": "very poor",
            "min_difficulty": "very easy",
            "drop_near_duplicates": False,
        },
        card={
            "pretty_name": "Magpie Pro",
            "license": "llama3",
            "language": ["en"],
            "tags": ["llama"],
        },
    )
    return recipe


def run(recipe: Path, out: Path, said: list[str], **overrides: Any) -> tuple[Release, str]:
    job = Run.open(open_recipe(recipe, overrides))
    complete(job, say=said.append)
    release = write_release(job, out)
    return release, release.card.read_text(encoding="utf-8")


def test_judges_that_can_work_do_and_run_and_card_say_which_cannot(
    claiming: Path, other: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    said: list[str] = []
    release, card = run(claiming, tmp_path / "out", said, model=str(other))
    left_out = (
        "reward.base (its model is the base of the recipe's own generator); "
        "guard (the model cannot be had here)"
    )
    assert [line for line in said if line.startswith("left out")] == [
        f"left out, with the selection rules that need them: {left_out}"
    ]
    rows = pq.read_table(release.path / "data" / "default").to_pylist()
    assert len(rows) == 6
    for row in rows:
        assert row["difficulty_generator"] == other.name, "the generator tags, as it did"
        assert row["instruct_reward"] is not None
        assert row["min_neighbor_distance"] is not None
        assert "language" in row
        assert "safe" not in row
    assert left_out in " ".join(card.split())
    assert "`require_safe`" not in card
    assert "air-filter" not in card


def test_the_card_speaks_of_what_was_run(claiming: Path, other: Path, tmp_path: Path) -> None:
    release, card = run(claiming, tmp_path / "out", [], model=str(other), turns=2)
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pretty_name"] == "Magpie Other-1B MT"
    assert "# Magpie Other-1B MT" in card
    assert "Conversations of 2 turns written by Other-1B; made from the recipe tiny." in card
    for false in ("Llama-3-70B", "Magpie Pro", "as the published", "llama"):
        assert false not in card
    assert front["license"] == "other", "the licence of that folder is unknown"
    again = parse_recipe((release.path / "recipe.yaml").read_text(), "again")
    assert "Other-1B" in again.description
    assert open_recipe(release.path / "recipe.yaml") == again


def test_an_unchanged_recipe_keeps_its_own_words(claiming: Path) -> None:
    as_written = open_recipe(claiming, {"judging": "on", "rows": 3, "seed": 7})
    assert as_written.description.startswith("Written by Llama-3-70B-Instruct")
    assert as_written.card.pretty_name == "Magpie Pro"
    assert not as_written.judges.left_out


def test_without_judges_nothing_is_said_to_be_filtered(claiming: Path) -> None:
    bare = open_recipe(claiming, {"judging": "off"})
    assert bare.description == (
        "Instructions and responses written by tiny; made from the recipe tiny."
    )


def test_a_selection_that_was_set_otherwise_is_not_the_published_one(claiming: Path) -> None:
    loose = open_recipe(claiming, {"settings": {"selection.min_quality": None}})
    assert loose.description.startswith("Instructions and responses written by")
    assert loose.card.pretty_name == "Magpie Pro", "it is still of that model"
    shorter = open_recipe(claiming, {"settings": {"respond.max_tokens": 8}})
    assert shorter.description.startswith("Written by Llama-3-70B-Instruct")
    said = open_recipe(claiming, {"settings": {"judges.language": False, "description": "Mine."}})
    assert said.description == "Mine."


def test_all_judges_are_insisted_on_where_that_is_said(claiming: Path, other: Path) -> None:
    insisting = open_recipe(claiming, {"model": str(other), "judging": "on"})
    with pytest.raises(ModelError, match=GUARD):
        complete(Run.open(insisting), say=print)


@pytest.mark.parametrize("name", ["air", "air-mt", "air-eco", "pro", "pro-mt", "pro-eco"])
def test_no_variant_of_another_model_claims_what_it_is_not(name: str, other: Path) -> None:
    recipe = open_recipe(name, {"model": str(other), "rows": 4})
    assert recipe.judges.language
    assert {"reward", "guard"} <= set(recipe.judges.left_out)
    assert not recipe.selection.needs() - set(recipe.judges.names)
    said = f"{recipe.description} {recipe.card}"
    assert "Other-1B" in said
    assert not [word for word in ("Llama", "Pro", "Air", "published", "llama") if word in said]
    # The generator tags where the recipe's own does; Pro's tagger is another model.
    assert ("tags" in recipe.judges.names) is (name not in ("pro", "pro-mt"))


def test_a_judge_that_is_too_large_is_left_out(
    claiming: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magpie_hub.judges import fit

    monkeypatch.setattr(fit, "MOST_ON_A_CPU", 1000)
    left_out = open_recipe(claiming, {"model": str(other)}).judges.left_out
    assert left_out["reward"] == fit.LARGE
    assert left_out["neighbors"] == fit.LARGE
    assert "tags" not in left_out, "the generator is there already"
