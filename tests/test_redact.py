"""Nothing that is printed, logged, helped with or written shows a password, a key or a token."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import magpie_hub
from magpie_hub.cli.log_capture import capture_output
from magpie_hub.engines.factory import plan_engine
from magpie_hub.errors import EngineError, UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.text import address, redact
from tests.tiny import write_tiny_recipe

SECRET = "Zu7kQp2xWy"
word = st.text("abcXYZ0189-_%.+", min_size=8, max_size=20)

HELP = """
import importlib, os, pkgutil, pydoc, magpie_hub
for found in pkgutil.walk_packages(magpie_hub.__path__, "magpie_hub."):
    if not found.name.endswith(("__main__", "amx_patch")):
        print(pydoc.plain(pydoc.render_doc(importlib.import_module(found.name))))
"""


def modules() -> Iterator[ModuleType]:
    """All of the package's modules, but for those that run or patch something when imported."""
    for found in pkgutil.walk_packages(magpie_hub.__path__, "magpie_hub."):
        if not found.name.endswith(("__main__", "amx_patch")):
            yield importlib.import_module(found.name)


def test_help_shows_nothing_of_the_environment(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HELP],
        env=os.environ | {"HF_TOKEN": SECRET, "MY_PASSWORD": SECRET + "2"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "build(" in ran.stdout
    assert SECRET not in ran.stdout
    for name in ("MY_PASSWORD", "'PATH'"):
        assert name not in ran.stdout


def test_no_default_argument_is_the_environment() -> None:
    for module in modules():
        for name, thing in inspect.getmembers(module):
            if not callable(thing) or not str(getattr(thing, "__module__", "")).startswith(
                "magpie_hub"
            ):
                continue
            for each in (thing, *vars(thing).values()) if inspect.isclass(thing) else (thing,):
                values = [*(getattr(each, "__defaults__", None) or ())]
                values += (getattr(each, "__kwdefaults__", None) or {}).values()
                assert not any(value is os.environ for value in values), f"{module}.{name}"


@given(word, word, word)
def test_an_address_is_shown_without_its_credentials(user: str, password: str, key: str) -> None:
    url = f"https://{user}:{password}@host.acme.io:8000/v1?api_key={key}"
    for text in (url, f"GET {url} failed", f"'{url}': no", f"({url})", f'{{"url": "{url}"}}'):
        shown = redact(text)
        assert f":{password}@" not in shown
        assert f"={key}" not in shown
        assert "host.acme.io:8000/v1" in shown
        assert redact(shown) == shown
    assert address(url) == "https://host.acme.io:8000/v1"


@pytest.mark.parametrize(
    "text",
    [
        f"me:{SECRET}@host:8000/v1",
        f"//me:{SECRET}@host",
        f"host/v1?api_key={SECRET}",
        f"http://[me:{SECRET}@host",
        f" http:me:{SECRET}@host",
    ],
)
def test_what_is_no_address_is_not_shown_and_is_refused(text: str, tmp_path: Path) -> None:
    assert SECRET not in address(text)
    path = write_tiny_recipe(tmp_path / "x.yaml", tmp_path, engine="server", base_url=text)
    with pytest.raises(UserError, match="base_url: should be an http or https address") as caught:
        parse_recipe(path.read_text(), "x.yaml")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("port", ["70000", "x", "-1", "0"])
def test_a_port_that_there_is_not_is_refused_with_the_recipe(port: str, tmp_path: Path) -> None:
    where = f"http://me:{SECRET}@host:{port}/v1"
    path = write_tiny_recipe(tmp_path / "x.yaml", tmp_path, engine="server", base_url=where)
    with pytest.raises(UserError, match="a valid port") as caught:
        parse_recipe(path.read_text(), "x.yaml")
    assert SECRET not in str(caught.value)


def test_every_message_is_redacted() -> None:
    for kind in (UserError, EngineError):
        said = str(kind(f"https://me:{SECRET}@host/v1?key={SECRET} answers hf_{SECRET * 2}"))
        assert said == "https://***@host/v1?*** answers ***"
    assert str(UserError("see https://host/a#b: 'x?'")) == "see https://host/a#b: 'x?'"


def test_settings_do_not_show_a_servers_address() -> None:
    options = EngineOptions(base_url=f"http://me:{SECRET}@127.0.0.1:9/v1?k={SECRET}")
    assert SECRET not in repr(options)
    assert SECRET not in str(plan_engine(ModelSource("a/b", "r", "hub"), options))


def test_a_log_holds_no_credentials(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with capture_output(log):
        for name in ("httpx", "openai", "magpie_hub"):
            logging.getLogger(name).info(
                "HTTP Request: POST http://me:%s@host/v1?k=%s", SECRET, SECRET
            )
        try:
            raise RuntimeError(f"http://me:{SECRET}@host")
        except RuntimeError:
            logging.getLogger("vllm").exception("no")
    assert log.read_text().count("***@host") >= 4
    assert SECRET not in log.read_text()


def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path: Path) -> None:
    from tests.tiny import write_tiny_model

    model = write_tiny_model(tmp_path / "weights")
    url = f"http://me:{SECRET}@127.0.0.1:9/v1?api_key={SECRET}"
    path = write_tiny_recipe(tmp_path / "x.yaml", model, engine="server", base_url=url)
    ran = subprocess.run(
        [sys.executable, "-m", "magpie_hub", "build", str(path), "--rows", "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 2, ran.stderr
    assert "http://127.0.0.1:9/v1" in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
    written = [one for one in (tmp_path / "home").rglob("*") if one.is_file()]
    assert any("logs" in str(one) for one in written)
    for one in written:
        assert SECRET.encode() not in one.read_bytes(), one
