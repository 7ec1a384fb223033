"""A model's source: which model, at which revision, and where its files are.

Nothing heavy is imported until a function needs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magpie_hub.errors import ModelError
from magpie_hub.models import hub, packaged
from magpie_hub.models.files import Eos, WithEos, read_as, read_json
from magpie_hub.models.folder import (
    check_complete,
    check_remote_code,
    count_parameters,
    folder_fingerprint,
    license_of,
    missing_shards,
    shape_of,
    weight_files,
)
from magpie_hub.paths import expand
from magpie_hub.torch_env import import_torch, importing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_PATH = re.compile(r"/|\.\.?(?:[/\\]|$)|~|\\|[A-Za-z]:[\\/]|file:")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model at a pinned revision.

    Attributes:
        name: As the user wrote it.
        revision: A Hub commit, a package and its version, or "local-" and a hash.
        kind: Where it comes from.
        path: Folder with its files; None until fetched.
        weight_bytes: Bytes of its weights as stored; None where unknown.
        parameters: Number of its parameters; None where unknown.
        context_length: Tokens that it was made for; None where unknown.
        kv_bytes_per_token: Bytes that one token takes in a 16-bit KV cache; None where unknown.
        quantization: Method in which the checkpoint is stored already ("awq", "fp8", …), if any.
        license: Licence id from its card; None where unknown.
    """

    name: str
    revision: str
    kind: Literal["hub", "local", "packaged"]
    path: Path | None = None
    weight_bytes: int | None = None
    parameters: int | None = None
    context_length: int | None = None
    kv_bytes_per_token: int | None = None
    quantization: str | None = None
    license: str | None = None

    @property
    def identity(self) -> str:
        """What identifies its rows: its name, or the hash of a folder's files.

        So rows keep their ids when a folder is moved or gets a public name.
        """
        return self.revision if self.kind == "local" else self.name


def is_folder(name: str) -> bool:
    """Whether the name of a model or set is a local path, whether it exists or not."""
    package = packaged.PACKAGES.get(name)
    if package is not None and package.path is not None:
        return False
    return _PATH.match(name) is not None or Path(name).expanduser().is_dir()


def is_remote(name: str) -> bool:
    """Whether a name means a repository on the Hub, not an installed package or a folder."""
    package = packaged.PACKAGES.get(name)
    carried = package is not None and package.path is not None
    return not carried and not expand(name).is_dir()


def pin(name: str, revision: str | None = None) -> ModelSource:
    """Finds the model that a name means, without downloading its weights.

    Args:
        name: A Hub id ("owner/name"), or a folder. The id of a packaged model means the installed
            package, unless `revision` is one of the Hub's.
        revision: Branch, tag or commit; None for the newest. A commit that is cached, a folder
            and a package need no network.

    Raises:
        ModelError: One line: not found, gated, not reachable, or not a model.
    """
    package = packaged.PACKAGES.get(name)
    if package and package.path and revision in (None, package.revision):
        return ModelSource(
            name=name,
            revision=package.revision,
            kind="packaged",
            weight_bytes=package.weight_bytes,
            parameters=package.parameters,
            context_length=package.context_length,
            kv_bytes_per_token=package.kv_bytes_per_token,
            license=package.license,
        )
    if package and revision and revision.startswith(f"{package.distribution}-"):
        version = revision.removeprefix(f"{package.distribution}-")
        raise ModelError(f"{name} at {revision} needs that package: {package.install}=={version}.")
    folder = expand(name)
    if folder.is_dir():
        return _pin_folder(name, folder.resolve(), revision)
    if name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"There is no folder {name}; check the path.")
    try:
        pinned = hub.pin_repository(name, revision)
    except ModelError as error:
        if package and not package.path:
            raise ModelError(f"{error} Or, without the Hub: {package.install}.") from None
        raise
    return _described(
        ModelSource(
            name=name,
            revision=pinned.commit,
            kind="hub",
            weight_bytes=pinned.weight_bytes,
            parameters=pinned.parameters,
            license=pinned.license,
        ),
        pinned.folder,
    )


