"""The scan of a release folder, before it is published.

It fails closed: every file is read (images aside), and what cannot be read is an error. It looks,
and sends nothing anywhere: no key is tried out.

What is encoded once more (Base64, percent signs) is not decoded. Names and postal addresses have no
form to be known by, and are not looked for.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from magpie_hub.errors import UserError, one_line
from magpie_hub.scan.allowlist import Allowed, read_allowed
from magpie_hub.scan.finding import MOST, Finding, Report, to_finding
from magpie_hub.scan.rows import Found, Part, may_be_shown, parts, scan_header, scan_rows
from magpie_hub.scan.text import find, rules, rules_of_files

Watch = Callable[[int, int], None]
"""Told how many rows are scanned, of how many."""

_IMAGES = frozenset({".gif", ".ico", ".jpeg", ".jpg", ".png", ".webp"})
_MOST_THREADS = 8
OURS = frozenset({"README.md", "manifest.json", "recipe.yaml", "stats.json"})
"""Files that we write, in which no path of a machine has any business."""


def scan_release(
    folder: Path,
    *,
    allow: Iterable[str] = (),
    watch: Watch | None = None,
    threads: int | None = None,
) -> Report:
    """Looks for credentials and personal data in a release.

    Args:
        folder: A release folder; anything else that holds Parquet files will do.
        allow: Lines of an allow-list, as `read_allowed` takes them.
        watch: Told now and then how far it is.
        threads: Parts of files that are scanned at a time; as many as there are processors, if
            None, but no more than eight. Each holds some 100 MB.

    Returns:
        What was found, the same for any number of threads. Publish only if it is `clean`.

    Raises:
        UserError: The allow-list has a malformed line; or the folder is missing, holds no Parquet
            file, or has a file that cannot be read.
    """
    begun = time.monotonic()
    tally = _Tally(read_allowed(allow))
    files = _files(folder)
    tables = [path for path in files if path.suffix.lower() == ".parquet"]
    if not tables:
        raise UserError(f"{folder}: there is no Parquet file here; name a release folder")
    cut = {table: _read(folder, table, parts) for table in tables}
    in_all = sum(part.rows for some in cut.values() for part in some)
    executor = ThreadPoolExecutor(threads or min(_MOST_THREADS, _processors()))
    try:
        todo = [part for table in tables for part in cut[table]]
        scanned = executor.map(partial(_scan_part, folder), todo)  # begun here
        for path in files:
            name = _name(folder, path)
            if path in cut:
                tally.add(name, _read(folder, path, lambda path: list(scan_header(path))))
            elif path.suffix.lower() not in _IMAGES:
                tally.add(name, _read(folder, path, _scan_file))
        for part in todo:
            tally.add(_name(folder, part.path), next(scanned))
            tally.rows += part.rows
            if watch is not None:
                watch(tally.rows, in_all)
    finally:
        executor.shutdown(cancel_futures=True)
    return tally.report(time.monotonic() - begun)


def _files(folder: Path) -> list[Path]:
    """All files in a folder, in the order of their paths.

    Raises:
        UserError: There is something in it that is not looked into.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    try:
        for place, folders, names in os.walk(folder, onerror=refuse):
            for path in (Path(place, name) for name in (*folders, *names)):
                if path.is_file():
                    found.append(path)
                elif path.is_symlink() or not path.is_dir():
                    raise UserError(
                        f"{_name(folder, path)}: it is no file and no folder, so what it holds is "
                        "not known"
                    )
    except OSError as error:
        raise UserError(f"{folder}: it cannot be scanned: {error.strerror}") from error
    return sorted(found)


class _Tally:
    """Counts what is found; keeps no values."""

    def __init__(self, allowed: Allowed) -> None:
        self.rows = 0
        self._rules = allowed
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._allowed = 0

    def add(self, name: str, found: Iterable[Found]) -> None:
        """Counts what was found in a file."""
        for place, kind, value in found:
            if self._rules.lets_pass(kind, value):
                self._allowed += 1
                continue
            self._counts[kind] += 1
            if len(self._findings) < MOST:
                self._findings.append(to_finding(kind, value, f"{name} {place}"))

    def report(self, seconds: float) -> Report:
        counts = MappingProxyType(dict(self._counts.most_common()))
        return Report(tuple(self._findings), counts, self._allowed, self.rows, seconds)


def _read(folder: Path, path: Path, read: Callable[[Path], list[Any]]) -> list[Any]:
    """What a reader gives for a file.

    Raises:
        UserError: It cannot be read.
    """
    import pyarrow as pa

    try:
        return read(path)
    except (OSError, pa.ArrowException) as error:
        reason = one_line(error)
        name = _name(folder, path)
        raise UserError(
            f"{name}: it cannot be read, so it is not known what it holds: {reason}"
        ) from error


def _scan_part(folder: Path, part: Part) -> list[Found]:
    return _read(folder, part.path, lambda _: list(scan_rows(part)))


def _scan_file(path: Path) -> list[Found]:
    """Scans a file that is no table, as text."""
    text = path.read_bytes().decode("utf-8", "replace")
    found: list[Found] = []
    seen: set[tuple[str, str]] = set()
    by = rules_of_files() if path.name in OURS else rules()
    for _, kind, value, start in find([text], by):
        seen.add((kind, value))
        found.append(Found(f"line {text.count(chr(10), 0, start) + 1}", kind, value))
    # Escapes and folded lines hide what is there when the file is read.
    for _, kind, value, _ in find(list(_strings(path, text)), by):
        if (kind, value) not in seen:
            seen.add((kind, value))
            found.append(Found("when parsed", kind, value))
    return found


def _strings(path: Path, text: str) -> Iterator[str]:
    """All strings in a JSON or YAML file; none if it is not one."""
    try:
        if path.suffix == ".json":
            todo = [json.loads(text)]
        elif path.suffix in (".yaml", ".yml"):
            todo = list(yaml.safe_load_all(text))
        else:
            return
    except (ValueError, yaml.YAMLError, RecursionError):
        return
    seen: set[int] = set()  # aliases make YAML a graph
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            todo += [*value, *value.values()] if isinstance(value, dict) else value


def _name(folder: Path, path: Path) -> str:
    """A file's name as it may be shown."""
    name = path.relative_to(folder).as_posix()
    return name if may_be_shown(name) else "a file"


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
