"""The card's YAML: what the Hub and `datasets` read in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from magpie_hub.release.card.front_matter import read_page
from magpie_hub.release.card.render import render_card
from magpie_hub.release.dataset_info import dataset_info
from tests.release import card_data as sample
from tests.release.cards import plain


def test_datasets_loads_the_folder_by_it(folder: Path, text: str, tmp_path: Path) -> None:
    import datasets

    (folder / "README.md").write_text(text, encoding="utf-8")
    cache = str(tmp_path)
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    assert [row["row_id"] for row in rows] == [0, 1, 2, 3]
    assert rows.info.download_size == dataset_info(folder)[0]["download_size"]
    raw = datasets.load_dataset(str(folder), "raw", split="train", cache_dir=cache)
    assert raw["reject_reason"][:] == [None] * 4 + ["instruction.colon"]
    turns = datasets.load_dataset(str(folder), "sharegpt", split="train", cache_dir=cache)
    assert turns["uuid"][:] == rows["uuid"][:]
    assert [one["from"] for one in turns["conversations"][0]] == ["human", "gpt"] * 2


def test_a_card_with_other_counts_than_the_files_does_not_load(
    folder: Path, info: list[dict[str, Any]], tmp_path: Path
) -> None:
    import datasets
    from datasets.exceptions import NonMatchingSplitsSizesError

    default = info[0] | {"splits": [info[0]["splits"][0] | {"num_examples": 5}]}
    wrong = render_card(sample.card_data(info=[default, *info[1:]]))
    (folder / "README.md").write_text(wrong, encoding="utf-8")
    with pytest.raises(NonMatchingSplitsSizesError):
        datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))


def test_a_long_name_is_one_line() -> None:
    recipe = sample.recipe(pretty_name="A long name " * 12)
    assert f"\npretty_name: {('A long name ' * 12).strip()}\n" in render_card(plain(recipe=recipe))


def test_the_hubs_client_reads_it(text: str) -> None:
    card = DatasetCard(text)
    assert card.data.pretty_name == "Magpie Toy"
    assert card.data.license == "llama3"
    assert card.data.language == ["en", "de"], "as the judge found them"
    assert card.data.task_categories == ["text-generation"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.source_datasets == ["original"]
    assert card.data.annotations_creators == card.data.language_creators == ["machine-generated"]
    assert {"synthetic", "magpie", "sft", "multi-turn", "toys"} <= set(card.data.tags)
    assert card.text == read_page(text).body


def test_configs_have_one_default_and_are_found_where_they_are(text: str) -> None:
    assert read_page(text).front["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [{"split": "train", "path": "data/default/train-*"}],
        },
        {
            "config_name": "raw",
            "data_files": [{"split": "train", "path": "data/raw/train-*"}],
        },
        {
            "config_name": "sharegpt",
            "data_files": [{"split": "train", "path": "data/sharegpt/train-*"}],
        },
    ]


@pytest.mark.parametrize(
    ("recipes", "generators", "front", "said"),
    [
        (None, "apache-2.0", {"license": "apache-2.0"}, "> **Licence: `apache-2.0`.**"),
        ("MIT", "apache-2.0", {"license": "mit"}, "its licence (`apache-2.0`) applies to them"),
        (None, None, {"license": "other"}, "> **Licence unknown.**"),
        (
            None,
            "Tongyi Qianwen",
            {"license": "other", "license_name": "tongyi-qianwen"},
            "> **Licence: Tongyi Qianwen.**",
        ),
        (None, "llama3.1", {"license": "llama3.1"}, "begins with “Llama”"),
        ("cc-by-4.0", "llama3", {"license": "cc-by-4.0"}, "improve any other large language model"),
    ],
)
def test_the_licence_is_the_recipes_or_the_generators(
    recipes: str | None, generators: str | None, front: dict[str, str], said: str
) -> None:
    recipe = plain().recipe
    recipe = recipe.model_copy(update={"card": recipe.card.model_copy(update={"license": recipes})})
    text = render_card(plain(recipe=recipe, license=generators))
    found = read_page(text).front
    assert {key: value for key, value in found.items() if key.startswith("license")} == front
    assert said in text
