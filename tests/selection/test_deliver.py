"""A delivery: every planned row is delivered or has a reason, read in whatever ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.selection.deliver import Delivery
from tests.toy_release import toy_job


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    home = tmp_path_factory.mktemp("home")
    # The longest of half as many more, which have to be there.
    toy_job(home, rows=45)
    run = toy_job(home, "oversample: 1.5\nselection: {longest: true}\n")
    found = run.delivery()
    assert found is not None
    return found


def test_the_funnel_counts_what_the_reasons_say(delivery: Delivery) -> None:
    reasons = delivery.reasons(range(delivery.funnel.planned))
    assert [row for row, reason in enumerate(reasons) if reason is None] == list(delivery.row_ids)
    counts = {reason: reasons.count(reason) for reason in set(reasons) if reason}
    assert counts == delivery.funnel.rejected
    assert {"instruction.colon", "selection.shorter"} <= set(counts)


@given(st.data())
def test_a_range_is_told_what_the_whole_is(delivery: Delivery, data: st.DataObject) -> None:
    planned = delivery.funnel.planned
    first = data.draw(st.integers(0, planned))
    end = data.draw(st.integers(first, planned))
    assert delivery.reasons(range(first, end)) == delivery.reasons(range(planned))[first:end]
