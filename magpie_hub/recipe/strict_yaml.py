"""The YAML of recipes: PyYAML's safe loader, with stricter checks.

A text has the same meaning here as for `yaml.SafeLoader`, merges (`<<`) included, or it is refused:
if it would hang, overflow, end in a traceback, or mean another thing to another reader. A date is
the text that was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from magpie_hub.errors import one_line

MOST_CHARACTERS = 200_000
MOST_DEPTH = 50
MOST_VALUES = 100_000
"""Most values; an alias counts each time it is used."""

_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


class NotYaml(ValueError):
    """The text is no YAML, or not allowed in a recipe; one line, which begins with the place."""


class Document:
    """A parsed text.

    Attributes:
        data: Its content; None if it is empty.
    """

    def __init__(self, data: Any, root: Node | None) -> None:
        self.data = data
        self._root = root

    def line(self, path: Sequence[int | str]) -> int | None:
        """The line, from 1, of a key, or of the nearest key around it in the text.

        Args:
            path: Keys and indices from the top.
        """
        node, line = self._root, None
        for part in path:
            if isinstance(node, MappingNode):
                found = [(key, value) for key, value in node.value if key.value == part]
                if not found:
                    continue
                line = found[-1][0].start_mark.line + 1
                node = found[-1][1]
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    break
                node = node.value[part]
                line = node.start_mark.line + 1
        return line


class _Loader(yaml.SafeLoader):
    """Refuses keys that are given twice, tags, and aliases that expand without end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _STR):
            raise ComposerError(None, None, f"no tags, such as {tag}, are taken", event.start_mark)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            said = f"it is nested more than {MOST_DEPTH} levels deep"
            raise ComposerError(None, None, said, event.start_mark)
        node: Any = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                said = f"the alias *{event.anchor} stands inside of what it names"
                raise ComposerError(None, None, said, event.start_mark)  # type: ignore[arg-type]
        else:
            self._sizes[id(node)] = self._size(node)
            if isinstance(node, MappingNode):
                self._check_keys(node)
        return node  # type: ignore[no-any-return, unused-ignore]

    def _size(self, node: Node) -> int:
        inside: list[Node] = []
        if isinstance(node, MappingNode):
            inside = [one for pair in node.value for one in pair]
        elif isinstance(node, SequenceNode):
            inside = node.value
        size = 1 + sum(self._sizes[id(one)] for one in inside)
        if size > MOST_VALUES:
            said = f"it holds more than {MOST_VALUES:,} values, aliases followed"
            raise ComposerError(None, None, said, node.start_mark)  # type: ignore[arg-type]
        return size

    def _check_keys(self, node: MappingNode) -> None:
        # Before merges are expanded: a key beside a merged one of the same name is not given twice.
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, ScalarNode) or key.tag != _STR:
                shown = key.value if isinstance(key, ScalarNode) else "a list or a mapping"
                said = f"the key {shown} is not a text"
                raise ComposerError(None, None, said, key.start_mark)
            if key.value in seen:
                said = f"the key {key.value!r} is given twice"
                raise ComposerError(None, None, said, key.start_mark)
            seen.add(key.value)


def _whole(loader: _Loader, node: ScalarNode) -> int:
    text = node.value
    if not _WHOLE.fullmatch(text):
        said = (
            f"{text} is one number to some readers of YAML and another to others; write it in "
            "decimals, or in quotes if it is a text"
        )
        raise ConstructorError(None, None, said, node.start_mark)
    digits = text.replace("_", "")
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        said = f"a number of {len(digits)} digits is more than any key takes"
        raise ConstructorError(None, None, said, node.start_mark)
    return int(digits)


def _fraction(loader: _Loader, node: ScalarNode) -> float:
    if ":" in node.value:
        said = f"{node.value} is a time to some readers of YAML; write it in quotes"
        raise ConstructorError(None, None, said, node.start_mark)
    return float(yaml.SafeLoader.construct_yaml_float(loader, node))


def _text(loader: _Loader, node: ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if found := _UNREADABLE.search(text):
        said = f"the character {found[0]!r} is none that a text may hold"
        raise ConstructorError(None, None, said, node.start_mark)
    return text


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag.rsplit(":", 1)[-1] in ("null", "bool", "int", "float", "merge")
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _fraction)
_Loader.add_constructor(_STR, _text)


def read_yaml(text: str) -> Document:
    """Reads one document.

    Raises:
        NotYaml: The text is refused; the message says where and why, in one line.
    """
    if len(text) > MOST_CHARACTERS:
        raise NotYaml(f"{len(text):,} characters are more than the {MOST_CHARACTERS:,} allowed")
    try:
        loader = _Loader(text)
        root = loader.get_single_node()  # type: ignore[no-untyped-call]
        lines = Document(None, root)
        data = None if root is None else loader.construct_document(root)  # type: ignore[no-untyped-call]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml(
            f"line {line}: not valid YAML: the character {chr(error.character)!r}"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        said = getattr(error, "problem", None) or str(error)
        raise NotYaml(f"{where}not valid YAML: {one_line(said)}") from None
    lines.data = data
    return lines
