"""A library leaves its caller's process alone: before, during and after a build in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_hub.torch_env import SETTINGS
from tests.tiny import write_tiny_model, write_tiny_recipe

SCRIPT = """
import json, logging, os, sys, threading, time, warnings
import magpie_hub

def process():
    from huggingface_hub import get_session
    from huggingface_hub.utils import _http
    return {
        "streams": [[os.readlink(f"/proc/self/fd/{n}"), os.fstat(n).st_ino] for n in (1, 2)],
        "environment": dict(os.environ),
        "handlers": list(map(repr, logging.getLogger().handlers)),
        "level": logging.getLogger().level,
        "session": repr(_http._GLOBAL_CLIENT_FACTORY),
        "timeout": repr(get_session().timeout),
        "limits": sorted(map(str, [sys.getrecursionlimit(), sys.getswitchinterval()])),
        "hooks": list(map(repr, [sys.excepthook, sys.stdout, sys.stderr, warnings.showwarning])),
    }

before = process()
changed, done = {}, threading.Event()

def watch():
    while not done.wait(0.005):
        for name, value in process().items():
            if name == "environment":
                for key in {*value, *before[name]}:
                    if value.get(key) != before[name].get(key):
                        changed.setdefault(key, value.get(key))
            elif value != before[name]:
                changed[name] = value

threading.Thread(target=watch).start()
magpie_hub.build(sys.argv[1], "first", rows=4)
# By now everything is imported, which for some libraries means filters of warnings.
filters = list(warnings.filters)
magpie_hub.build(sys.argv[1], "second", rows=4, seed=7)
done.set()
same = filters == warnings.filters
print(json.dumps([changed, same, {k: v for k, v in process().items() if v != before[k]}]))
"""


@pytest.mark.engine
def test_a_build_leaves_the_callers_process_alone(tmp_path: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", write_tiny_model(tmp_path / "model"))
    (tmp_path / "program.py").write_text(SCRIPT)
    # That of a shell: this process may have imported vLLM, which leaves variables behind.
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "HF_HUB_OFFLINE", "MAGPIE_HOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    done = subprocess.run(
        [sys.executable, "program.py", str(recipe)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    meanwhile, same_filters, afterwards = json.loads(done.stdout)
    assert afterwards == {}
    assert same_filters, "filters of warnings"
    # For the moment in which torch is loaded, or a template is tried in a fork; and numpy's own.
    numpy = {"OPENBLAS_MAIN_FREE", "GOTOBLAS_MAIN_FREE"}
    # Those of scikit-learn and of torch's compiler, while transformers imports them.
    imported = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"}
    assert set(meanwhile) <= {*SETTINGS, "TOKENIZERS_PARALLELISM", *numpy, *imported}
