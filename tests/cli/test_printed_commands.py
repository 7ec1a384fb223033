"""Every command that is printed works as it stands: it is typed into a shell here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_hub import api
from magpie_hub.cli.init import write_builder
from magpie_hub.errors import UserError
from magpie_hub.hub.preflight import check_release
from magpie_hub.release.folder import write_release
from magpie_hub.release.output import default_output
from magpie_hub.text import command
from tests.tiny import GATES_OFF, write_tiny_model
from tests.toy_release import toy_job

ROOT = Path(__file__).resolve().parents[2]
ODD = ("my set", "it's", "$HOME", "a;b", "-x", "données", "#1", "a&b", "*", '"')


def typed(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Types a line into a shell in which `magpie-hub` is this package's."""
    programs = cwd / ".programs"
    programs.mkdir(exist_ok=True)
    program = programs / "magpie-hub"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m magpie_hub "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("word", ODD)
def test_words_reach_the_command_as_they_are(word: str) -> None:
    said = shlex.split(command("scan", Path(word), "--reviewed", Path(word)))
    assert said[:2] == ["magpie-hub", "scan"]
    assert [Path(said[2]), Path(said[4])] == [Path(word), Path(word)]
    assert not said[2].startswith("-")


@pytest.mark.engine
def test_the_steps_that_init_prints_work(tmp_path: Path) -> None:
    """From an empty folder to a release, in a folder whose name has to be quoted."""
    model = write_tiny_model(tmp_path / "model")
    started = typed(
        f"magpie-hub init 'it is mine' --name mine --rows 2 --model {shlex.quote(str(model))}",
        tmp_path,
    )
    assert started.returncode == 0, started.stderr
    edit, build = re.fullmatch(
        "next: edit (.+), then: (.+)", started.stdout.splitlines()[-1]
    ).groups()  # type: ignore[union-attr]
    recipe = tmp_path / edit
    rules = ", ".join(f"{name}: false" for name in GATES_OFF)
    recipe.write_text(
        f"{recipe.read_text()}\nengine: transformers\n"
        f"gates: {{duplicate: false, rules: {{{rules}}}}}\n"
        "instruct: {max_tokens: 8}\nrespond: {max_tokens: 8}\n"
    )
    built = typed(build, tmp_path)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "mine" / "manifest.json").exists()
    assert recipe.exists()
    again = typed(build, tmp_path)
    assert again.returncode == 0, again.stderr
    # As the README beside the recipe says it.
    (line,) = re.findall("In this folder, run `(.+?)`", (recipe.parent / "README.md").read_text())
    done = typed(f"cd {shlex.quote(str(recipe.parent))} && {line}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert recipe.exists()


@pytest.mark.parametrize("folder", ["mine", "a b", 'q"uote', "back\\slash"])
def test_the_readme_of_a_builder_names_its_folder_as_python_reads_it(
    folder: str, tmp_path: Path
) -> None:
    write_builder(tmp_path / folder, "mine", "toy/model", 3)
    (call,) = re.findall(
        r"^load_dataset\((.+)\)$", (tmp_path / folder / "README.md").read_text(), re.M
    )
    assert eval(f"({call})") == ((tmp_path / folder).as_posix(), "mine")


def test_a_release_never_goes_into_the_folder_of_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (recipe, _) = write_builder(Path("mine"), "mine", "toy/model", 3)
    assert default_output(recipe, "mine") == Path("mine-release")
    assert default_output(recipe.absolute(), "mine") == Path("mine-release")
    assert default_output(recipe, "other") == Path("other")
    assert default_output("smol", "smol") == Path("smol")
    deep = tmp_path / "deep" / "er"
    (inside, _) = write_builder(deep, "deep", "toy/model", 3)
    assert default_output(inside, "deep") == Path("deep-release")
    (tmp_path / "link").symlink_to(tmp_path / "mine", target_is_directory=True)
    assert default_output(recipe, "link") == Path("link-release")
    monkeypatch.chdir(tmp_path / "mine")
    assert default_output("mine.magpie.yaml", "mine") == Path("mine")
    # Where `push` looks is where `build` leaves it.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="^mine-release: there is no release"):
        api.push(recipe)


def commands_in(text: str) -> list[list[str]]:
    """The commands that a message holds in brackets, as a shell reads them."""
    return [shlex.split(found) for found in re.findall(r"\((magpie-hub .+?)\)[,;]?(?= |$)", text)]


def test_what_a_spoilt_release_advises_can_be_typed(tmp_path: Path) -> None:
    folder = write_release(toy_job(tmp_path / "home", rows=4), tmp_path / "my set").path
    (folder / "README.md").write_text("edited")
    with pytest.raises(UserError, match="edited after") as caught:
        check_release(folder)
    (said,) = commands_in(str(caught.value))
    assert said == ["magpie-hub", "build", "RECIPE", "--out", str(folder)]
    with pytest.raises(UserError, match="there is no release") as caught:
        check_release(tmp_path / "no thing")
    (said,) = commands_in(str(caught.value))
    assert said == ["magpie-hub", "build", "NAME", "--out", str(tmp_path / "no thing")]
