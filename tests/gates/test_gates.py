"""The gates together: what the simple ones reject, what all of them promise, how they are built."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import RecipeError
from magpie_hub.gates.base import Message
from magpie_hub.gates.colon import Colon
from magpie_hub.gates.cut_off import CutOff
from magpie_hub.gates.empty import Empty
from magpie_hub.gates.leak import Leak
from magpie_hub.gates.registry import GATES, OFF, build_gates, first_reason

from .messages import assistant, user
from .test_repetition import ESSAY

MARKERS = ("<|im_start|>assistant", "[/INST]", "ASSISTANT:", "### Response:\n", "assistant")

QUERIES = [
    "What is the difference between a list and a tuple in Python?",
    "Can you help me write a cover letter for a marketing position?",
    "I'm planning a 10-day trip to Japan in April. What should I not miss?",
    "Write a short story about a robot who learns to paint.",
    "How do I center a div with CSS?",
    "Solve the equation 3x^2 - 12x + 9 = 0 and show your work.",
    "What are the health benefits of green tea?",
    "Explain quantum entanglement to a ten-year-old.",
    "My cat keeps scratching the couch. How can I stop that without hurting her?",
    "Translate the following sentence into French: 'The library closes at nine.'",
    "Here is a function:\n\ndef add(a, b):\n    return a - b\n\nWhy does add(2, 2) return 0?",
    "Give me five ideas for a science fair project about plants.",
    "What's the best way to learn a new language as an adult?",
    "Act as a job interviewer and ask me questions for a data analyst role.",
    "Summarize the plot of Romeo and Juliet in three sentences.",
    "How many ways are there to arrange the letters of the word MISSISSIPPI?",
    "I have 200 g of flour, two eggs and some milk. What can I bake?",
    "Why is the sky blue, and why are sunsets red?",
    "Create a workout plan for beginners, three days a week.",
    "Write a SQL query that returns the second-highest salary from the table employees.",
    "What were the main causes of World War I?",
    "Compare the economic systems of capitalism and socialism.",
    "Proofread this sentence: 'Their going too the store yesterday.'",
    "What does the idiom 'to bite the bullet' mean, and where does it come from?",
    "I feel overwhelmed at work lately. Any advice?",
    "Suggest a name for a bakery that sells only gluten-free bread.",
    "Given the array [3, 1, 2], write a C++ function that sorts it in place with quicksort.",
    "How does a vaccine train the immune system?",
    "Write a limerick about a programmer who never sleeps.",
    "Is it legal to record a phone call in California?",
    "What is the probability of rolling at least one six in four throws of a die?",
    "Convert 72 degrees Fahrenheit to Celsius.",
    "Explain the difference between TCP and UDP with an analogy.",
    "Draft an email to my landlord about the broken heating. Keep it polite, but firm.",
    "Who wrote 'One Hundred Years of Solitude', and what is it about?",
    "Design a database schema for a library: books, authors, members, and loans.",
    "What should I consider before adopting a dog?",
    "Prove that the square root of 2 is irrational.",
    "Brainstorm ten taglines for a coffee brand aimed at students.",
    "Which of these is a prime number?\n\nA) 21\nB) 29\nC) 33\nD) 51",
]

texts = st.text(st.characters() | st.sampled_from("ab \n:?|`*#答\ufffd\ud800\ue000"), max_size=400)
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    turn=st.integers(1, 4),
    text=texts | texts.map(lambda text: text * 7),
    ids=st.lists(st.integers(0, 50), max_size=20).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "repetition"]),
    special_token=st.booleans(),
    markers=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    instruction=texts,
)
# Every gate that there is, those that are off by default among them.
EVERY = build_gates(
    dict.fromkeys(OFF, True) | {"length": {"min_words": 3}, "language": {"allow": ["en"]}}
)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t ", "...", "---", "?!", "“”", "***", "\u200b\u200b", "____"]
)
def test_a_text_without_words_is_empty(text: str) -> None:
    assert Empty()(user(text)) == "empty"
    assert Empty()(assistant(text)) == "empty"


@pytest.mark.parametrize("text", ["a", "7", "是", "Ок.", "نعم", "👍", "- x", "हाँ", "(1)"])
def test_the_least_word_is_not_empty(text: str) -> None:
    assert Empty()(user(text)) is None


def test_the_token_limit_cuts_off() -> None:
    assert CutOff()(user("Tell me about the", finish_reason="length")) == "cut_off"
    assert CutOff()(assistant("It is", finish_reason="length")) == "cut_off"
    assert CutOff()(user("Tell me about the sea.", finish_reason="stop")) is None


@pytest.mark.parametrize("text", ["Translate:", "Sort these:  ", "请翻译：", "Do it:\n"])
def test_a_trailing_colon_is_rejected(text: str) -> None:
    assert Colon()(user(text)) == "colon"


@pytest.mark.parametrize("text", ["Translate: hello", "What is 4:3?", ":)", "At 10:30", "Why ':'?"])
def test_a_colon_elsewhere_passes(text: str) -> None:
    assert Colon()(user(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Hi<|im_start|>assistant\nHello",
        "Hi [/INST] Hello",
        "Hi ASSISTANT: hello",
        "Hi\n### Response: hello",
        "### Response:",
    ],
)
def test_a_role_header_in_the_words_is_a_leak(text: str) -> None:
    assert Leak()(user(text, markers=MARKERS)) == "leak:marker"
    assert Leak()(assistant(text, markers=MARKERS)) == "leak:marker"


@pytest.mark.parametrize(
    "text",
    [
        "What does a teaching assistant do?",
        "assistant",
        "Assistant: is it capitalised?",
        "Explain <|im_start|> in ChatML.",
        "Use [INST] tags.",
        "### Responses",
        "response",
        "The user asked the assistant a question.",
    ],
)
def test_plain_words_and_other_headers_are_no_leak(text: str) -> None:
    assert Leak()(user(text, markers=MARKERS)) is None


def test_a_special_token_is_a_leak() -> None:
    assert Leak()(user("Hi", special_token=True)) == "leak:special_token"
    assert Leak()(user("Hi")) is None


@pytest.mark.parametrize("text", QUERIES)
def test_real_looking_queries_pass_every_default_gate(text: str) -> None:
    assert first_reason(build_gates().instruction, user(text, markers=MARKERS)) is None


@pytest.mark.parametrize("text", [ESSAY, "Yes.", "B", "42", "```python\nprint(1)\n```"])
def test_ordinary_responses_pass_every_default_gate(text: str) -> None:
    assert first_reason(build_gates().response, assistant(text, markers=MARKERS)) is None


@settings(max_examples=300, deadline=None)
@given(messages)
def test_no_gate_raises_and_every_gate_is_pure(message: Message) -> None:
    for gate in {*EVERY.instruction, *EVERY.response}:
        reason = gate(message)
        assert reason is None or reason == gate.name or reason.startswith(f"{gate.name}:")
        assert gate(message) == reason


@settings(max_examples=100, deadline=None)
@given(messages, st.randoms())
def test_the_order_of_the_gates_changes_the_reason_and_never_the_verdict(message, random) -> None:  # type: ignore[no-untyped-def]
    gates = list(build_gates().instruction)
    before = first_reason(tuple(gates), message)
    random.shuffle(gates)
    assert (first_reason(tuple(gates), message) is None) == (before is None)


def test_no_room_for_a_word_is_cut_off_and_not_empty() -> None:
    for said in (user("", finish_reason="length"), assistant("", finish_reason="length")):
        gates = build_gates().instruction if said.role == "user" else build_gates().response
        assert first_reason(gates, said) == "cut_off"
        # A row without words never passes, whatever a recipe switches off.
        gates = build_gates({"cut_off": False})[said.role == "assistant"]
        assert first_reason(gates, said) == "empty"


def test_what_is_a_matter_of_taste_is_off_until_a_recipe_asks_for_it() -> None:
    gates = build_gates()
    on = {gate.name for side in gates for gate in side}
    assert set(GATES) - on == {*OFF, "length", "language"}
    asked = build_gates(dict.fromkeys(OFF, True))
    assert {gate.name for side in asked for gate in side} == on | OFF
    assert {gate.name for gate in gates.response} == {
        "empty",
        "repetition",
        "cut_off",
        "leak",
        "garbage",
        "speaker",
        "foreign_opening",
        "echo",
        "other_language",
        "repeated_items",
        "broken_code",
    }


def test_a_recipe_switches_gates_off_and_sets_parameters() -> None:
    gates = build_gates({"colon": False, "empty": True, "garbage": {"max_scripts": 5}})
    assert "colon" not in {gate.name for gate in gates.instruction}
    noise = user("hello привет 안녕 שלום مرحبا")
    assert first_reason(gates.instruction, noise) is None
    assert first_reason(build_gates().instruction, noise) == "garbage:scripts"
    assert build_gates(dict.fromkeys(GATES, False)) == ((), ())


def test_equal_parameters_make_equal_gates() -> None:
    assert build_gates({"repetition": {"min_words": 50}}) == build_gates()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"colour": True}, "no gate is called 'colour'; there are repetition, cut_off"),
        ({"garbage": {"scripts": 2}}, "no parameter is called 'scripts'; it has min_chars"),
        ({"colon": {"strict": True}}, "no parameter is called 'strict'; it has none"),
        ({"colon": "yes"}, "gates.colon: true, false or its parameters, not 'yes'"),
        (
            {"garbage": {"min_word_share": 1.5}},
            "min_word_share must be a number from 0 to 1, not 1.5",
        ),
        ({"garbage": {"max_scripts": True}}, "max_scripts must be a whole number"),
        ({"repetition": {"min_words": 2.5}}, "min_words must be a whole number"),
        ({"repetition": {"max_top_4gram": "lots"}}, "max_top_4gram must be a number"),
        ({"length": True}, "gates.length: min_words must be given"),
        ({"length": {"min_words": 9, "max_words": 3}}, "max_words must be a whole number from 9"),
        ({"length": {"min_words": 9, "roles": ["system"]}}, "roles knows user and assistant"),
        ({"placeholder": {"roles": []}}, "roles knows user and assistant, not ()"),
        ({"speaker": {"names": [7]}}, "gate speaker: names must be a list of names, not (7,)"),
        ({"echo": {"min_words": 1}}, "gate echo: min_words must be a whole number from 4"),
        ({"system_prompt": {"any_role": 1}}, "any_role must be true or false, not 1"),
        ({"small_talk": {"first_person": 1}}, "first_person must be true or false, not 1"),
        ({"urls": {"most": 0}}, "gate urls: most must be a whole number from 1"),
        ({"repeated_items": {"similar": 2}}, "similar must be a number from 0 to 1, not 2"),
    ],
)
def test_a_mistake_in_the_recipe_is_one_line(config: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_gates(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "piece",
    ["\n", " ", ".", ". ", "[", "{name", '"', "- a\n", "```\n", "```python\n(", "http://", "a/",
     "and ", "i am ", "as a ", "you are the ", "User: \n", "please now so ", "**", "(", "अ ", "答"],
)  # fmt: skip
def test_a_text_of_one_piece_a_thousand_times_is_read_in_no_time(piece: str) -> None:
    text = (piece * 8_000)[:8_000]
    for role, gates in (("user", EVERY.instruction), ("assistant", EVERY.response)):
        asked = text if role == "assistant" else ""
        for gate in gates:
            begun = time.process_time()
            gate(user(text, role=role, instruction=asked))
            assert time.process_time() - begun < 1, gate.name


def test_the_length_gate_counts_words_and_characters_of_chinese() -> None:
    length = build_gates({"length": {"min_words": 3, "max_words": 6}}).response[-1]
    assert length(assistant("Two words.")) == "length:short"
    assert length(assistant("Now these are four.")) is None
    assert length(assistant("These are too many words for it.")) == "length:long"
    assert length(assistant("四个汉字")) is None


def test_a_recipe_may_refuse_every_role_that_an_instruction_hands_out() -> None:
    pirate = user("You are a pirate. Where is your treasure?")
    (gate,) = [g for g in build_gates({"system_prompt": True}).instruction if "prompt" in g.name]
    assert gate(pirate) is None
    every = build_gates({"system_prompt": {"any_role": True}})
    assert first_reason(every.instruction, pirate) == "system_prompt"
    assert first_reason(every.instruction, user("You are right. What comes next?")) is None


def test_a_recipe_may_want_answers_in_which_nobody_says_i() -> None:
    argued = assistant("I'd argue that sleep is the best medicine.", instruction="What helps?")
    assert first_reason(build_gates({"small_talk": True}).response, argued) is None
    strict = build_gates({"small_talk": {"first_person": True}}).response
    assert first_reason(strict, argued) == "small_talk"
    quoted = assistant('Say "I am sorry" and mean it.', instruction="How does one apologise?")
    assert first_reason(strict, quoted) is None


def test_a_recipe_names_its_assistant() -> None:
    gates = build_gates({"speaker": {"names": ["Ada"]}})
    assert first_reason(gates.response, assistant("Ada: It is noon.")) == "speaker:label"
    assert first_reason(build_gates().response, assistant("Ada: It is noon.")) is None


def test_a_long_response_costs_well_under_a_millisecond() -> None:
    response = assistant(
        (ESSAY * 1)[:480]
        + "\n\n"
        + "".join(
            f"{i}. Point {i} is about topic {chr(97 + i)}{i * 37 % 101} for reason {i * i}.\n"
            for i in range(26)
        ),
        ids=tuple(range(10, 450)),
        markers=MARKERS,
    )
    gates = build_gates().response
    best = min(_timed(gates, response) for _ in range(50))
    # A generous bound for a busy machine; the measured time is a fifth of it.
    assert best < 2.5e-3


def _timed(gates: tuple[object, ...], message: Message) -> float:
    start = time.perf_counter()
    first_reason(gates, message)  # type: ignore[arg-type]
    return time.perf_counter() - start
