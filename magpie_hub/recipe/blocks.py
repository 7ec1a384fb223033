"""Checks a recipe's own texts for the card (`card.blocks`) when the recipe is read.

The texts are Jinja. A card is rendered after the rows were generated, which is late to find a typo.
So each text is parsed here, compared with what the card's templates know, and rendered in a sandbox
with dummy data.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from magpie_hub.errors import one_line
from magpie_hub.recipe.variants import shipped

_ERRORS = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError),
    ValueError,
)


class _Known(NamedTuple):
    """The blocks of the package's templates, and the variables and filters that they use."""

    blocks: dict[str, set[str]]
    variables: set[str]
    filters: set[str]


@functools.cache
def _known() -> _Known:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment()
    blocks, variables, filters = {}, set(), set(environment.filters)
    folder = shipped("dataset_cards")
    for path in sorted(folder.rglob("*.jinja")):
        tree = environment.parse(path.read_text(encoding="utf-8"))
        blocks[path.name] = {block.name for block in tree.find_all(nodes.Block)}
        variables |= {one.name for one in tree.find_all(nodes.Name)}
        filters |= {one.name for one in tree.find_all(nodes.Filter)}
    return _Known(blocks, variables, filters)


def block_faults(blocks: Mapping[str, str], turns: int) -> Iterator[str]:
    """What is wrong with a recipe's blocks: one line each, which begins with the key.

    Args:
        blocks: Texts by the name of the block that they replace.
        turns: User turns of the conversations, which choose the template.
    """
    if not blocks:
        return
    known = _known()
    own = "single-turn.md.jinja" if turns == 1 else "multi-turn.md.jinja"
    names = sorted(known.blocks["base.md.jinja"] | known.blocks[own])
    for name, text in blocks.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            yield f"card.blocks: no block is called {name}; {hint}there are {', '.join(names)}"
        elif fault := _fault(text, known):
            yield f"card.blocks.{name}: {fault}"


def template_fault(text: str) -> str | None:
    """Why a chat template is not valid Jinja; None if it is."""
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        # A tag of transformers, which marks the assistant's text.
        environment.parse(re.sub(r"{%-?\s*(?:end)?generation\s*-?%}", "", text))
    except TemplateSyntaxError as error:
        said = one_line(error.message)
        return f"chat.template: line {error.lineno} of it is no Jinja: {said}"
    except _ERRORS as error:
        return f"chat.template: it is no Jinja: {one_line(error)}"
    return None


def _fault(text: str, known: _Known) -> str | None:
    from jinja2 import DictLoader, TemplateError, TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if re.search(r"^<!-- magpie:(?:begin|end) -->\s*$", text, re.MULTILINE):
        return "it holds the marks of the card's own part; leave them out"
    parent = "{% block it %}{% endblock %}"
    environment = ImmutableSandboxedEnvironment(loader=DictLoader({"parent": parent}))
    # Loops in loops are kept short.
    environment.globals["range"] = lambda *bounds: range(*bounds)[:2]
    environment.filters |= dict.fromkeys(known.filters, lambda *_, **__: "x")
    try:
        tree = environment.parse(text)
        if any(tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport))):
            return "it cannot take in other templates"
        if missing := sorted(meta.find_undeclared_variables(tree) - known.variables - {"super"}):
            near = difflib.get_close_matches(missing[0], sorted(known.variables), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"{missing[0]!r} is undefined{hint}"
        child = f'{{% extends "parent" %}}{{% block it %}}{text}{{% endblock %}}'
        template = environment.from_string(child)
        context = {name: _StandIn() for name in known.variables}
        # A long result is cut off.
        for _ in itertools.islice(template.generate(context), 10_000):
            pass
    except TemplateSyntaxError as error:
        return f"line {error.lineno} of it is no Jinja: {one_line(error.message)}"
    except (TemplateError, *_ERRORS) as error:
        said = one_line(error)
        return f"it cannot be rendered: {said}"
    return None


class _StandIn(str):
    """Any value of a card: a text, a number, a mapping and a list of one item at once."""

    __slots__ = ()

    def __new__(cls) -> _StandIn:
        return super().__new__(cls, "1")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _StandIn()

    def __getitem__(self, key: Any) -> Any:
        return _StandIn()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _StandIn()

    def __iter__(self) -> Iterator[Any]:
        return iter((_StandIn(),))

    def items(self) -> list[tuple[Any, Any]]:
        """One key with its value."""
        return [(_StandIn(), _StandIn())]

    def keys(self) -> list[Any]:
        """One key."""
        return [_StandIn()]

    def values(self) -> list[Any]:
        """One value."""
        return [_StandIn()]

    def get(self, *_: Any) -> Any:
        """Any value."""
        return _StandIn()

    def _number(self, *_: Any) -> int:
        return 1

    __sub__ = __rsub__ = __rmul__ = __truediv__ = __rtruediv__ = _number  # type: ignore[assignment]
    __floordiv__ = __rfloordiv__ = __pow__ = __rmod__ = _number
    __mul__ = __mod__ = _number  # type: ignore[assignment]
    __int__ = __index__ = __round__ = _number  # type: ignore[assignment]

    def __float__(self) -> float:
        return 1.0

    def __add__(self, other: Any) -> Any:
        return str(self) + other if isinstance(other, str) else 1

    def __radd__(self, other: Any) -> Any:
        return other + str(self) if isinstance(other, str) else 1

    def __lt__(self, other: Any) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__
