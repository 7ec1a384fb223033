"""A template that does not come to an end, or wants all memory, is one line in bounded time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from magpie_hub.chat import trial
from magpie_hub.chat.derive import derive
from magpie_hub.errors import ChatFormatError
from magpie_hub.models.source import load_tokenizer, pin
from magpie_hub.recipe.chat import ChatOptions
from tests.tiny import TEMPLATE, write_tiny_model, write_tiny_recipe

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a trial needs a safe fork")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    return load_tokenizer(pin(str(model)))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (LOOP + TEMPLATE, "does not come to an end"),
        (TEMPLATE + "{% if messages|length > 1 %}" + LOOP + "{% endif %}", "come to an end"),
        ("{{ 7 ** (7 ** 12) }}" + TEMPLATE, "does not come to an end"),
        ("{{ 'x' * 10 ** 11 }}" + TEMPLATE, "more than 1024 MiB of memory"),
        ("{% set n = messages|length * 10 ** 10 %}{{ 'x' * n }}" + TEMPLATE, "MiB of memory"),
    ],
)
def test_a_template_without_end_is_refused(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str, says: str
) -> None:
    module = sys.modules["magpie_hub.chat.derive"]
    monkeypatch.setattr(module, "try_out", lambda work: trial.try_out(work, 3))
    children = set(psutil.Process().children())
    begun = time.monotonic()
    with pytest.raises(ChatFormatError, match=says) as refused:
        derive(tokenizer, options=ChatOptions(template=template))
    assert time.monotonic() - begun < 15
    assert "\n" not in str(refused.value)
    assert set(psutil.Process().children()) == children, "a process is left"


def test_the_first_interrupt_ends_a_template_that_loops(tmp_path: Path, model: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "x.yaml", model, chat={"template": LOOP + TEMPLATE})
    process = subprocess.Popen(
        [sys.executable, "-m", "magpie_hub", "build", str(recipe)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not psutil.Process(process.pid).children():
            assert process.poll() is None
            time.sleep(0.1)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert time.monotonic() - begun < 10
    assert "Traceback" not in said
