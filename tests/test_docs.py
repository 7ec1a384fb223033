"""The docs agree with the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from magpie_hub.engines import sizing as capacity
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.regenerate import Drift
from magpie_hub.recipe.variants import variant_names

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text() == module.render(), "run: make docs"
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    assert architecture == module.render_architecture(architecture), "run: make docs"


def test_the_readme_names_every_variant_and_only_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in variant_names())
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_the_table_of_drift_gates_names_every_bound_with_its_default() -> None:
    text = (ROOT / "docs" / "release.md").read_text()
    section = text.split("## Drift gates\n")[1].split("\n## ")[0]
    said = re.findall(r"`([a-z_]+)` = (null|[\d.]+)", section)
    defaults = {
        name: "null" if field.default is None else f"{field.default:g}"
        for name, field in Drift.model_fields.items()
    }
    assert sorted(said) == sorted(defaults.items())


def test_the_page_on_tuning_names_every_engine_setting_and_the_numbers_that_are_used() -> None:
    text = (ROOT / "docs" / "tuning.md").read_text()
    overrides = set(EngineOptions.model_fields) - {"base_url", "trust_model_code"}
    for name in overrides:
        assert f"`{name}" in text, name
    sizes = ", ".join(f"{slots:,}" for _, slots in capacity.GPU_SLOTS[:-1])
    assert f"{sizes} or {capacity.GPU_SLOTS[-1][1]} on a GPU" in text
    assert f"{capacity.CPU_SLOTS} on a CPU" in text
    assert f"{capacity.CPU_CACHE_TOKENS:,} tokens a slot" in text
    assert f"at most {capacity.CPU_CACHE_SHARE:.0%}".replace("%", " %") in text
    assert f"about {capacity.SHORT_JOB_TOKENS:,} tokens" in text
    assert f"are {capacity.TURN_TOKENS} a turn" in text
