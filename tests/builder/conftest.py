"""A builder folder with a tiny model, and plain scripts that load from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from magpie_hub.recipe.variants import SUFFIX
from tests.tiny import write_tiny_model, write_tiny_recipe


@dataclass
class Ran:
    """What a script printed and how it ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        assert self.code == 0, self.err[-4000:]
        return self.out.strip().splitlines()

    def json(self) -> Any:
        return json.loads(self.lines()[-1])


@dataclass
class Workshop:
    """A folder to run scripts in: `builder/` is a builder, `home` its MAGPIE_HOME."""

    folder: Path
    environment: dict[str, str]

    @property
    def recipe(self) -> Path:
        return self.folder / "builder" / f"tiny{SUFFIX}"

    @property
    def home(self) -> Path:
        return Path(self.environment["MAGPIE_HOME"])

    def edit(self, **fields: object) -> None:
        data = yaml.safe_load(self.recipe.read_text())
        self.recipe.write_text(yaml.safe_dump({**data, **fields}, sort_keys=False))

    def run(self, script: str, **environment: str) -> Ran:
        """Runs a script as a user would: a file, no main guard."""
        path = self.folder / "script.py"
        path.write_text("import json\nfrom datasets import load_dataset\n" + script)
        done = subprocess.run(
            [sys.executable, str(path)],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def generated(self) -> int:
        """Turns in all journals."""
        from magpie_hub.store.journal import Journal

        total = 0
        for path in self.home.glob("journals/*/*.db"):
            with Journal(path, readonly=True) as journal:
                total += sum(1 for _ in journal.texts(0, 2**62))
        return total


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def workshop(tmp_path: Path, tiny_model: Path) -> Workshop:
    builder = tmp_path / "builder"
    for name, turns in (("tiny", 1), ("tiny-mt", 2)):
        write_tiny_recipe(builder / f"{name}{SUFFIX}", tiny_model, name=name, turns=turns)
    configs = [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": ["magpie://recipes/*", name + SUFFIX]}],
        }
        for name in ("tiny", "tiny-mt")
    ]
    (builder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "MAGPIE_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    return Workshop(tmp_path, environment)
