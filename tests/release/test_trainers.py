"""A release as trainers take it: no glue, and the roles of the generator's own chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from magpie_hub.judges.registry import JUDGES
from magpie_hub.models.source import ModelSource
from magpie_hub.release.folder import write_release
from magpie_hub.release.schema import arrow_schema, sharegpt_schema
from tests.toy_release import toy_job

pytestmark = pytest.mark.engine

TAKEN = {
    # TRL 1.16, trl/trainer/sft_trainer.py (_prepare_dataset, data collators) and data_utils.py:
    # a column of one of these names is read, whatever the dataset means by it.
    *("prompt", "completion", "chosen", "rejected", "conversations", "text", "label", "labels"),
    *("input_ids", "attention_mask", "completion_mask", "assistant_masks", "seq_lengths"),
    *("tools", "chat_template", "chat_template_kwargs", "image", "images"),
    # axolotl 0.19, prompt_strategies/chat_template.py: defaults of field_system, field_tools,
    # field_thinking, and the column of images.
    *("system", "reasoning_content"),
}
"""Names of columns by which a trainer would do something else with a row than its `messages`."""


@pytest.fixture(scope="module", params=[1, 2], ids=["one turn", "two turns"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    run = toy_job(place / "home", rows=12, turns=request.param)
    return write_release(run, place / "toy").path


def load(release: Path, *config: str) -> datasets.Dataset:
    cache = str(release.parent / "cache")
    return datasets.load_dataset(str(release), *config, split="train", cache_dir=cache)


@pytest.fixture(scope="module")
def tokenizer(small_model: ModelSource) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(small_model.path)


def test_trl_trains_on_what_the_chat_template_makes_of_messages(
    release: Path, tokenizer: Any, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    rows = load(release)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    settings = SFTConfig(
        str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        LlamaForCausalLM(config), settings, train_dataset=rows, processing_class=tokenizer
    )
    ids = trainer.train_dataset["input_ids"][:]
    assert [tokenizer.decode(one) for one in ids] == [
        tokenizer.apply_chat_template(messages, tokenize=False) for messages in rows["messages"][:]
    ]
    assert all("<|im_start|>user" in tokenizer.decode(one) for one in ids)
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(step["loss"] > 0 for step in trainer.state.log_history if "loss" in step)


def test_one_column_of_a_config_holds_conversations(release: Path) -> None:
    found = {}
    for config in ("default", "raw", "sharegpt"):
        features = load(release, config).features
        found[config] = [n for n, kind in features.items() if isinstance(kind, datasets.List)]
    assert found == {"default": ["messages"], "raw": ["messages"], "sharegpt": ["conversations"]}


@pytest.mark.parametrize("raw", [False, True])
def test_no_column_bears_a_name_that_trainers_take(raw: bool) -> None:
    assert not TAKEN & set(arrow_schema(8, tuple(JUDGES), raw=raw).names)


def test_axolotls_chat_template_takes_it(release: Path) -> None:
    """axolotl 0.19, prompt_strategies/chat_template.py, with `type: chat_template` and no other
    key: `field_messages` is "messages", each message has `role` and `content`, and the roles it
    maps are human, user, assistant, gpt, system and tool."""
    for messages in load(release)["messages"]:
        assert [one["role"] for one in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert all(set(one) == {"role", "content"} and one["content"] for one in messages)


def test_llama_factorys_sharegpt_takes_it(release: Path) -> None:
    """LLaMA-Factory 0.9.5, data/parser.py and data/converter.py, with `"formatting": "sharegpt"`:
    the column is "conversations", tags are from, value, human and gpt; people speak at even places
    and the model at odd ones, and the number of messages is even."""
    rows, default = load(release, "sharegpt"), load(release)
    assert rows["uuid"][:] == default["uuid"][:]
    for said, messages in zip(rows["conversations"], default["messages"], strict=True):
        assert [one["from"] for one in said] == ["human", "gpt"] * (len(said) // 2)
        assert [one["value"] for one in said] == [one["content"] for one in messages]
    assert rows.column_names == sharegpt_schema().names
