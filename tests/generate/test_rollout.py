"""How completions and journaled turns are read as messages."""

from __future__ import annotations

import pytest

from magpie_hub.engines.base import Completion
from magpie_hub.generate.rollout import (
    journaled_instruction,
    journaled_response,
    read_instruction,
    read_response,
    turn_record,
)
from tests.toy import ASSISTANT, ToyChat


@pytest.mark.parametrize(("more", "special"), [((), False), ((ASSISTANT,), True)])
def test_what_the_journal_gives_back_is_the_message_that_was_read(
    more: tuple[int, ...], special: bool
) -> None:
    chat = ToyChat()
    query = read_instruction(chat, 1, Completion((*b" Why? ", *more), "stop"))  # type: ignore[arg-type]
    done = Completion((*b" So. ", *more), "length")
    answer = read_response(chat, 1, done, query.text)  # type: ignore[arg-type]
    assert (query.special_token, answer.special_token) == (special, special)
    assert (answer.instruction, answer.finish_reason) == (query.text, "length")
    record = turn_record(7, 1, None, None, query, answer)
    assert journaled_instruction(chat, record) == query  # type: ignore[arg-type]
    assert journaled_response(chat, record) == answer  # type: ignore[arg-type]
