"""The wheel, in an environment of its own with no checkout near, does the whole job."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from magpie_hub.models.source import ModelSource
from tests.commands import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; libraries come from this one, magpie_hub does not."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    scheme = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    site = Path(sysconfig.get_path("purelib", vars=scheme))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder / "env" / "bin" / "python"),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    # A path named in a .pth file does not bring its own .pth files: this checkout, installed as
    # editable there, stays out of sight.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


def test_the_wheel_alone(installed: Path, tmp_path: Path, small_model: ModelSource) -> None:
    assert small_model.path is not None
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "models").symlink_to(small_model.path.parent)
    environment = {
        **os.environ,
        "MAGPIE_ENGINE": "transformers",
        "MAGPIE_JUDGING": "off",
        "HF_HOME": str(tmp_path / "hf"),
    }
    environment.pop("PYTHONPATH", None)

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(installed / command[0]), *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=700,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    where = run("python", "-c", "import magpie_hub; print(magpie_hub.__file__)")
    assert str(installed.parent) in where
    assert "smol-mt" in run("magpie-hub", "variants")
    prompts = (
        "from magpie_hub.judges.tags import tagger_prompt; print(tagger_prompt('compact', 'Why?'))"
    )
    assert "Why?" in run("python", "-c", prompts)
    assert "1 rows delivered" in run("magpie-hub", "build", "smol", "--rows", "1")
    run("magpie-hub", "init", "mine", "--rows", "2")
    recipe = tmp_path / "mine" / "mine.magpie.yaml"
    short = "instruct: {max_tokens: 24}\nrespond: {max_tokens: 32}\n"
    gates = "gates: {rules: {cut_off: false, repetition: false, garbage: false}}\n"
    recipe.write_text(recipe.read_text() + "\n" + short + gates)
    load = 'from datasets import load_dataset; print(load_dataset("./mine", "mine"))'
    assert "num_rows: 2" in run("python", "-c", load)
