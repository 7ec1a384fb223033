"""Instructions that hold their own answer, and instructions that only look like it."""

from __future__ import annotations

import pytest

from magpie_hub.gates.answer_inside import AnswerInside

from .messages import user

HOLDS_ITS_ANSWER = [
    "What is the capital of France?\nAnswer: Paris",
    "What is the capital of France? Answer: Paris",
    "What is 12 * 12?\n\n**Answer:** 144",
    "Which planet is the largest?\n\nThe answer is Jupiter.",
    "Solve for x: 2x + 3 = 7\n\nSolution:\nSubtract 3 from both sides to get 2x = 4.",
    "Write a haiku about rain.\n\nResponse: Soft drops on the roof",
    "How can I sleep better?\n\nHere are some tips for better sleep:\n1. Keep a schedule.",
    "How do I boil an egg?\n\nHere's a simple way to do it:",
    "Can you write a poem about the sea?\n\nSure, here is one: The waves",
    "Give me a recipe for bread.\n\nCertainly! Mix flour and water.",
    "Find the derivative of x^2.\n\n## Step 1: Apply the power rule.",
    "## Step 1: Understand the problem\nWe are asked to find the area.",
    "Sure, here's an example of a Python function that adds two numbers.",
    "As an AI language model, I do not have feelings. What would you like to know?",
    "Q: What is the boiling point of water?\nA: 100 degrees Celsius.",
    "法国的首都是哪里？\n答案：巴黎",
    "¿Cuál es la capital de Francia?\nRespuesta: París",
    "Quelle est la capitale de la France ?\nRéponse : Paris",
    "Was ist die Hauptstadt von Frankreich?\nAntwort: Paris",
]

ASKS = [
    "What is the answer: 4 or 5?",
    "Explain the term 'solution' in chemistry.",
    "What does 'Answer:' mean at the end of a prompt?",
    "Here is my code:\n\ndef f(x):\n    return x\n\nWhy does it not print?",
    "I get an error.\nHere is the full traceback:\nTypeError: f() takes 1 argument",
    "Is 17 a prime number? Answer: yes or no",
    "Fill in the blank: The sky is ____.\nAnswer: ____",
    "Classify the review as positive or negative.\nReview: I liked it.\nAnswer:",
    "Grade this answer.\nQuestion: What is 2+2?\nAnswer: 5",
    "My solution to the puzzle is below. Is it correct?\nSolution: move the third disk first.",
    "Rewrite this email so that it sounds polite.\nResponse: I can't come.",
    "Make a cake plan:\nStep 1: buy flour\nStep 2: ?",
    "Which is right?\nA: Paris\nB: London\nC: Rome",
    "Document this endpoint.\nRequest: GET /users\nResponse: 200 OK",
    "Sure, I know that Python is slow, but why is a loop slower than a comprehension?",
    "Of course I could use a list. Would a deque be faster?",
    "I asked my friend to help and she said she'd be happy to help me. How do I thank her?",
    "Here are some of my symptoms: headache and fever. What could it be?",
    "Given an array nums, return two indices.\n\nExample:\nOutput: [0,1]\nExplanation: 2+7=9",
    "解释一下什么是答案选择偏差。",
]


@pytest.mark.parametrize("text", HOLDS_ITS_ANSWER)
def test_an_instruction_with_its_answer_is_rejected(text: str) -> None:
    reason = AnswerInside()(user(text))
    assert reason is not None
    assert reason.startswith("answer_inside:")


@pytest.mark.parametrize("text", ASKS)
def test_a_question_about_answers_passes(text: str) -> None:
    assert AnswerInside()(user(text)) is None
