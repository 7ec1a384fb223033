"""The YAML front matter of a card: what the Hub and `datasets` read.

Written and read by one pair of functions, so that what is read and written again stays the same
text. As in YAML 1.2, `no` is the Norwegian language and not a lie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from magpie_hub.errors import one_line
from magpie_hub.release.card.licenses import License
from magpie_hub.release.card.markdown import line
from magpie_hub.release.schema import DEFAULT

TAGS = ("synthetic", "magpie", "instruction-tuning", "alignment", "sft")
"""What every release is found by."""

# As the Hub's client finds it (huggingface_hub.repocard.REGEX_YAML_BLOCK), on lines that end in \n.
_FRONT = re.compile(r"\s*---\n(?P<yaml>.*?)(?:\n|(?<=\n))---[ \t]*(?:\n|\Z)", re.DOTALL)


class Page(NamedTuple):
    """A card taken apart.

    Attributes:
        front: Its front matter; empty if it has none.
        body: What follows.
    """

    front: dict[str, Any]
    body: str


class _Loader(yaml.SafeLoader):
    """Safe, with YAML 1.2's idea of what is true and what is a whole number."""


_RESOLVERS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": ("[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.split(":")[-1] not in _RESOLVERS]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
# A library that vLLM brings (lm-format-enforcer) makes dates into text in PyYAML's own loader.
_Loader.yaml_constructors = {
    **yaml.SafeLoader.yaml_constructors,
    "tag:yaml.org,2002:timestamp": _Loader.construct_yaml_timestamp,
}


def read_page(text: str) -> Page:
    """Takes a card apart.

    Args:
        text: Its Markdown; line ends of any kind.

    Raises:
        ValueError: Its front matter cannot be read; the message says what is wrong, and where.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = _FRONT.match(text)
    if found is None:
        return Page({}, text)
    try:
        front = yaml.load(found["yaml"], _Loader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 2}: " if error.problem_mark else ""
        raise ValueError(f"{place}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from None
    # What PyYAML lets through for a value that is not what its tag says (`!!int x`).
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"a value that its tag does not fit ({type(error).__name__})") from None
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise ValueError("it is no mapping of keys to values")
    return Page(front, text[found.end() :])


def write_front(front: Mapping[str, Any]) -> str:
    """Front matter as text, from its first ``---`` to its last."""
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=2**31)
    return f"---\n{text}---\n"


def front_matter(
    *,
    name: str,
    license: License,
    language: Sequence[str],
    judged: bool,
    size: str,
    tags: Sequence[str],
    info: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The front matter of a release.

    Args:
        name: Its pretty name.
        license: Its licence.
        language: Codes of its languages; none if unknown.
        judged: Whether models have annotated the rows.
        size: The Hub's size category.
        tags: Tags besides `TAGS`.
        info: As `magpie_hub.release.dataset_info.dataset_info` returns it.
    """
    named = {}
    if license.id == "other" and license.name:
        named["license_name"] = _slug(license.name)
    return {
        "pretty_name": line(name),
        "license": license.id,
        **named,
        **({"language": _once(language)} if language else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "annotations_creators": ["machine-generated" if judged else "no-annotation"],
        "language_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": _once((*TAGS, *tags)),
        "configs": [_config(one, info) for one in info],
        "dataset_info": [dict(one) for one in info],
    }


def _config(one: Mapping[str, Any], info: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    name = one["config_name"]
    default = DEFAULT if any(other["config_name"] == DEFAULT for other in info) else None
    files = [
        {"split": split["name"], "path": f"data/{name}/{split['name']}-*"}
        for split in one["splits"]
    ]
    first = name == (default or info[0]["config_name"])
    return {"config_name": name, **({"default": True} if first else {}), "data_files": files}


def _slug(name: str) -> str:
    """A licence's name in the Hub's letters."""
    return re.sub(r"[^a-z0-9.-]+", "-", line(name, 64).lower()).strip("-") or "unnamed"


def _once(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(line(value) for value in values))
