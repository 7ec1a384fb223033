"""What stands in ``${{ }}``: the part of GitHub's expression language that the workflows use.

Truth, equality and text are GitHub's: ``null``, ``false``, ``0`` and ``''`` are false, texts are
equal whatever their case, and values of two types are compared as numbers (docs.github.com,
"Evaluate expressions in workflows and actions").
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Contexts = Mapping[str, Any]
"""By name: `github`, `inputs`, `vars`, …; and `status`, what the status functions look at."""

STATUS = {
    "always": lambda status: True,
    "success": lambda status: status == "success",
    "failure": lambda status: status == "failure",
    "cancelled": lambda status: status == "cancelled",
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "startsWith": lambda whole, begin: as_text(whole).lower().startswith(as_text(begin).lower()),
    "fromJSON": lambda text: json.loads(as_text(text)),
}

_WHOLE = re.compile(r"\$\{\{((?:'[^']*'|(?!\}\})[^'])*)\}\}")
_TOKEN = re.compile(r"\s*(?:'(?:[^']|'')*'|\d+(?:\.\d+)?|[A-Za-z_][\w-]*|&&|\|\||[=!]=|[!().,])")

_Value = Callable[[Contexts], Any]


def evaluate(text: str, contexts: Contexts) -> Any:
    """The value of an expression without its braces."""
    return _Parser(text).parse()(contexts)


def fill(text: Any, contexts: Contexts) -> Any:
    """A value of the workflow's file with its expressions evaluated.

    One expression and nothing beside it keeps its type; more make a text.
    """
    if not isinstance(text, str):
        return text
    alone = _WHOLE.fullmatch(text.strip())
    if alone:
        return evaluate(alone[1], contexts)
    return _WHOLE.sub(lambda found: as_text(evaluate(found[1], contexts)), text)


def holds(condition: str | None, contexts: Contexts) -> bool:
    """Whether an ``if:`` lets its job or step run; one that asks for no status asks for success."""
    text = (condition or "success()").strip()
    found = _WHOLE.fullmatch(text)
    text = found[1] if found else text
    if not re.search(rf"\b({'|'.join(STATUS)})\(\)", text):
        text = f"success() && ({text})"
    return truth(evaluate(text, contexts))


def truth(value: Any) -> bool:
    """Whether a value counts as true."""
    return not (value in (None, False, 0, "") or (isinstance(value, float) and math.isnan(value)))


def as_text(value: Any) -> str:
    """A value as it stands in an environment variable or a file's name."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict):
        raise TypeError(f"{value!r} is no text")
    return str(value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other):
        return bool(one == other)
    return _number(one) == _number(other)


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


class _Parser:
    """Expression to function; ``!`` binds closest, then ``==``, ``&&``, ``||``."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, at = text, [], 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                raise ValueError(f"not understood in an expression: {text[at:]!r}")
            self.tokens.append(found[0].strip())
            at = found.end()

    def parse(self) -> _Value:
        value = self._either()
        if self.tokens:
            raise ValueError(f"not understood in {self.text!r}: {self.tokens}")
        return value

    def _take(self, *wanted: str) -> str | None:
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in wanted else None

    def _need(self, wanted: str) -> None:
        if not self._take(wanted):
            raise ValueError(f"{wanted!r} is missing in {self.text!r}")

    def _either(self) -> _Value:
        value = self._both()
        while self._take("||"):
            value = _or(value, self._both())
        return value

    def _both(self) -> _Value:
        value = self._same()
        while self._take("&&"):
            value = _and(value, self._same())
        return value

    def _same(self) -> _Value:
        value = self._single()
        while sign := self._take("==", "!="):
            value = _compared(value, self._single(), sign)
        return value

    def _single(self) -> _Value:
        if self._take("!"):
            inner = self._single()
            return lambda contexts: not truth(inner(contexts))
        if self._take("("):
            value = self._either()
            self._need(")")
            return value
        token = self.tokens.pop(0)
        if token.startswith("'"):
            return _constant(token[1:-1].replace("''", "'"))
        if token[0].isdigit():
            return _constant(float(token))
        if token in ("true", "false", "null"):
            return _constant({"true": True, "false": False, "null": None}[token])
        return self._call(token) if self._take("(") else self._property(token)

    def _call(self, name: str) -> _Value:
        arguments: list[_Value] = []
        while not self._take(")"):
            arguments.append(self._either())
            self._take(",")
        if name in STATUS:
            return lambda contexts: STATUS[name](contexts["status"])
        function = FUNCTIONS[name]
        return lambda contexts: function(*(argument(contexts) for argument in arguments))

    def _property(self, root: str) -> _Value:
        path = []
        while self._take("."):
            path.append(self.tokens.pop(0))

        def find(contexts: Contexts) -> Any:
            value = contexts[root]
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            return value

        return find


def _constant(value: Any) -> _Value:
    return lambda contexts: value


def _or(one: _Value, other: _Value) -> _Value:
    def either(contexts: Contexts) -> Any:
        value = one(contexts)
        return value if truth(value) else other(contexts)

    return either


def _and(one: _Value, other: _Value) -> _Value:
    def both(contexts: Contexts) -> Any:
        value = one(contexts)
        return other(contexts) if truth(value) else value

    return both


def _compared(one: _Value, other: _Value, sign: str) -> _Value:
    return lambda contexts: _equal(one(contexts), other(contexts)) == (sign == "==")
