"""The paper's tables follow from each other, but for two figures."""

from __future__ import annotations

import pytest

from videojam.errors import VideoJamError
from videojam.evaluation.paper import (
    inconsistencies,
    paper_source,
    paper_table,
    paper_tables,
    recomputed,
    rounding_bound,
)
from videojam.evaluation.vbench.aggregate import APPEARANCE, DIMENSIONS, MOTION, aggregate, appearance, motion


def test_tables_are_complete_and_cited():
    assert list(paper_tables()) == [f"table{i}" for i in range(1, 8)]
    assert "2502.02492" in paper_source()
    assert [len(table.rows) for table in paper_tables().values()] == [5, 7, 5, 4, 7, 4, 4]
    row = paper_table("table4").rows["DiT-4B"]
    assert row.breakdown["motion_smoothness"] == 99.3
    assert row.breakdown["dynamic_degree"] == 38.3
    assert paper_table("table1").rows["CogVideo2B"].human == (84.3, 94.5, 96.1)
    assert paper_table("table1").rows["VideoJAM-4B"].human is None


def test_one_row_by_hand():
    # DiT-4B of Table 4: ((99.3 − 70.6)/29.15 + 0.5·0.383)/1.5 and the mean of the four normalised others.
    computed = recomputed("table1")["DiT-4B"]
    assert computed[1] == pytest.approx(100 * ((0.993 - 0.706) / 0.2915 + 0.5 * 0.383) / 1.5, abs=1e-9)
    others = 0.518 + 0.614 + (0.930 - 0.1462) / 0.8538 + (0.967 - 0.2615) / 0.7385
    assert computed[0] == pytest.approx(100 * others / 4, abs=1e-9)
    assert computed == pytest.approx((75.2, 78.3), abs=0.181)


def test_headline_tables_follow_from_their_breakdowns():
    assert rounding_bound(APPEARANCE) == pytest.approx(0.107, abs=5e-4)
    assert rounding_bound(MOTION) == pytest.approx(0.181, abs=5e-4)
    agreements = {"appearance": 0, "motion": 0}
    total = 0
    for name in ("table1", "table2", "table6"):
        for method, (computed_appearance, computed_motion) in recomputed(name).items():
            row = paper_table(name).rows[method]
            total += 1
            agreements["appearance"] += abs(row.appearance - computed_appearance) <= 0.107
            agreements["motion"] += abs(row.motion - computed_motion) <= 0.181
    assert total == 15
    assert agreements == {"appearance": 15, "motion": 14}


def test_its_two_inconsistencies():
    first, second = inconsistencies()
    assert (first.table, first.method, first.column, first.printed) == (
        "table2",
        "RunWay Gen3",
        "motion",
        92.0,
    )
    assert first.other == pytest.approx(91.71, abs=0.005)
    assert (second.table, second.method, second.column) == ("table1", "VideoJAM-4B", "appearance")
    assert (second.printed, second.other) == (75.1, 74.9)


def test_unknown_tables_are_told():
    with pytest.raises(VideoJamError, match="table7"):
        paper_table("table8")
    with pytest.raises(VideoJamError, match="breakdown"):
        recomputed("table3")


def test_consistencies_average_over_frames_and_the_others_over_clips():
    short = dict.fromkeys(DIMENSIONS, 0.5)
    long = dict.fromkeys(DIMENSIONS, 0.9)
    result = aggregate([short, long], [3, 9])
    assert result.dimensions["subject_consistency"] == pytest.approx((2 * 0.5 + 8 * 0.9) / 10)
    assert result.dimensions["motion_smoothness"] == pytest.approx(0.7)
    assert result.motion == pytest.approx(motion(result.dimensions))
    assert result.appearance == pytest.approx(appearance(result.dimensions))


def test_what_is_missing_or_invalid_is_never_hidden():
    clips = [{"dynamic_degree": 1.0, "motion_smoothness": 0.99}, {"dynamic_degree": float("nan")}]
    with pytest.raises(VideoJamError, match="dynamic_degree, clip 1"):
        aggregate(clips, [9, 9])
    result = aggregate(clips, [9, 9], skip_invalid=True)
    assert result.dimensions == {"motion_smoothness": 0.99, "dynamic_degree": 1.0}
    assert result.num_clips == {"motion_smoothness": 1, "dynamic_degree": 1}
    assert result.appearance is None
    assert result.motion == pytest.approx((0.284 / 0.2915 + 0.5) / 1.5)
    with pytest.raises(VideoJamError, match="no scores"):
        aggregate([], [])
