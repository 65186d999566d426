"""The paper's values agree with what its text says of them, but for the slips."""

from __future__ import annotations

import numpy as np
import pytest

from dac.report.paper_values import (
    AVERAGE,
    MAIN,
    PARTITIONS,
    SCHEDULE,
    SYNTHETIC,
    ablation_psnr,
    main_scores,
)


def test_mean_gains_over_the_2x_baseline() -> None:
    gains = {name: row["dac"].psnr - row["baseline-2x"].psnr for name, row in MAIN.items()}
    assert np.mean([gains.pop(name) for name in SYNTHETIC]) == pytest.approx(0.116)
    assert np.mean(list(gains.values())) == pytest.approx(0.335)


def test_averages_but_for_the_slip() -> None:
    for table in (PARTITIONS, SCHEDULE):
        for setting, row in table.items():
            mean = np.mean([row[name] for name in SYNTHETIC])
            slip = table is PARTITIONS and setting == 2
            assert row[AVERAGE] == pytest.approx(mean - 0.6 * slip, abs=0.0075)


def test_both_ablations_hold_the_main_tables_dac() -> None:
    for name in SYNTHETIC:
        assert PARTITIONS[4][name] == SCHEDULE[30][name] == MAIN[name]["dac"].psnr


def test_look_ups() -> None:
    assert main_scores("Chair", "baseline-1x") == (35.05, 0.982, 0.996)
    assert main_scores("chair", "dac", "azimuth") == (35.60, 0.984, 0.996)
    assert main_scores("chair", "dac", "random") is None
    assert main_scores("chair", "experts") is None and main_scores("lego", "dac") is None
    assert ablation_psnr("partitions", (3,), "Ship") == 31.22
    assert ablation_psnr("partitions", (7,), "ship") is None
    assert ablation_psnr("partitions", (None,), "ship") is None
    # The shares count: 1,000 of 3,000 steps are the paper's 20k of 60k.
    assert ablation_psnr("schedule", (1000, 2000), "hotdog") == 38.00
    assert ablation_psnr("schedule", (1000, 1001), "hotdog") is None
    assert ablation_psnr("schedule", (None, 1000), "hotdog") is None
    assert ablation_psnr("schedule", (1000, 1000), AVERAGE) == 34.05
