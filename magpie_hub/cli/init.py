"""`magpie-hub init`: writes the user's own recipe, with comments, and a builder folder around it.

The comments are the descriptions and defaults of the recipe's fields, so they cannot be outdated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from magpie_hub.errors import OutputError, UserError
from magpie_hub.models.source import is_folder
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.recipe.variants import SUFFIX
from magpie_hub.text import command

README = """---
configs:
- config_name: {name}
  data_files:
  - split: train
    path: ["magpie://recipes/*", "{name}{suffix}"]
---

# {name}

This dataset is generated when it is loaded. `magpie-hub` must be installed:

```python
from datasets import load_dataset

load_dataset({folder}, "{name}")
```

The recipe is [`{name}{suffix}`]({name}{suffix}). In this folder, run `{build}` to
build a release folder that can be published. Do not publish this folder itself.
"""

HEADER = """# A recipe of magpie_hub: everything that determines a dataset.
# A line that begins with '#' and no space is a setting with its default value: remove the '#' to
# change it. A run can override a top-level setting: by an option (--rows 8), a builder keyword
# (rows=8) or a variable (MAGPIE_ROWS=8). It can override any other key by --set
# respond.max_tokens=512.

"""


def write_builder(folder: Path, name: str, model: str, rows: int) -> list[Path]:
    """Writes a commented recipe, and a README that makes the folder loadable by `load_dataset`.

    Args:
        folder: Created if missing; must not hold either file.
        name: The recipe's and the config's name.
        model: The generator.
        rows: Rows delivered.

    Returns:
        The files written.

    Raises:
        UserError: The name is not allowed.
        OutputError: A file exists already, or the folder cannot be written.
    """
    text = HEADER + "\n".join(_recipe_lines(name, model, rows)) + "\n"
    try:
        parse_recipe(text, origin="--name")
    except UserError:
        raise UserError(
            f"{name}: not a name for a recipe; lower-case letters, digits, '.', '-' and '_' are "
            "allowed (--name)"
        ) from None
    files = {
        folder / (name + SUFFIX): text,
        folder / "README.md": README.format(
            name=name,
            suffix=SUFFIX,
            folder=json.dumps(folder.as_posix(), ensure_ascii=False),
            build=command("build", name + SUFFIX),
        ),
    }
    for path in files:
        if path.exists():
            raise OutputError(f"{path}: this file exists already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    return list(files)


def _called(model: str) -> str:
    """A model's name for a description; for a local folder, the folder's name."""
    return Path(model).expanduser().resolve().name if is_folder(model) else model


def _recipe_lines(name: str, model: str, rows: int) -> list[str]:
    given = {
        "name": name,
        "description": f"Instructions and responses written by {_called(model)}.",
        "model": model,
        "rows": rows,
    }
    lines = []
    for key, field in Recipe.model_fields.items():
        if field.description:
            lines += ["", f"# {field.description}"]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += ["", f"# {(field.annotation.__doc__ or '').splitlines()[0]}"]
        if key in given:
            lines.append(_dump({key: given[key]}))
            continue
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined:
            continue
        if isinstance(default, BaseModel):
            default = default.model_dump(mode="json", exclude={"left_out"})  # written by a run
        lines += ["#" + line for line in _dump({key: default}).splitlines()]
    return lines


def _dump(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=96).rstrip("\n")
