"""The command: it starts quickly, prints one line for a mistake, and only JSON on stdout."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import magpie, magpie_process, wait_for_turns
from tests.tiny import write_tiny_model, write_tiny_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> Path:
    return write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model)


@pytest.mark.engine
def test_build_prints_the_funnel_where_it_is_and_the_log(recipe: Path, tmp_path: Path) -> None:
    ran = magpie_process("build", recipe, "--rows", 8, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "8 rows delivered" in ran.stdout
    assert f"release: {tmp_path / 'out'}" in ran.stdout
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("engine log: ")
    assert Path(last.removeprefix("engine log: ")).is_file()
    assert "8/8 rows" in ran.stderr
    assert "tok/s" in ran.stderr
    assert "rejected" in ran.stderr


@pytest.mark.engine
def test_json_is_alone_on_stdout(recipe: Path, tmp_path: Path) -> None:
    ran = magpie_process("build", recipe, "--rows", 4, "--json", cwd=tmp_path)
    found = json.loads(ran.stdout)
    assert found["rows"] == 4
    assert found["path"] == str(tmp_path / "tiny")
    assert found["funnel"]["delivered"] == 4
    listed = json.loads(magpie("variants", "--json", cwd=tmp_path).stdout)
    assert {"air", "pro-mt", "smol"} <= {variant["name"] for variant in listed}


def test_variants_say_what_the_journal_holds(tmp_path: Path) -> None:
    table = magpie("variants", cwd=tmp_path).stdout.splitlines()
    rows = {line.split()[0]: line for line in table[1:]}
    assert "Meta-Llama-3-70B-Instruct" in rows["pro-mt"]
    assert "160 GiB of device memory" in rows["pro-mt"]
    assert "any machine" in rows["smol"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["build", "pro-mtt"], "pro-mtt: no such variant; did you mean pro-mt"),
        (["build", "{recipe}", "--rows", "0"], "--rows: should be greater than or equal to 1"),
        (["build", "{recipe}", "--rows", "many"], "Invalid value for '--rows'"),
        (["build", "{recipe}", "--rowz", "1"], "No such option '--rowz'"),
        (["build", "{recipe}", "--engine", "tpu"], "'tpu' is not one of 'auto', 'vllm'"),
        (["build", "{recipe}", "--engine", "server"], "engine server needs base_url"),
        (
            ["build", "{recipe}", "--base-url", "http://127.0.0.1:9/v1"],
            "base_url is for engine server, not for engine transformers",
        ),
        (["build", "{recipe}", "--model", "./nowhere"], "There is no folder ./nowhere"),
        (["build", "{recipe}", "--out", "{folder}"], "holds something that is not a release"),
        (["build", "{broken}"], "rowz: unknown key (did you mean rows?)"),
        (["build", "pro"], "needs 160 GiB of device memory"),
        (["build", "nothing.yaml"], "nothing.yaml: no such recipe file"),
        (["build"], "Missing argument 'NAME'"),
        (["probe", "./nowhere"], "There is no folder ./nowhere"),
        (["init", "{folder}/x", "--name", "Not A Name"], "not a name for a recipe"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    recipe: Path, tmp_path: Path, arguments: list[str], line: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_text("mine")
    broken = tmp_path / "broken.yaml"
    broken.write_text(recipe.read_text() + "rowz: 1\n")
    places = {"recipe": recipe, "broken": broken, "folder": work}
    ran = magpie(*[a.format(**places) for a in arguments], cwd=work)
    said = [text for text in ran.stderr.splitlines() if text]
    assert ran.returncode == 2, ran.stderr
    assert len(said) == 1, ran.stderr
    assert line in said[0]
    assert said[0].startswith("magpie-hub: ")
    assert ran.stdout == ""
    assert [p.name for p in work.iterdir()] == ["notes.txt"]
    assert not (tmp_path / "home").exists()


def test_a_template_that_cannot_be_split_is_one_line(
    recipe: Path, tmp_path: Path, model: Path
) -> None:
    data = yaml.safe_load(recipe.read_text())
    data["chat"] = {"template": "{{ raise_exception('only for tools') }}"}
    recipe.write_text(yaml.safe_dump(data))
    ran = magpie_process("build", recipe, cwd=tmp_path)
    said = ran.stderr.strip().splitlines()
    assert ran.returncode == 2, ran.stderr
    assert len(said) == 1
    assert "only for tools" in said[0]
    assert not (tmp_path / "home" / "journals").exists()


@pytest.mark.engine
def test_a_run_that_had_to_stop_is_one_line_and_exit_1(recipe: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(recipe.read_text())
    data["gates"] = {"rules": {}}
    recipe.write_text(yaml.safe_dump(data))
    ran = magpie_process("build", recipe, "--min-yield", "1", "--rows", "500", cwd=tmp_path)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("magpie-hub: only ")
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "tiny").exists()


def test_a_home_that_cannot_be_written_is_one_line(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = magpie_process("build", recipe, cwd=tmp_path, MAGPIE_HOME=str(tmp_path / "file"))
    assert ran.returncode == 2, ran.stderr
    (said,) = ran.stderr.strip().splitlines()
    assert "set MAGPIE_HOME to a folder that can" in said


def test_init_writes_a_builder_and_a_recipe_that_work(tmp_path: Path, model: Path) -> None:
    ran = magpie("init", "mine", "--model", model, "--rows", 3, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    path = tmp_path / "mine" / "mine.magpie.yaml"
    again = magpie("init", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "this file exists already" in again.stderr
    # Every commented default, taken in, is still the same recipe.
    from magpie_hub.recipe.load import load_recipe, parse_recipe

    lines = path.read_text().splitlines()
    keys = [line[1:] if re.match(r"#(\S|  )", line) else line for line in lines]
    assert len([line for line in keys if not line.startswith("#")]) > 60
    assert parse_recipe("\n".join(keys), "all") == load_recipe(path)


def test_help_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['magpie-hub', '--help']\n"
        "from magpie_hub.cli.main import main\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'vllm', 'datasets', 'pyarrow', 'numpy',\n"
        "             'huggingface_hub', 'jinja2'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    took = []
    for _ in range(5):
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
        )
        done = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(done.ru_utime + done.ru_stime - begun.ru_utime - begun.ru_stime)
        assert "Commands:" in ran.stdout, ran.stderr
        assert ran.returncode == 0, ran.stderr
    # 0.4 s is what is promised on an idle machine. Seconds of the processor, which wait for no
    # other program; the quickest of five, since a busy machine takes a little more of them.
    assert min(took) < 0.6


@pytest.mark.parametrize("command", [[], ["build"], ["check"], ["variants"], ["probe"], ["init"]])
def test_help_everywhere(tmp_path: Path, command: list[str]) -> None:
    long, short = magpie(*command, "--help", cwd=tmp_path), magpie(*command, "-h", cwd=tmp_path)
    assert long.returncode == 0
    assert long.stdout == short.stdout
    assert "Usage: " in long.stdout


def test_the_bare_command_prints_its_help(tmp_path: Path) -> None:
    for command in ([], ["schedule"]):
        ran = magpie(*command, cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == magpie(*command, "--help", cwd=tmp_path).stdout


def test_check_reads_a_recipe_and_does_nothing_else(recipe: Path, tmp_path: Path) -> None:
    found = json.loads(magpie("check", recipe, "--rows", 3, "--json", cwd=tmp_path).stdout)
    assert found["ok"]
    assert found["path"] == str(recipe)
    assert "card blocks" in found["checked"]
    other = json.loads(magpie("check", recipe, "--set", "rows=4", "--json", cwd=tmp_path).stdout)
    assert other["fingerprint"] != found["fingerprint"]
    recipe.write_text(recipe.read_text() + "card: {license: apache2}\nrowz: 3\nseeed: 4\n")
    ran = magpie("check", recipe, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    (said,) = ran.stderr.splitlines()
    assert all(word in said for word in ("mean apache-2.0", "mean rows", "mean seed"))
    assert not (tmp_path / "home").exists()


def test_a_folder_is_named_as_load_dataset_names_it(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    none = magpie("check", "./mine", cwd=tmp_path)
    assert "./mine: no recipe (*.magpie.yaml) in that folder" in none.stderr
    recipe.rename(folder / "tiny.magpie.yaml")
    for name in ("./mine", "mine/", folder, "mine/tiny.magpie.yaml"):
        assert "ok: " in magpie("check", name, cwd=tmp_path).stdout
    assert "ok: " in magpie("check", ".", cwd=folder).stdout
    assert "did you mean ./mine?" in magpie("build", "mine", cwd=tmp_path).stderr
    write_tiny_recipe(folder / "more.magpie.yaml", tmp_path, name="more")
    two = magpie("build", "./mine", cwd=tmp_path)
    assert two.returncode == 2
    assert "which recipe? There are mine/more.magpie.yaml, mine/tiny.magpie.yaml" in two.stderr


def test_recipes_of_this_folder_are_listed_and_marked(recipe: Path, tmp_path: Path) -> None:
    write_tiny_recipe(tmp_path / "mine" / "mine.magpie.yaml", tmp_path, name="mine", rows=7)
    (tmp_path / "mine" / "bad.magpie.yaml").write_text("rowz: 1\n")
    ran = magpie("variants", cwd=tmp_path)
    rows = {line.split()[0]: line for line in ran.stdout.splitlines()}
    assert " 7 " in rows["./mine/mine.magpie.yaml"]
    assert " 12 " in rows["./tiny.magpie.yaml"]
    assert "recipes in this folder" in ran.stdout
    assert "refused: mine/bad.magpie.yaml: " in ran.stdout
    listed = json.loads(magpie("variants", "--json", cwd=tmp_path).stdout)
    found = {one["name"]: one for one in listed}
    assert found["smol"]["path"] is None
    assert found["./tiny.magpie.yaml"]["path"] == "./tiny.magpie.yaml"
    assert "rowz" in found["./mine/bad.magpie.yaml"]["problem"]


def test_a_misspelt_variable_is_warned_of(recipe: Path, tmp_path: Path) -> None:
    ran = magpie_process("check", recipe, cwd=tmp_path, MAGPIE_ROWZ="3")
    assert ran.returncode == 0
    assert ran.stderr.count("MAGPIE_ROWZ: no variable of magpie-hub") == 1
    assert "did you mean MAGPIE_ROWS?" in ran.stderr


@pytest.mark.engine
def test_an_interrupt_keeps_rows_and_says_how_to_go_on(recipe: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "magpie_hub", "build", str(recipe), "--rows", "100000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # In the background of a shell, interrupts are switched off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_for_turns(process, tmp_path / "home")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "continues from there" in said.strip().splitlines()[-1]
    assert "Traceback" not in said
