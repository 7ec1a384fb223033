"""One synthetic template for each shape that chat templates come in beyond the plain families.

Each is written in this house's own words; only the form is that of templates in the wild. Beside
it stands, literally, what has to come out: the prompts with thinking off and on, the tokens that
end a turn, the marks of a thought, and what a reader sees of a few completions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RowStatus = tuple[str, str | None]
"""What is left of a completion, and its fault."""


@dataclass(frozen=True)
class Shape:
    """A template and what is to be derived from it.

    Attributes:
        pre: Up to the first user words, BOS included.
        post: Between the user's words and an answer, thinking off.
        follow: Between an answer and the next user words.
        stops: What ends a user's turn.
        post_on: `post` with thinking on; None where thinking is not spoken of.
        answer_stops: What ends an answer with thinking on; `stops` by default.
        marks: What opens and what closes a thought.
        markers: Role headers, where they are not plain from the marks.
        system_pre: `pre` under the system prompt "Be brief."
        switch: The variable that is found to switch thinking off.
        switch_on: The one that is found to switch it on.
        off: Completions of `post` and what is left of them.
        on: Completions of `post_on` and what is left of them.
        user: Completions of `pre` and what is left of them.
        make: What the tokenizer is made of (`conftest.Family`).
        options: What the recipe says beside `thinking`.
    """

    name: str
    template: str
    pre: str
    post: str
    follow: str
    stops: tuple[str, ...]
    post_on: str | None = None
    answer_stops: tuple[str, ...] | None = None
    marks: tuple[str, str] | None = None
    markers: tuple[str, ...] | None = None
    system_pre: str | None = None
    switch: dict[str, Any] = field(default_factory=dict)
    switch_on: dict[str, Any] = field(default_factory=dict)
    off: dict[str, RowStatus] = field(default_factory=dict)
    on: dict[str, RowStatus] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)
    make: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


THINK = ("<think>", "</think>")
ML = ("<|im_start|>", "<|im_end|>")
ML_USER = "<|im_start|>user\n"
ML_POST = "<|im_end|>\n<|im_start|>assistant\n"
ML_FOLLOW = "<|im_end|>\n<|im_start|>user\n"


def turns(user: str, assistant: str, prompt: str, system: str = "") -> str:
    """A template by what it writes for each role, and for the generation prompt."""
    return (
        "{% for m in messages %}{% if m.role == 'system' %}"
        + system
        + "{% elif m.role == 'user' %}"
        f"{user}{{% else %}}{assistant}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


def only_with_thought(text: str) -> str:
    return "{% if m.reasoning_content is defined and m.reasoning_content %}" + text + "{% endif %}"


CHANNELS = Shape(
    "channels: the header of the answer is left to the model",
    template=turns(
        "<|start|>user<|message|>{{ m.content }}<|end|>",
        "{% if m.thinking is defined and loop.last %}<|start|>assistant<|channel|>analysis"
        "<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final<|message|>"
        "{{ m.content }}{% if loop.last and not add_generation_prompt %}<|return|>"
        "{% else %}<|end|>{% endif %}",
        "<|start|>assistant",
        "<|start|>developer<|message|>{{ m.content }}<|end|>",
    ),
    make={"special": ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>")},
    pre="<|start|>user<|message|>",
    post="<|end|><|start|>assistant<|channel|>final<|message|>",
    post_on="<|end|><|start|>assistant",
    follow="<|end|><|start|>user<|message|>",
    stops=("</s>", "<|end|>", "<|return|>"),
    answer_stops=("</s>", "<|return|>"),
    marks=(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    markers=("<|start|>assistant", "<|start|>user", "<|start|>developer"),
    off={
        "the sea": ("the sea", None),
        "<|channel|>analysis<|message|>I plan": (
            "<|channel|>analysis<|message|>I plan",
            "thinking",
        ),
    },
    on={
        "<|channel|>analysis<|message|>I plan<|end|><|start|>assistant<|channel|>final<|message|>"
        "the sea": ("the sea", None),
        "<|channel|>analysis<|message|>I plan<|end|><|start|>assistant<|channel|>final<|message|>"
        "the sea<|end|><|start|>user<|message|>What": ("the sea", None),
        "<|channel|>final<|message|>the sea": ("the sea", None),
        "<|channel|>analysis<|message|>I plan the": ("", "unfinished_thinking"),
        "<|channel|>analysis<|message|>I<|end|><|start|>assistant<|channel|>final<|message|>": (
            "",
            "empty",
        ),
    },
)

RESPONSE = Shape(
    "a response between marks of its own",
    template="{{ bos_token }}"
    + turns(
        "<|turn|><|user|>{{ m.content }}<|turn_end|>",
        "<|turn|><|bot|>"
        + only_with_thought("<|START_THINKING|>{{ m.reasoning_content }}<|END_THINKING|>")
        + "<|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|><|turn_end|>",
        "<|turn|><|bot|>{% if reasoning is defined and not reasoning %}<|START_THINKING|>"
        "<|END_THINKING|>{% endif %}",
        "<|turn|><|system|>{{ m.content }}<|turn_end|>",
    ),
    make={
        "special": (
            *("<|turn|>", "<|user|>", "<|bot|>", "<|system|>", "<|turn_end|>"),
            *("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        ),
        "bos": "<bos>",
        "adds_bos": True,
    },
    pre="<bos><|turn|><|user|>",
    post="<|turn_end|><|turn|><|bot|><|START_THINKING|><|END_THINKING|><|START_RESPONSE|>",
    post_on="<|turn_end|><|turn|><|bot|>",
    follow="<|END_RESPONSE|><|turn_end|><|turn|><|user|>",
    stops=("</s>", "<|turn_end|>", "<|END_RESPONSE|>"),
    marks=("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    switch={"reasoning": False},
    on={
        "<|START_THINKING|>I plan<|END_THINKING|><|START_RESPONSE|>the sea": ("the sea", None),
        "<|START_THINKING|>I plan<|END_THINKING|>\n<|START_RESPONSE|>the sea": ("the sea", None),
        "<|START_RESPONSE|>the sea": ("the sea", None),
        "<|START_THINKING|>I plan": ("", "unfinished_thinking"),
    },
)

EMPTY_BLOCK = Shape(
    "a finished answer holds an empty block that the generation prompt leaves out",
    template=turns(
        "<|im_user|>user<|im_middle|>{{ m.content }}<|im_end|>",
        "<|im_assistant|>assistant<|im_middle|><think>{{ m.reasoning_content or '' }}</think>"
        "{{ m.content }}<|im_end|>",
        "<|im_assistant|>assistant<|im_middle|>",
        "<|im_system|>system<|im_middle|>{{ m.content }}<|im_end|>",
    ),
    make={
        "special": (
            *("<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>", "<|im_end|>"),
        ),
        "plain": THINK,
    },
    pre="<|im_user|>user<|im_middle|>",
    post="<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>",
    post_on="<|im_end|><|im_assistant|>assistant<|im_middle|>",
    follow="<|im_end|><|im_user|>user<|im_middle|>",
    stops=("</s>", "<|im_end|>"),
    marks=THINK,
    on={
        "<think>I plan</think>the sea": ("the sea", None),
        "<think>I plan": ("", "unfinished_thinking"),
        "<think>I plan</think>": ("", "empty"),
        "the sea": ("the sea", None),
        "the sea</think>the sky": ("the sea</think>the sky", "thinking"),
    },
)

SECTIONS = Shape(
    "the mark that ends a thought is the one that ends every turn",
    template=turns(
        "<|begin|>user<|content|>{{ m.content }}<|end|>",
        only_with_thought("<|begin|>assistant<|think|>{{ m.reasoning_content }}<|end|>")
        + "<|begin|>assistant<|content|>{{ m.content }}<|end|>",
        "<|begin|>assistant",
        "<|begin|>system<|content|>{{ m.content }}<|end|>",
    ),
    make={"special": ("<|begin|>", "<|content|>", "<|think|>", "<|end|>"), "eos": "<|flush|>"},
    pre="<|begin|>user<|content|>",
    post="<|end|><|begin|>assistant<|content|>",
    post_on="<|end|><|begin|>assistant",
    follow="<|end|><|begin|>user<|content|>",
    stops=("<|flush|>", "<|end|>"),
    answer_stops=("<|flush|>",),
    marks=("<|think|>", "<|end|><|begin|>assistant<|content|>"),
    off={"<|think|>I plan": ("<|think|>I plan", "thinking")},
    on={
        "<|think|>I plan<|end|><|begin|>assistant<|content|>the sea": ("the sea", None),
        # Nothing ends the answer but the end of the text: what runs on is cut when it is read.
        "<|think|>I plan<|end|><|begin|>assistant<|content|>the sea<|end|><|begin|>user<|content|>"
        "What": ("the sea", None),
        "<|content|>the sea<|end|><|begin|>user": ("the sea", None),
    },
)

RECIPIENT = Shape(
    "the answer's recipient is left to the model, in plain words",
    template=turns(
        "<|from|>user\n<|recipient|>all\n<|content|>{{ m.content }}\n",
        "<|from|>assistant\n<|recipient|>all\n<|content|>{{ m.content }}<|stop|>\n",
        "<|from|>assistant\n<|recipient|>",
        "<|from|>system\n<|recipient|>all\n<|content|>{{ m.content }}\n",
    ),
    make={"special": ("<|from|>", "<|recipient|>", "<|content|>", "<|stop|>")},
    pre="<|from|>user\n<|recipient|>all\n<|content|>",
    post="\n<|from|>assistant\n<|recipient|>all\n<|content|>",
    follow="<|stop|>\n<|from|>user\n<|recipient|>all\n<|content|>",
    stops=("</s>", "<|from|>", "<|stop|>"),
)

ARROWS = Shape(
    "the answer's recipient is left to the model behind a mark of plain text",
    template=turns(
        "<|header|>user<|end_header|>\n\n{{ m.content }}<|eot|>",
        "<|header|>assistant<|end_header|>\n\n>>>all\n{{ m.content }}<|eot|>",
        "<|header|>assistant<|end_header|>\n\n>>>",
        "<|header|>system<|end_header|>\n\n{{ m.content }}<|eot|>",
    ),
    make={"special": ("<|header|>", "<|end_header|>", "<|eot|>")},
    pre="<|header|>user<|end_header|>\n\n",
    post="<|eot|><|header|>assistant<|end_header|>\n\n>>>all\n",
    follow="<|eot|><|header|>user<|end_header|>\n\n",
    stops=("</s>", "<|eot|>"),
    markers=("<|header|>assistant", "<|header|>user", "<|header|>system"),
)

NO_PROMPT = Shape(
    "add_generation_prompt is ignored",
    template="{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}",
    make={"special": ML},
    pre=ML_USER,
    post=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    markers=("<|im_start|>assistant", "<|im_start|>user", "<|im_start|>system"),
)

NOTHINK = Shape(
    "a word behind the user's words says not to think",
    template=turns(
        "<|user|>\n{{ m.content }}"
        "{{ '/nothink' if enable_thinking is defined and not enable_thinking else '' }}",
        "<|assistant|>\n<think>{{ m.reasoning_content or '' }}</think>\n{{ m.content }}",
        "<|assistant|>{{ '\n<think></think>' if enable_thinking is defined and not enable_thinking "
        "else '' }}",
        "<|system|>\n{{ m.content }}",
    ),
    make={"special": ("<|user|>", "<|assistant|>", "<|system|>"), "plain": THINK},
    pre="<|user|>\n",
    post="/nothink<|assistant|>\n<think></think>",
    post_on="<|assistant|>",
    follow="<|user|>\n",
    stops=("</s>", "<|assistant|>", "<|user|>"),
    marks=THINK,
    markers=("<|assistant|>", "<|user|>", "<|system|>"),
    user={"the sea/nothink": "the sea", "the sea": "the sea", "a /nothink b": "a /nothink b"},
    off={"<think>I plan</think>the sea": ("<think>I plan</think>the sea", "thinking")},
    on={"\n<think>I plan</think>\nthe sea": ("the sea", None)},
)

PLAIN_THINK = Shape(
    "headers of plain text, the assistant's with a thought begun",
    template=turns(
        "User: {{ m.content }}\n\n",
        "Assistant: {{ m.content.split('</think>')[-1] }}</s>\n\n",
        "Assistant: <think>\n",
        "{{ m.content }}\n\n",
    ),
    make={"plain": THINK},
    pre="User:",
    post="\n\nAssistant: <think>\n\n</think>\n\n",
    post_on="\n\nAssistant: <think>\n",
    follow="</s>\n\nUser:",
    stops=("</s>",),
    marks=THINK,
    markers=("Assistant:", "User:"),
    user={
        " the sea\n\nAssistant: <think>": "the sea",
        " the sea\n\nAssistant: I think": "the sea",
        " the sea": "the sea",
    },
    on={"I plan\n</think>\n\nthe sea": ("the sea", None), "I plan": ("", "unfinished_thinking")},
)

PLAIN_END = Shape(
    "a header of plain text with the end of text behind it",
    template=turns(
        "User: {{ m.content }}\n\n", "Assistant: </s>{{ m.content }}\n\n", "Assistant: </s>"
    ),
    pre="User:",
    post="\n\nAssistant: </s>",
    follow="\n\nUser:",
    stops=("</s>",),
    markers=("Assistant:", "User:"),
    user={" the sea\n\nAssistant:": "the sea", " the sea": "the sea"},
)

LATE_BOS = Shape(
    "something stands before the template's own BOS",
    template="\n{{ bos_token }}"
    + turns(
        "[INST]{{ m.content }}[/INST]", "{{ m.content }}</s>", "", "[SYS]{{ m.content }}[/SYS]"
    ),
    make={
        "special": ("[INST]", "[/INST]", "[SYS]", "[/SYS]"),
        "bos": "<bos>",
        "adds_bos": True,
    },
    pre="\n<bos>[INST]",
    post="[/INST]",
    follow="</s>[INST]",
    stops=("</s>", "[/INST]"),
)

NAMED_BOS = Shape(
    "a word stands before the template's own BOS",
    template="format 3\n{{ bos_token }}"
    + turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n",
    ),
    make={"special": ML, "bos": "<bos>", "adds_bos": True},
    pre="format 3\n<bos>" + ML_USER,
    post=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
)

BUDGET = Shape(
    "a budget of 0 switches thinking off",
    template="{% if thinking_budget is defined and thinking_budget == 0 %}<|im_start|>system\n"
    "Answer at once.<|im_end|>\n{% endif %}"
    + turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n"
        + only_with_thought("<seed:think>{{ m.reasoning_content }}</seed:think>\n")
        + "{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{% if thinking_budget is defined and thinking_budget == 0 %}"
        "<seed:think><seed:reflect>{% endif %}",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": (*ML, "<seed:think>", "</seed:think>", "<seed:reflect>", "</seed:reflect>")},
    pre="<|im_start|>system\nAnswer at once.<|im_end|>\n" + ML_USER,
    post=ML_POST + "<seed:think><seed:reflect>\n\n</seed:reflect></seed:think>\n\n",
    post_on=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=("<seed:think>", "</seed:think>"),
    switch={"thinking_budget": 0},
    off={"<seed:think>I plan": ("<seed:think>I plan", "thinking")},
    on={
        "<seed:think>I plan</seed:think>\nthe sea": ("the sea", None),
        "<seed:think>I plan</seed:think>\nthe sea <seed:think>": (
            "the sea <seed:think>",
            "thinking",
        ),
    },
)

MODE = Shape(
    "a mode, named by a word, switches thinking off",
    template=turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n"
        + only_with_thought("<mm:think>\n{{ m.reasoning_content }}\n</mm:think>\n\n")
        + "{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{% if thinking_mode is defined and thinking_mode == 'disabled' %}"
        "{% else %}<mm:think>\n{% endif %}",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": ML, "plain": ("<mm:think>", "</mm:think>")},
    pre=ML_USER,
    post=ML_POST,
    post_on=ML_POST + "<mm:think>\n",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=("<mm:think>", "</mm:think>"),
    switch={"thinking_mode": "disabled"},
    off={"I plan</mm:think>the sea": ("I plan</mm:think>the sea", "thinking")},
    on={"I plan\n</mm:think>\n\nthe sea": ("the sea", None), "": ("", "unfinished_thinking")},
)

UNNAMED_MODE = Shape(
    "any other word than one switches thinking off",
    template=turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n",
        "<|im_start|>assistant\n{% if thinking_mode | default('enabled') == 'enabled' %}<think>"
        "{% else %}<think></think>{% endif %}",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": ML, "plain": THINK},
    pre=ML_USER,
    post=ML_POST + "<think></think>",
    post_on=ML_POST + "<think>",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=THINK,
    switch={"thinking_mode": "disabled"},
)

ASKED = Shape(
    "thinking is off until a variable asks for it",
    template=turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n"
        + only_with_thought("<think>{{ m.reasoning_content }}</think>")
        + "{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{% if reasoning is defined and reasoning %}<think>{% endif %}",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": ML, "plain": THINK},
    pre=ML_USER,
    post=ML_POST,
    post_on=ML_POST + "<think>",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=THINK,
    switch_on={"reasoning": True},
    on={"I plan</think>the sea": ("the sea", None), "I plan": ("", "unfinished_thinking")},
)

SKIP = Shape(
    "a thought is a turn of its own, and skipping it a variable",
    template=turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        only_with_thought("<|im_start|>assistant/think\n{{ m.reasoning_content }}<|im_end|>\n")
        + "<|im_start|>assistant\n{{ m.content }}<|im_end|>"
        "{% if loop.last %}<|endofturn|>{% endif %}{{ '\n' }}",
        "<|im_start|>assistant{% if force_reasoning is defined and force_reasoning %}/think"
        "{{ '\n' }}{% elif skip_reasoning is defined and skip_reasoning %}{{ '\n' }}{% endif %}",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": (*ML, "<|endofturn|>")},
    pre=ML_USER,
    post=ML_POST,
    post_on="<|im_end|>\n<|im_start|>assistant/think\n",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    answer_stops=("</s>", "<|endofturn|>"),
    marks=("/think", "<|im_end|>\n<|im_start|>assistant"),
    switch={"skip_reasoning": True},
    switch_on={"force_reasoning": True},
    on={
        "I plan<|im_end|>\n<|im_start|>assistant\nthe sea<|im_end|>": ("the sea", None),
        "I plan": ("", "unfinished_thinking"),
    },
)

ELEMENTS = Shape(
    "elements with marks around their names",
    template="{% if thinking is not defined %}{% set thinking = true %}{% endif %}"
    + turns(
        "<|open|>message user<|sep|>{{ m.content }}<|close|>message<|sep|><|end_of_msg|>",
        "<|open|>message assistant<|sep|>{% if thinking %}<|open|>think<|sep|>"
        "{{ m.reasoning_content or '' }}<|close|>think<|sep|>{% endif %}<|open|>response<|sep|>"
        "{{ m.content }}<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>",
        "<|open|>message assistant<|sep|><|open|>{{ 'think' if thinking else 'response' }}<|sep|>",
        "<|open|>message system<|sep|>{{ m.content }}<|close|>message<|sep|><|end_of_msg|>",
    ),
    make={"special": ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")},
    pre="<|open|>message user<|sep|>",
    post="<|close|>message<|sep|><|end_of_msg|><|open|>message assistant<|sep|>"
    "<|open|>response<|sep|>",
    post_on="<|close|>message<|sep|><|end_of_msg|><|open|>message assistant<|sep|>"
    "<|open|>think<|sep|>",
    follow="<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>"
    "<|open|>message user<|sep|>",
    stops=("</s>", "<|close|>"),
    answer_stops=("</s>", "<|end_of_msg|>"),
    marks=("<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>"),
    on={
        "I plan<|close|>think<|sep|><|open|>response<|sep|>the sea<|close|>response<|sep|>"
        "<|close|>message<|sep|>": ("the sea", None),
        "I plan": ("", "unfinished_thinking"),
        "I plan<|close|>think<|sep|><|open|>response<|sep|><|close|>response<|sep|>": ("", "empty"),
    },
)

LONE_CHANNEL = Shape(
    "a channel that the prompt closes, and that answers are cut at",
    template="{{ bos_token }}{% macro said(text) %}{% set ns = namespace(out='') %}"
    "{% for part in text.split('<channel|>') %}"
    "{% set ns.out = ns.out + part.split('<|channel>')[0] %}{% endfor %}{{ ns.out | trim }}"
    "{% endmacro %}{% if enable_thinking is defined and enable_thinking %}<|turn>system\n<|think|>"
    "<turn|>\n{% endif %}"
    + turns(
        "<|turn>user\n{{ m.content }}<turn|>\n",
        "<|turn>model\n{{ said(m.content) }}<turn|>\n",
        "<|turn>model\n{% if not enable_thinking | default(false) %}<|channel>thought\n<channel|>"
        "{% endif %}",
        "<|turn>system\n{{ m.content }}<turn|>\n",
    ),
    make={
        "special": ("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"),
        "bos": "<bos>",
        "eos": "<eos>",
        "adds_bos": True,
    },
    pre="<bos><|turn>user\n",
    post="<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
    post_on="<turn|>\n<|turn>model\n",
    follow="<turn|>\n<|turn>user\n",
    stops=("<eos>", "<turn|>"),
    marks=("<|channel>thought", "<channel|>"),
    on={
        "<|channel>thought\nI plan<channel|>the sea": ("the sea", None),
        "<|channel>thought\nI plan": ("", "unfinished_thinking"),
    },
)

LONE_CLOSE = Shape(
    "a prompt that closes a block it never opened",
    template=turns(
        "<|User|>{{ m.content }}",
        "<|Assistant|></think>{{ m.content.split('</think>')[-1] }}<|eos|>",
        "<|Assistant|>{{ '<think>' if thinking is defined and thinking else '</think>' }}",
        "{{ m.content }}",
    ),
    make={"special": ("<|User|>", "<|Assistant|>"), "plain": THINK, "eos": "<|eos|>"},
    pre="<|User|>",
    post="<|Assistant|></think>",
    post_on="<|Assistant|><think>",
    follow="<|eos|><|User|>",
    stops=("<|eos|>", "<|Assistant|>"),
    marks=THINK,
    off={"I plan</think>the sea": ("I plan</think>the sea", "thinking")},
    on={"I plan</think>the sea": ("the sea", None)},
)

SPECIAL_THINK = Shape(
    "the marks of a thought are special tokens, and another's stand in the system prompt",
    template="<|im_start|>system\nNever write </think> in an answer.<|im_end|>\n"
    + turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        "{% if part.type == 'thinking' %}[THINK]{{ part.thinking }}[/THINK]{% else %}"
        "{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": (*ML, "[THINK]", "[/THINK]")},
    pre="<|im_start|>system\nNever write </think> in an answer.<|im_end|>\n" + ML_USER,
    post=ML_POST,
    post_on=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=("[THINK]", "[/THINK]"),
    off={
        "[THINK]I plan[/THINK]the sea": ("[THINK]I plan[/THINK]the sea", "thinking"),
        "the tag </think>": ("the tag </think>", None),
    },
    on={
        "[THINK]I plan[/THINK]the sea": ("the sea", None),
        "[THINK]I plan[/THINK]the [THINK]sea[/THINK]": ("the [THINK]sea[/THINK]", "thinking"),
    },
)

PARTS = Shape(
    "a message's parts are walked, and its plain text is dropped",
    template="<|im_start|>"
    "{% for m in messages %}{{ m.role | capitalize }}:"
    "{% if m.content[0]['type'] == 'image' %}{% else %} {% endif %}{% for part in m.content %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}",
    make={"special": ("<|im_start|>", "<end_of_utterance>")},
    pre="<|im_start|>User:",
    system_pre="<|im_start|>System: Be brief.<end_of_utterance>\nUser:",
    post="<end_of_utterance>\nAssistant:",
    follow="<end_of_utterance>\nUser:",
    stops=("</s>", "<end_of_utterance>"),
)

MIXED_PARTS = Shape(
    "the user's parts are walked, the others' words are text",
    template="{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'user' %}"
    "{% for part in m.content %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    make={"special": ML},
    pre=ML_USER,
    post=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    system_pre="<|im_start|>system\nBe brief.<|im_end|>\n" + ML_USER,
)

SELECTED_PARTS = Shape(
    "only a message's text parts are taken",
    template="{{ bos_token }}"
    "{% for m in messages %}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}"
    "{% for part in m.content | selectattr('type', 'equalto', 'text') %}{{ part.text }}"
    "{% endfor %}{{ ' ' if m.role == 'user' else eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    make={"bos": "<s>", "adds_bos": True},
    pre="<s>USER:",
    post=" ASSISTANT:",
    follow="</s>USER:",
    stops=("</s>",),
)

BOS_IS_USER = Shape(
    "the BOS is the mark of the user",
    template=turns(
        "<|startoftext|>{{ m.content }}<|extra_0|>",
        "{{ m.content }}<|eos|>",
        "",
        "<|startoftext|>{{ m.content }}<|extra_4|>",
    ),
    make={
        "special": ("<|extra_0|>", "<|extra_4|>"),
        "bos": "<|startoftext|>",
        "eos": "<|eos|>",
        "adds_bos": True,
    },
    pre="<|startoftext|>",
    post="<|extra_0|>",
    follow="<|eos|><|startoftext|>",
    stops=("<|eos|>", "<|extra_0|>"),
)

STEPS = Shape(
    "a thought begins in plain words and ends at a mark",
    template=turns(
        "<|begin_user|>\n{{ m.content }}\n",
        "<|begin_assistant|>\n"
        + only_with_thought("Here are my steps:\n{{ m.reasoning_content }}\n[BEGIN ANSWER]\n")
        + "{{ m.content }}\n<|end|>\n",
        "<|begin_assistant|>\nHere are my steps:\n",
        "<|begin_system|>\n{{ m.content }}\n",
    ),
    make={"special": ("<|begin_user|>", "<|begin_assistant|>", "<|begin_system|>", "<|end|>")},
    pre="<|begin_user|>\n",
    post="\n<|begin_assistant|>\nHere are my steps:\n\n[BEGIN ANSWER]\n",
    post_on="\n<|begin_assistant|>\nHere are my steps:\n",
    follow="\n<|end|>\n<|begin_user|>\n",
    stops=("</s>", "<|begin_assistant|>", "<|end|>"),
    marks=("Here are my steps:", "[BEGIN ANSWER]"),
    on={"I plan\n[BEGIN ANSWER]\nthe sea": ("the sea", None)},
)

CUT_STEPS = Shape(
    "a thought begins in plain words, and answers are cut where it ends",
    template=turns(
        "<|begin_user|>\n{{ m.content }}\n",
        "<|begin_assistant|>\n{{ m.content.split('[BEGIN ANSWER]')[-1] | trim }}\n<|end|>\n",
        "<|begin_assistant|>\nHere are my steps:\n",
        "<|begin_system|>\n{{ m.content }}\n",
    ),
    make=STEPS.make,
    pre="<|begin_user|>\n",
    post="\n<|begin_assistant|>\nHere are my steps:\n\n[BEGIN ANSWER]\n\n",
    post_on="\n<|begin_assistant|>\nHere are my steps:\n",
    follow="\n<|end|>\n<|begin_user|>\n",
    stops=("</s>", "<|begin_assistant|>", "<|end|>"),
    marks=("Here are my steps:", "[BEGIN ANSWER]"),
    on={"I plan\n[BEGIN ANSWER]\nthe sea": ("the sea", None)},
)

TOOLS = Shape(
    "a list of tools is walked whether there is one or not",
    template="{% for tool in tools %}{{ tool }}{% endfor %}"
    + turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": ML},
    pre=ML_USER,
    post=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
)

VARIABLES = Shape(
    "the template is told what the recipe says",
    template=turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant {{ style | default('plain') }} {{ limits.words }}\n",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
    ),
    make={"special": ML},
    options={"template_kwargs": {"style": "brief", "limits": {"words": 5}}},
    pre=ML_USER,
    post="<|im_end|>\n<|im_start|>assistant brief 5\n",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
)

OWN_SWITCH = Shape(
    "the recipe's variable stands above the switch that would be found",
    template=MODE.template,
    make=MODE.make,
    options={"template_kwargs": {"thinking_mode": "deep"}},
    pre=ML_USER,
    post=ML_POST + "<mm:think>\n\n</mm:think>\n\n",
    post_on=ML_POST + "<mm:think>\n",
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    marks=("<mm:think>", "</mm:think>"),
)

NO_MARKS = Shape(
    "a template that knows of no thinking",
    template="{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    make={"special": ML},
    pre=ML_USER,
    post=ML_POST,
    follow=ML_FOLLOW,
    stops=("</s>", "<|im_end|>"),
    off={
        "<think>I plan</think>the sea": ("<think>I plan</think>the sea", "thinking"),
        "the tag </think> ends it": ("the tag </think> ends it", None),
    },
)

SHAPES = [value for value in list(globals().values()) if isinstance(value, Shape)]
