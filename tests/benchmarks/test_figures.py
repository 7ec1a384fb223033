"""The benchmark report is what the recorded figures say, and holds every benchmark."""

import json

import pytest

from benchmarks.report import HERE, PARTS, render


@pytest.fixture(scope="module")
def found():
    return json.loads((HERE / "results.json").read_text(encoding="utf-8"))


def test_the_report_is_the_rendered_figures(found):
    assert (HERE / "README.md").read_text(encoding="utf-8") == render(found)


def test_every_benchmark_has_figures_and_a_machine(found):
    assert set(found) == set(PARTS)
    for figures in found.values():
        assert set(figures["machine"]) == {"processor", "memory", "system", "packages", "date"}


def test_every_script_is_in_the_report():
    scripts = {path.name for path in HERE.glob("*.py") if "\ndef main(" in path.read_text()}
    run = {part.command[0] for part in PARTS.values()}
    assert scripts - {"report.py", "official_stage.py"} == run
