"""A folder of any file system that fsspec knows; nothing is known here of what lies in it.

Object stores put an object whole or not at all, so files are put there directly. Elsewhere a file
is written beside its place, under a name that ends in `.new`, and moved into it. Listings are asked
for anew each time: another machine may have written since.

Every failure becomes one line that names the URL without the credentials that it may hold.
"""

from __future__ import annotations

import inspect
import os
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

from magpie_hub.errors import OutputError, one_line
from magpie_hub.paths import expand

NEW = ".new"
"""How the name of a half-written file ends."""

_WHOLE = frozenset("memory s3 s3a gs gcs abfs abfss az hf oci oss".split())
"""Protocols whose file systems put an object whole, and know no folders that must be made."""

_EXCLUSIVE = frozenset("memory s3 s3a gs gcs".split())
"""Protocols whose `pipe_file(mode="create")` asks the store itself (s3fs: If-None-Match, known to
work on AWS alone; gcsfs: ifGenerationMatch=0). Elsewhere, the Hub's buckets included, fsspec looks
first and writes then."""

_ELSEWHERE = "name another place with --state or regenerate.state in the recipe"


class Filesystem:
    """A folder at an fsspec URL. Paths are relative to it, with slashes.

    One thread uses it at a time; another thread takes a `twin`.

    Args:
        url: "s3://bucket/path", "hf://buckets/NS/NAME/path", "file:///mnt/x", "memory://x", or a
            plain folder.

    Attributes:
        shown: The URL without credentials.

    Raises:
        OutputError: The URL is none, its file system is not installed or cannot be opened.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations

        self._url = url
        if not url.strip():
            raise OutputError(f"the state's URL is empty; {_ELSEWHERE}")
        protocol, colon, rest = url.partition("://")
        if not colon:
            url = expand(url).absolute().as_posix()
        self._secrets, self.shown = _part(url)
        if "::" in url or (colon and protocol not in ("file", "local") and set("*?[") & set(rest)):
            raise OutputError(
                f"{self.shown}: a state's URL must not contain :: * ? [; {_ELSEWHERE}"
            )
        if protocol == "hf" and colon and not rest.startswith("buckets/"):
            raise OutputError(
                f"{self.shown}: every save would be a commit to a repository; make a bucket (hf "
                "buckets create) and name hf://buckets/NAMESPACE/NAME"
            )
        with self._asking("opened"):
            try:
                # An instance of its own: a cached one may be at work in another thread.
                self._fs, root = url_to_fs(url, skip_instance_cache=True)
            except ImportError as error:
                module = known_implementations.get(protocol, {}).get("class", "").split(".")[0]
                hint = f"pip install {module}" if module else _ELSEWHERE
                raise OutputError(f"{self.shown}: {self._clean(error)} ({hint})") from None
            except ValueError as error:
                raise OutputError(f"{self.shown}: {self._clean(error)}; {_ELSEWHERE}") from None
        self._root = root.rstrip("/")
        named = self._fs.protocol
        protocols = {named} if isinstance(named, str) else set(named)
        self._local = "file" in protocols
        self._whole = bool(protocols & _WHOLE)
        takes_mode = "mode" in inspect.signature(self._fs.pipe_file).parameters
        self._exclusive = bool(protocols & _EXCLUSIVE) and takes_mode

    @property
    def sure(self) -> bool:
        """Whether of two that `create` a file at once surely one is told so: the kernel decides."""
        return self._local

    def twin(self) -> Filesystem:
        """The same folder for another thread."""
        return Filesystem(self._url)

    def show(self, path: str) -> str:
        """A file's URL without credentials."""
        return f"{self.shown}/{path}"

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if there is no such file."""
        with self._asking("read", path):
            self._fs.invalidate_cache()
            try:
                return bytes(self._fs.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

    def put(self, path: str, data: bytes) -> None:
        """Writes over the file that is there; in folders a reader may see half of it."""
        with self._asking("written", path):
            self._make_folder(path)
            self._fs.pipe_file(self._at(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """Writes a file unless there is one; see `sure`.

        Returns:
            Whether it was written.
        """
        with self._asking("written", path):
            self._make_folder(path)
            try:
                if self._local:
                    with self._fs.open(self._at(path), "xb") as file:
                        file.write(data)
                elif self._exclusive:
                    self._fs.pipe_file(self._at(path), data, mode="create")
                else:
                    self._fs.invalidate_cache()
                    if self._fs.exists(self._at(path)):
                        return False
                    self._fs.pipe_file(self._at(path), data)
            except FileExistsError:
                self._refuse_files_above(path)
                return False
            return True

    def write(self, path: str, data: bytes) -> None:
        """Writes a file of a new name, whole or not at all."""
        with self._asking("written", path):
            self._make_folder(path)
            if self._whole:
                self._fs.pipe_file(self._at(path), data)
                return
            with self._fs.open(self._at(path + NEW), "wb") as file:
                file.write(data)
                if self._local:
                    file.flush()
                    os.fsync(file.fileno())
            self._fs.mv(self._at(path + NEW), self._at(path))

    def files(self, path: str) -> list[str]:
        """Paths of all files below a folder, relative to it; none if it is not there."""
        with self._asking("listed", path):
            self._fs.invalidate_cache()
            return sorted(self._walk(self._at(path)))

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all that is in it; gone already is as good."""
        with self._asking("removed", path):
            self._fs.invalidate_cache()
            try:
                self._fs.rm(self._at(path), recursive=True)
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _make_folder(self, path: str) -> None:
        if not self._whole:
            self._fs.makedirs(self._at(path).rsplit("/", 1)[0], exist_ok=True)

    def _walk(self, top: str) -> Iterator[str]:
        # Not `find`: it passes over folders that cannot be listed.
        todo = [top]
        while todo:
            folder = todo.pop()
            try:
                entries = self._fs.ls(folder, detail=True)
            except FileNotFoundError:
                continue
            for entry in entries:
                name = entry["name"].rstrip("/")
                if entry["type"] == "directory":
                    if name != folder:
                        todo.append(name)
                elif name != folder:
                    yield name[len(top) :].lstrip("/")
                elif entry.get("size"):  # An empty one is how some stores mark a folder.
                    raise NotADirectoryError(folder)

    def _refuse_files_above(self, path: str) -> None:
        above = self._at(path)
        while above := above.rpartition("/")[0]:
            if self._fs.isfile(above):
                raise NotADirectoryError(above)

    @contextmanager
    def _asking(self, what: str, path: str = "") -> Iterator[None]:
        where = self.show(path) if path else self.shown
        try:
            yield
        except OutputError:
            raise
        except (FileExistsError, NotADirectoryError):
            raise OutputError(
                f"{where}: there is a file where a folder should be; {_ELSEWHERE}"
            ) from None
        except Exception as error:  # noqa: BLE001 - each file system raises what its library does
            raise OutputError(
                f"{where}: state cannot be {what} ({self._clean(error)}); see whether it is there "
                f"and this machine may write to it, or {_ELSEWHERE}"
            ) from None

    def _clean(self, error: BaseException) -> str:
        """What an error says, in one line without credentials."""
        text = str(error) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(re.sub(r"//[^/@\s]+@", "//", text)).rstrip(". ")


def _part(url: str) -> tuple[list[str], str]:
    """Parts a URL into its credentials, the longest first, and what may be shown of it."""
    protocol, colon, rest = url.partition("://")
    if not colon or protocol in ("file", "local", "memory"):
        return [], url.rstrip("/")
    authority, slash, path = rest.partition("/")
    login, _, host = authority.rpartition("@")
    if protocol in ("abfs", "abfss", "az") and ":" not in login:
        login, host = "", authority  # A container's name.
    path, _, query = path.partition("?")
    found = {url, rest, login, *login.split(":", 1)[1:], query}
    found |= {value for pair in query.split("&") for value in pair.split("=", 1)[1:]}
    found |= {urllib.parse.unquote(secret) for secret in found}
    secrets = sorted((secret for secret in found if login or query if secret), key=len)
    return secrets[::-1], f"{protocol}://{host}{slash}{path}".rstrip("/")
