"""What the Hub says of a README's metadata: errors that refuse it, warnings that do not."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import yaml
from starlette.responses import JSONResponse, Response

from tests.hub_peer.routing import Call, Route, route

LICENSES = set(
    """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0
odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3
llama4 grok2-community gemma unknown other
""".split()
)


def metadata(text: str) -> dict[str, Any]:
    """The front matter of a card that is valid; else nothing."""
    front = _front_matter(text)
    return {} if front is None or problems(text) else yaml.safe_load(front) or {}


def problems(text: str) -> list[str]:
    """Why the Hub would refuse a card."""
    front = _front_matter(text)
    if front is None:
        return []
    try:
        data = yaml.safe_load(front)
    except yaml.YAMLError as error:
        return [f"YAML metadata is not valid: {' '.join(str(error).split())}"]
    if data is None:
        return []
    if not isinstance(data, dict):
        return ["YAML metadata must be a mapping"]
    return [*_license(data), *_configs(data.get("configs", [])), *_lists(data)]


def _front_matter(text: str) -> str | None:
    found = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(\r?\n|$)", text, re.DOTALL)
    return found[1] if found else None


def _license(data: dict[str, Any]) -> list[str]:
    if "license" not in data:
        return []
    if not _strings(data["license"]):
        return ['"license" must be a string or an array of strings']
    named = data["license"] if isinstance(data["license"], list) else [data["license"]]
    return [
        f'"license" must be one of [{", ".join(sorted(LICENSES))}]: {each}'
        for each in named
        if each not in LICENSES
    ]


def _configs(configs: Any) -> list[str]:
    if not isinstance(configs, list) or not all(isinstance(each, dict) for each in configs):
        return ['"configs" must be an array of mappings']
    wrong = []
    for i, config in enumerate(configs):
        if not isinstance(config.get("config_name"), str):
            wrong.append(f'"configs[{i}].config_name" must be a string')
        if not isinstance(config.get("default", False), bool):
            wrong.append(f'"configs[{i}].default" must be a boolean')
        if not _data_files(config.get("data_files", [])):
            wrong.append(f'"configs[{i}].data_files" must be paths, or splits with their paths')
    names = Counter(str(each.get("config_name")) for each in configs)
    wrong += [f'"configs" has {name} twice' for name, times in names.items() if times > 1]
    if sum(each.get("default") is True for each in configs) > 1:
        wrong.append('"configs" has more than one default')
    return wrong


def _data_files(files: Any) -> bool:
    return _strings(files) or (
        isinstance(files, list)
        and all(isinstance(each, dict) and isinstance(each.get("split"), str) for each in files)
        and all(_strings(each.get("path")) for each in files)
    )


def _strings(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))


def _lists(data: dict[str, Any]) -> list[str]:
    wrong = []
    for key in ("language", "tags", "task_categories", "size_categories", "source_datasets"):
        if not _strings(data.get(key, [])):
            wrong.append(f'"{key}" must be a string or an array of strings')
    if not isinstance(data.get("dataset_info", {}), dict | list):
        wrong.append('"dataset_info" must be a mapping or an array of mappings')
    return wrong


def _validate(call: Call) -> Response:
    text = call.json()["content"]
    wrong = [{"message": each} for each in problems(text)]
    empty = not wrong and not metadata(text)
    warnings = [{"message": "empty or missing yaml metadata in repo card"}] if empty else []
    return JSONResponse({"errors": wrong, "warnings": warnings}, 400 if wrong else 200)


ROUTES: list[Route] = [route("POST", "/api/validate-yaml", "validate_yaml", _validate)]