def fetch(source: ModelSource, home: Path, *, trust_remote_code: bool = False) -> ModelSource:
    """Downloads or converts a model's files: config, tokenizer and weights.

    Args:
        source: What `pin` returned.
        home: The user's data folder. A packaged model is converted into it once (about 20 s);
            Hub files go to the Hub's own cache, where other programs find them too.
        trust_remote_code: Whether the model may run its repository's own code.

    Returns:
        The source with `path` and everything that its files say.

    Raises:
        ModelError: No access, not reachable, incomplete, or remote code that is not granted.
    """
    if source.kind == "hub":
        source = fetch_tokenizer(source, home, trust_remote_code=trust_remote_code)
        path = hub.download(source.name, source.revision, weights=True, code=trust_remote_code)
    else:
        path = _folder(source, home)
    check_complete(path, source.name)
    check_remote_code(path, source.name, trust_remote_code)
    return _described(replace(source, path=path), path)


def fetch_tokenizer(
    source: ModelSource, home: Path, *, trust_remote_code: bool = False
) -> ModelSource:
    """Downloads config and tokenizer only, to check a chat format before the weights are needed.

    Args:
        source: What `pin` returned.
        home: The user's data folder.
        trust_remote_code: Whether the model may run its repository's own code.

    Returns:
        The source with `path`; `fetch` it again for the weights.

    Raises:
        ModelError: As `fetch`.
    """
    if source.kind == "hub":
        path = hub.download(source.name, source.revision, weights=False, code=trust_remote_code)
    else:
        path = _folder(source, home)
    check_complete(path, source.name, weights=False)
    check_remote_code(path, source.name, trust_remote_code)
    return _described(replace(source, path=path), path)


@importing()
def load_tokenizer(source: ModelSource, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a fetched source.

    Raises:
        ModelError: The source is not fetched, needs remote code, or its tokenizer does not load.
    """
    path = _fetched(source)
    check_remote_code(path, source.name, trust_remote_code)
    import_torch()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except BaseException as error:
        # The tokenizers' Rust side panics over some files, with an error that is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"The tokenizer of {source.name} does not load: {said:.300}") from error


def generation_eos(source: ModelSource) -> tuple[int, ...]:
    """Returns the token ids that end an answer, by the fetched model's own configuration.

    `generation_config.json` counts first, since it names all of them (Llama 3 ends a turn with
    another token than a text); `config.json` is used if the other names none.

    Raises:
        ModelError: The files hold something else than ids.
    """
    path = _fetched(source)
    generation = read_as(Eos, path / "generation_config.json")
    config = read_as(WithEos, path / "config.json")
    for said in (generation, config, config.text_config):
        if said is not None and said.ids is not None:
            return said.ids
    return ()


def _pin_folder(name: str, folder: Path, revision: str | None) -> ModelSource:
    check_complete(folder, name)
    found = folder_fingerprint(folder)
    if revision not in (None, found):
        raise ModelError(
            f"The model in {name} is {found}, not {revision}: its files have changed; bring the "
            f"old ones back, or drop the revision."
        )
    return _described(ModelSource(name=name, revision=found, kind="local", path=folder), folder)


def _folder(source: ModelSource, home: Path) -> Path:
    if source.kind == "packaged":
        return packaged.unpack_model(source.name, home)
    return _fetched(source)


def _fetched(source: ModelSource) -> Path:
    if source.path is None:
        raise ModelError(f"{source.name} is not fetched yet; call fetch() first.")
    return source.path


def _described(source: ModelSource, folder: Path) -> ModelSource:
    """Adds what the files in a folder say; known values stay."""
    shape = shape_of(read_json(folder / "config.json"))
    known: dict[str, Any] = {
        "context_length": shape.context_length,
        "kv_bytes_per_token": shape.kv_bytes_per_token,
        "quantization": shape.quantization,
        "license": source.license or license_of(folder),
    }
    if (files := weight_files(folder)) and not missing_shards(folder):
        known["weight_bytes"] = sum(file.stat().st_size for file in files)
        known["parameters"] = source.parameters or count_parameters(folder)
    return replace(source, **{key: value for key, value in known.items() if value is not None})
