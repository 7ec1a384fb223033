"""A tiny aligned-looking model on disk: random weights, a byte tokenizer, a ChatML template.

It is a real model for every mechanism (transformers loads and runs it in milliseconds) and says
nothing of worth, so recipes that use it switch the gates off.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from magpie_hub.gates.registry import GATES

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

GATES_OFF = dict.fromkeys(GATES, False)


def write_tiny_model(folder: Path, seed: int = 0, context: int = 512) -> Path:
    """Writes the model; the same seed gives the same weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_tiny_recipe(path: Path, model: Path, **fields: object) -> Path:
    """Writes a recipe for it: few tokens, no gates."""
    recipe = {
        "name": "tiny",
        "description": "A tiny random model.",
        "model": str(model),
        "model_name": "tests/tiny",
        "engine": "transformers",
        "rows": 12,
        "instruct": {"max_tokens": 12},
        "respond": {"max_tokens": 12},
        "later_turns": {"max_tokens": 8, "system": None},
        "gates": {"rules": GATES_OFF, "duplicate": False},
        **fields,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
