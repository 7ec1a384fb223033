"""Writes the parts of the docs that come from the code.

    make docs

It writes `docs/reference.md` (the command's help, a recipe's keys, the gates), and the table of
rooms in `docs/architecture.md`. A test compares both files with the code.
"""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.cli.main import magpie_hub
from magpie_hub.gates.registry import GATES, build_gates
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.overrides import OVERRIDES
from tests.gates.labelled import figures, gates, texts

TARGET = Path(__file__).with_name("reference.md")
ARCHITECTURE = Path(__file__).with_name("architecture.md")
ROOT = Path(__file__).resolve().parents[1]
INTRO = """# Reference

`make docs` writes this page from the code. A test compares the page with the code.
"""


def command_help() -> str:
    """The help text of the command and of each verb, and of the verbs of groups."""
    top = context_of(magpie_hub, "magpie-hub")
    parts = [
        f"```text\n$ {context.command_path} --help\n{context.get_help()}\n```\n"
        for context in walk_commands(top)
    ]
    return "\n".join(["## The command\n", *parts])


def walk_commands(context: click.Context) -> Iterator[click.Context]:
    """The context of a command, and those of all commands below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from walk_commands(context_of(command, name, context))


def context_of(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    """The context in which a command writes its help, as wide as in a terminal of 100 columns."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    return click.Context(command, parent, name, **settings)


def recipe_keys() -> str:
    """A table of keys for the recipe and each of its sections."""
    parts = [
        "## A recipe's keys\n",
        "One run can override the keys marked ●: by an option of the command (`--rows 8`), a "
        "keyword of `load_dataset` (`rows=8`) or a variable (`MAGPIE_ROWS=8`). It can override any "
        "other key by `--set` (`--set respond.max_tokens=512`). An unknown key is an error.\n",
    ]
    seen: list[type[BaseModel]] = []
    queue: list[tuple[str, type[BaseModel]]] = [("", Recipe)]
    while queue:
        path, model = queue.pop(0)
        title = f"### `{path}`" if path else "### Top level"
        rows = [
            f"{title}\n",
            first_paragraph(model) + "\n",
            "| key | type | default | |",
            "|---|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            inner = model_in(field.annotation)
            if inner is not None and inner not in seen:
                seen.append(inner)
                queue.append((f"{path}.{name}" if path else name, inner))
            mark = " ●" if model is Recipe and name in OVERRIDES else ""
            rows.append(
                f"| `{name}`{mark} | {type_name(field.annotation)} | {default(field)} | "
                f"{field.description or ''} |"
            )
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def gate_table() -> str:
    """A table of the gates with their parameters and rules."""
    rows = [
        "## The gates\n",
        "Gates run in this order; the first gate that rejects a text gives the reason. In a "
        "recipe: `gates: {rules: {garbage: {max_scripts: 2}, colon: false}}`. Gates marked ○ are "
        "off by default; a recipe switches them on by `true`, or by a parameter if one is "
        "required.\n",
        f"Precision and recall were measured on {len(texts())} labelled texts "
        "(`tests/gates/labelled.yaml`: our own texts, and rows of SmolLM2-135M-Instruct). In "
        "parentheses: correct rejections of all rejections, and of all texts that the gate should "
        "reject. The gates were developed with these texts: expect lower values on other data.\n",
        "| gate | side | parameters | rule | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    at_work = {gate.name for side in build_gates() for gate in side}
    for name, gate in GATES.items():
        parameters = ", ".join(
            f"`{field.name}`" + ("" if field.default is MISSING else f" = {field.default!r}")
            for field in fields(gate)  # type: ignore[arg-type]
        )
        every = fields(gate)  # type: ignore[arg-type]
        roles = next((f.default for f in every if f.name == "roles"), None) or gate.roles
        sides = " and ".join({"user": "instruction", "assistant": "response"}[r] for r in roles)
        mark = "" if name in at_work else " ○"
        rule = first_paragraph(gate)
        rows.append(f"| `{name}`{mark} | {sides} | {parameters} | {rule} | {measured(name)} |")
    return "\n".join(rows) + "\n"


def measured(name: str) -> str:
    """A gate's precision and recall on the labelled texts, as two cells."""
    gate = gates().get(name)
    found = figures(gate) if gate else None
    if found is None or not found.wrong:
        return "– | –"
    caught, spoilt = found.caught, found.spoilt
    return (
        f"{found.precision:.2f} ({caught} of {caught + spoilt}) "
        f"| {found.recall:.2f} ({caught} of {found.wrong})"
    )


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds, if it holds one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


def type_name(annotation: Any) -> str:
    """A type in words, as YAML has it."""
    inner = model_in(annotation)
    text = str(annotation)
    if inner is not None:
        return "list of sections" if "tuple" in text else "section"
    if "Literal" in text:
        chosen = [a for a in walk(annotation) if isinstance(a, str)]
        return " / ".join(f"`{a}`" for a in chosen)
    kinds = [annotation, *walk(annotation)]
    for kind, word in (
        (dict, "mapping"),
        (bool, "true / false"),
        (int, "whole number"),
        (float, "number"),
    ):
        if kind in kinds or any(get_origin(found) is kind for found in kinds):
            return word
    return "list of texts" if "tuple" in text else "text"


def walk(annotation: Any) -> list[Any]:
    """All arguments of an annotation, at any depth."""
    found: list[Any] = []
    for argument in get_args(annotation):
        found += [argument, *walk(argument)]
    return found


def default(field: Any) -> str:
    """A field's default as YAML, or "needed"."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is ...:
        return "needed"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str) and len(value) < 40:
        return f"`{value}`"
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    # Sections have their own table; long texts are in the source.
    return "" if not value or isinstance(value, BaseModel) else "see the source"


def first_paragraph(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("|", "\\|")


def render() -> str:
    """The whole reference."""
    return "\n".join([INTRO, command_help(), recipe_keys(), gate_table()])


def room_table() -> str:
    """The rooms of the package, by the floors of the import-linter contract."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    lines = ["| room | what it is | files |", "|---|---|---|"]
    for floor in contract["layers"]:
        for room in floor.split(" : "):
            place = ROOT / "magpie_hub" / room
            if place.is_dir():
                source, files = (
                    place / "__init__.py",
                    [
                        f"`{path.relative_to(place).with_suffix('').as_posix()}`"
                        for path in sorted(place.rglob("*.py"))
                        if path.name != "__init__.py"
                    ],
                )
            else:
                source, files = place.with_suffix(".py"), []
            doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
            lines.append(f"| `{room}` | {doc.split(chr(10) * 2)[0]} | {' '.join(files)} |")
    return "\n".join(lines)


def render_architecture(text: str) -> str:
    """The page on the architecture, with its table of rooms as the code has them."""
    begin, end = "<!-- rooms -->\n", "<!-- /rooms -->"
    head, rest = text.split(begin)
    return f"{head}{begin}{room_table()}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    page = render_architecture(ARCHITECTURE.read_text(encoding="utf-8"))
    ARCHITECTURE.write_text(page, encoding="utf-8")
    print(f"wrote {TARGET} and {ARCHITECTURE}")
