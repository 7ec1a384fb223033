"""What a call of `load_dataset` says, shows and refuses."""

from __future__ import annotations

from tests.builder.conftest import Workshop

OUTPUT = """
import io, contextlib
said = []
for call in {calls!r}:
    try:
        load_dataset("./builder", **call)
    except Exception as error:
        said.append(f"{{type(error).__qualname__}}: {{error}}")
print(json.dumps(said))
"""


def test_what_never_reaches_the_recipe_is_refused(workshop: Workshop) -> None:
    calls: list[dict[str, object]] = [
        {"rows": 8},
        {},
        {"name": "tiny", "revision": "main"},
        {"name": "tiny", "rowz": 3},
        {"name": "tiny", "version": "2.0.0"},
        {"name": "tiny", "data_files": "tiny-mt.magpie.yaml"},
        {"name": "tiny", "settings": {"respond.max_tokns": 3}},
        {"name": "tinyy"},
    ]
    said = workshop.run(OUTPUT.format(calls=calls)).json()
    for line, expected in zip(
        said,
        [
            "UserError: ./builder: which config? There are tiny, tiny-mt; name one, as in",
            "UserError: ./builder: which config? There are tiny, tiny-mt; name one, as in",
            "UserError: revision: datasets takes this for a dataset on the Hub, and it never "
            "reaches the recipe; the generator's is model_revision",
            "UserError: rowz: no such setting; did you mean rows?",
            "UserError: version: no setting of a run",
            "UserError: data_files: a config of ./builder has its recipe",
            "RecipeError: settings: respond.max_tokns: unknown key (did you mean max_tokens?)",
            "ValueError: BuilderConfig 'tinyy' not found. Available: ['tiny', 'tiny-mt']",
        ],
        strict=True,
    ):
        assert line.startswith(expected), line
        assert "\n" not in line
    assert workshop.generated() == 0


def test_settings_reach_the_rows_and_the_cache(workshop: Workshop) -> None:
    short, again, plain = workshop.run(
        """
def longest(**more):
    rows = load_dataset("./builder", "tiny", rows=4, **more)["train"]
    return max(row["response_tokens"] for row in rows)
print(json.dumps([longest(settings={"respond.max_tokens": 3}),
                  longest(settings={"respond": {"max_tokens": 3}}), longest()]))
"""
    ).json()
    assert short == again == 3
    assert plain > 3


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
