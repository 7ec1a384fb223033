"""What a scheduled job runs: every word as it was given, and no secret among them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.hub.jobs.command import REPORT, default_requirement, job_command

STUB = f"""#!{sys.executable}
import os, sys
with open(os.environ["SEEN"], "a") as file:
    print(repr([os.path.basename(sys.argv[0]), *sys.argv[1:]]), file=file)
if "regenerate" in sys.argv:
    open(sys.argv[sys.argv.index("--report") + 1], "w").write("# The report")
sys.exit(int(os.environ.get("STATUS_" + os.path.basename(sys.argv[0]).replace("-", "_"), "0")))
"""

HOSTILE = [
    "x; touch PWNED",
    "$(touch PWNED)",
    "`touch PWNED`",
    "a' ; touch PWNED #",
    'a" && touch PWNED',
    "--index-url=http://evil",
    "-r evil",
    "one\ntouch PWNED",
    "${IFS}&touch${IFS}PWNED",
    "!! * ? [a] ~ > PWNED",
]


def run(command: list[str], folder: Path, **more: str) -> tuple[int, list[list[str]], str]:
    """Runs a job's command with stubs; its status, the commands' words, what it printed."""
    stubs, seen = folder / "bin", folder / "seen"
    stubs.mkdir(exist_ok=True)
    seen.unlink(missing_ok=True)
    for name in ("python3", "magpie-hub", "git", "apt-get"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    # The report's place in the container, moved into the test's folder.
    command = [word.replace("/tmp/report.md", str(folder / "report.md")) for word in command]
    path = f"{stubs}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        env={"PATH": path, "SEEN": str(seen), **more},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (folder / "PWNED").exists()
    words = seen.read_text() if seen.exists() else ""
    return done.returncode, [eval(line) for line in words.splitlines()], done.stdout


@pytest.mark.parametrize("requirement", ["magpie-hub", *HOSTILE])
@pytest.mark.parametrize("state", ["s3://bucket/x", *(f"s3://{word}" for word in HOSTILE)])
def test_hostile_words_stay_words(tmp_path: Path, requirement: str, state: str) -> None:
    command = job_command("air", "a/b", requirement=requirement, grow=5, state=state)
    status, (install, tick), _ = run(command, tmp_path)
    assert status == 0
    assert install[-2:] == ["--", requirement]
    assert tick[tick.index("--state") + 1] == state


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
@settings(max_examples=25, deadline=None)
def test_any_words_stay_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("job")
    name = "m" + text.replace("@", "").replace("git+", "")
    command = job_command(name, name, requirement=name)
    _, (install, tick), _ = run(command, folder, LC_ALL="C.UTF-8", PYTHONUTF8="1")
    assert install[-1] == name
    assert tick[3:6] == [name, "--repo-id", name]


def test_the_report_is_in_the_log_and_the_ticks_status_is_the_jobs(tmp_path: Path) -> None:
    command = job_command("air", "a/b", requirement="magpie-hub")
    status, _, out = run(command, tmp_path, STATUS_magpie_hub="3")
    assert (status, out) == (3, "# The report")
    status, ran, _ = run(command, tmp_path, STATUS_python3="1")
    assert status == 1
    assert len(ran) == 1, "what is not installed is not run"


def test_git_is_there_for_a_requirement_that_wants_it(tmp_path: Path) -> None:
    url = "magpie-hub[vllm] @ git+https://github.com/me/magpie_hub@v1"
    command = job_command("air", "a/b", requirement=url)
    _, ran, _ = run(command, tmp_path)
    assert [words[0] for words in ran] == ["python3", "magpie-hub"], "git is there already"
    assert "apt-get" in command[-1]
    assert "apt-get" not in job_command("air", "a/b", requirement=default_requirement())[-1]


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@host/x.whl",
        "git+https://ghp_abcdefghijklmnopqrstuvwxyz0123456789@github.com/a/b",
        "https://host/x.whl?token=hf_" + "aZ4bY7cX" * 4 + "qW",
        "s3://AKIAQWERTYUIOPASDFGH:abc@bucket/x",
    ],
)
def test_secrets_are_refused_and_not_shown(text: str) -> None:
    settings: list[dict[str, Any]] = [
        {"requirement": text},
        {"requirement": "magpie-hub", "state": text},
    ]
    for given_as in settings:
        with pytest.raises(UserError, match="password or token") as caught:
            job_command("air", "a/b", **given_as)
        assert not {"secret", "ghp_", "hf_", "AKIA"} & set(str(caught.value).split())
        assert text not in str(caught.value)


def test_a_user_named_git_is_no_secret() -> None:
    job_command("air", "a/b", requirement="git+ssh://git@github.com/me/magpie_hub")


@pytest.mark.parametrize("text", ["", " ", ".", "./a", "/a/b", "~/a", "file:///a", "C:\\a"])
def test_places_on_this_machine_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--requirement"):
        job_command("air", "a/b", requirement=text)
    with pytest.raises(UserError, match="--state"):
        job_command("air", "a/b", requirement="magpie-hub", state=text)


def test_the_tick_is_one_that_the_command_takes() -> None:
    from magpie_hub.cli.main import magpie_hub

    script = job_command("smol", "me/magpie-smol", requirement="x", grow=5, state="s3://b/c")[-1]
    (step,) = [part for part in script.split("; ") if part.startswith("magpie-hub ")]
    verb, *words = shlex.split(step.split(" || ")[0])[1:]
    command = magpie_hub.commands[verb]
    asked = command.make_context(verb, words).params
    assert (asked["name"], asked["repo_id"], asked["push"]) == ("smol", "me/magpie-smol", True)
    assert (asked["grow"], asked["state"], str(asked["report"])) == (5, "s3://b/c", REPORT)
