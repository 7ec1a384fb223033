"""Gate `broken_code`: a code block of an answer does not parse.

Rules:

* `python`: a block whose fence says Python is no Python, by the grammar of the interpreter that
  runs this;
* `json`: a block whose fence says JSON is no JSON;
* `unclosed`: a block is opened and never closed.

A block is judged by what its fence says it is, and only if it is meant whole. Passed over on
purpose: blocks with "...", which leave something out; interpreter sessions (">>>"), lines for a
shell ("$", "%", "!") and code of Python 2 (`print "…"`); JSON with comments, or one document a
line; fragments, which parse once they are dedented or given a body. An instruction may hold broken
code: that is what it is about.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role

_FENCE = re.compile(r"[ \t]*(?:[-*>][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")
_PYTHON = frozenset({"python", "py", "python3"})
_PASSED_OVER = re.compile(
    r"\.\.\.|…|^\s*(?:>>>|[$%!?]|\{%|print +[^(=\s]|from \d|In \[\d+\]|Traceback )"
    r"|<[a-z]+[ _-]\w+>",
    re.MULTILINE,
)
_JSON_LEAVES_OUT = re.compile(r"\.\.\.|…|^\s*(?://|/\*|#)|[,{\[]\s*//|<\w", re.MULTILINE)
_MOST_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class BrokenCode(Gate):
    """Rejects an answer with a Python or JSON block that does not parse, or an open block."""

    name: ClassVar[str] = "broken_code"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "a code block that does not parse"
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "broken_code:" with the rule that was broken."""
        text = message.text
        if "```" not in text and "~~~" not in text:
            return None
        for language, code, closed in _blocks(text):
            if not closed:
                return f"{self.name}:unclosed"
            if len(code) > _MOST_CHARS:
                continue
            if language in _PYTHON and not _is_python(code):
                return f"{self.name}:python"
            if language == "json" and not _is_json(code):
                return f"{self.name}:json"
        return None


def _blocks(text: str) -> Iterator[tuple[str, str, bool]]:
    """The fenced blocks of a text: language, code, and whether the block is closed."""
    lines = iter(text.splitlines())
    for line in lines:
        opened = _FENCE.match(line)
        if opened is None:
            continue
        mark, language = opened.groups()
        code: list[str] = []
        for line in lines:
            bare = line.strip()
            if bare.startswith(mark) and not bare.strip(mark[0]):
                break
            code.append(line)
        else:
            yield language.lower(), "\n".join(code), False
            return
        yield language.lower().strip("{}.,:"), "\n".join(code), True


def _is_python(code: str) -> bool:
    if _PASSED_OVER.search(code):
        return True
    code = textwrap.dedent(code.expandtabs(4)).strip("\n")
    # What stands inside a function or a loop, or what opens one and leaves its body out.
    last = code.rstrip()
    pieces = (code, f"{last}\n{_indent_of_last(code)}    pass", f"{last}\ndef f(): pass")
    return any(map(_parses, pieces))


def _indent_of_last(code: str) -> str:
    last = code.rstrip().rpartition("\n")[2]
    return last[: len(last) - len(last.lstrip())]


def _parses(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            # An odd escape is a matter of style.
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    except (RecursionError, MemoryError):
        # Too deep for the parser says nothing of the code.
        return True
    return True


def _is_json(code: str) -> bool:
    if _JSON_LEAVES_OUT.search(code) or not code.strip():
        return True
    try:
        json.loads(code)
    except RecursionError:
        return True
    except ValueError:
        return _are_documents(code)
    return True


def _are_documents(code: str) -> bool:
    """Whether it is one JSON document after another, or the inside of an object."""
    decoder = json.JSONDecoder()
    at = 0
    try:
        while rest := code[at:].lstrip():
            at = len(code) - len(rest)
            _, size = decoder.raw_decode(rest)
            at += size
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
