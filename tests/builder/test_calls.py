"""What a call of `load_dataset` says, shows and refuses."""

from __future__ import annotations

import json

from tests.builder.conftest import Workshop

MISTAKES = """
import os
said = []
for call, variables in {calls!r}:
    os.environ.update(variables)
    try:
        load_dataset("./builder", **call)
    except Exception as error:
        said.append(f"{{type(error).__module__}}.{{type(error).__qualname__}}: {{error}}")
print(json.dumps(said))
"""

REFUSED: list[tuple[dict[str, object], str]] = [
    ({"rows": 8}, "UserError: ./builder: which config? There are tiny, tiny-mt; name one, as in"),
    ({}, "UserError: ./builder: which config? There are tiny, tiny-mt; name one, as in"),
    (
        {"name": "tiny", "revision": "main"},
        "UserError: revision: datasets takes this for a dataset on the Hub, and it never reaches "
        "the recipe; the generator's is model_revision",
    ),
    ({"name": "tiny", "rowz": 3}, "UserError: rowz: no such setting; did you mean rows?"),
    ({"name": "tiny", "version": "2.0.0"}, "UserError: version: no setting of a run"),
    (
        {"name": "tiny", "data_files": "tiny-mt.magpie.yaml"},
        "UserError: data_files: a config of ./builder has its recipe",
    ),
    (
        {"name": "tiny", "settings": {"respond.max_tokns": 3}},
        "RecipeError: settings: respond.max_tokns: unknown key (did you mean max_tokens?)",
    ),
    (
        {"name": "tiny", "rows": 0},
        "UserError: rows: should be greater than or equal to 1, not 0",
    ),
    (
        {"name": "tiny", "rows": 1, "num_proc": 2},
        "UserError: num_proc=2: each process would load the model",
    ),
    ({"name": "tiny", "rows": 1, "model": "./no-such-model"}, "ModelError: "),
]


def test_what_is_refused_is_one_line_of_ours(workshop: Workshop) -> None:
    calls: list[tuple[dict[str, object], dict[str, str]]] = [(call, {}) for call, _ in REFUSED]
    calls += [({"name": "tinyy"}, {}), ({"name": "tiny"}, {"MAGPIE_ROWS": "x"})]
    *said, name, variable = workshop.run(MISTAKES.format(calls=calls)).json()
    for line, (_, expected) in zip(said, REFUSED, strict=True):
        assert line.startswith(f"magpie_hub.errors.{expected}"), line
        assert "\n" not in line
    assert "ValueError: BuilderConfig 'tinyy' not found. Available: ['tiny', 'tiny-mt']" in name
    expected = "magpie_hub.errors.UserError: MAGPIE_ROWS: should be a valid integer, not 'x'"
    assert variable.startswith(expected)
    assert workshop.generated() == 0


def test_what_is_set_reaches_the_rows_and_the_cache(workshop: Workshop) -> None:
    """Keywords win over variables over the recipe; other datasets are left alone."""
    (workshop.folder / "magpie").mkdir()
    (workshop.folder / "magpie" / "rows.jsonl").write_text('{"a": 1}\n')
    said = workshop.run(
        """
def load(**keywords):
    return load_dataset("./builder", "tiny", **keywords)["train"]
def uuids(**keywords):
    return load(**keywords)["uuid"][:]
def longest(**keywords):
    return max(load(rows=4, **keywords)["response_tokens"][:])
print(json.dumps([uuids(), uuids(rows=3), uuids(rows=3, seed=7)]))
print(json.dumps([longest(settings={"respond.max_tokens": 3}),
                  longest(settings={"respond": {"max_tokens": 3}}), longest()]))
print(json.dumps(load_dataset("magpie")["train"][0]))
""",
        MAGPIE_ROWS="5",
    )
    (by_variable, by_keyword, other_seed), (short, again, plain), other = map(
        json.loads, said.lines()
    )
    assert len(by_variable) == 5
    assert by_keyword == by_variable[:3]
    assert not set(other_seed) & set(by_keyword)
    assert short == again == 3
    assert plain > 3
    assert other == {"a": 1}


def test_the_figures_of_the_command_are_shown(workshop: Workshop) -> None:
    ran = workshop.run('print(json.dumps(len(load_dataset("./builder", "tiny")["train"])))')
    assert ran.json() == 12
    lines = ran.err.replace("\r", "\n").splitlines()
    shown = [line for line in lines if "tok/s" in line]
    assert shown, ran.err
    assert "12/12 rows" in shown[-1]
    # Each bar on a line of its own: that of datasets begins when ours is done.
    theirs = [i for i, line in enumerate(lines) if "Generating train split" in line]
    assert theirs[0] > lines.index(shown[-1])
    assert not any("Generating train split" in line for line in shown)
    quiet = workshop.run(
        "import datasets\ndatasets.disable_progress_bars()\n"
        'print(json.dumps(len(load_dataset("./builder", "tiny", rows=13)["train"])))'
    )
    assert quiet.json() == 13
    assert "tok/s" not in quiet.err
