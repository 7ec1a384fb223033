"""Programs that ask for models, in processes of their own.

The Hub's client reads its endpoint when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.hub_models import ModelHub

PROGRAM = """
import json, sys
from pathlib import Path
from magpie_hub.errors import ModelError
from magpie_hub.models.source import fetch, fetch_tokenizer, pin

name, revision, do, home = sys.argv[1:]
try:
    source = pin(name, revision or None)
    if do == "fetch_tokenizer":
        source = fetch_tokenizer(source, Path(home))
    if do == "fetch":
        source = fetch(source, Path(home))
except ModelError as error:
    print(json.dumps({"error": str(error)}))
else:
    files = sorted(p.name for p in source.path.iterdir()) if source.path else None
    said = {key: getattr(source, key) for key in source.__slots__ if key != "path"}
    print(json.dumps({**said, "files": files}))
"""


def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "PYTHONPATH": str(root), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment},
    )


def finish(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=700)
    assert process.returncode == 0, err
    return json.loads(out)


class Client:
    """Asks the loopback Hub, with a cache of its own."""

    def __init__(self, hub: ModelHub, cache: Path) -> None:
        self.hub = hub
        self.cache = cache

    def __call__(
        self, name: str, revision: str = "", do: str = "pin", endpoint: str = "", **environment: str
    ) -> dict[str, Any]:
        return finish(
            start(
                PROGRAM,
                name,
                revision,
                do,
                str(self.cache / "home"),
                HF_ENDPOINT=endpoint or self.hub.endpoint,
                HF_HOME=str(self.cache),
                **environment,
            )
        )

    def error(self, *arguments: str, **keywords: str) -> str:
        line = self(*arguments, **keywords)["error"]
        assert "\n" not in line
        return line
