"""The judges, by name."""

from __future__ import annotations

from magpie_hub.judges.base import JudgeInfo
from magpie_hub.judges.base_answer import BaseAnswerJudge
from magpie_hub.judges.language import LanguageJudge
from magpie_hub.judges.neighbors import NeighborsJudge
from magpie_hub.judges.reward import RewardJudge
from magpie_hub.judges.safety import SafetyJudge
from magpie_hub.judges.tags import TagsJudge

JUDGES: dict[str, type[JudgeInfo]] = {
    judge.name: judge
    for judge in (
        TagsJudge,
        SafetyJudge,
        RewardJudge,
        BaseAnswerJudge,
        NeighborsJudge,
        LanguageJudge,
    )
}
"""Every judge by name, in the order in which the published sets have their columns.

In which order they label is the order of `magpie_hub.recipe.judges.Judges.at_work`.
"""
