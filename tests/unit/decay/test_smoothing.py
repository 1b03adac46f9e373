from __future__ import annotations

import numpy as np
import pytest

from recsys.decay.smoothing import (
    FixedAlpha,
    LearnedAlpha,
    ScheduledAlpha,
    blended,
    cosine,
    smoothed,
    smoothed_series,
)


def test_golden_number_of_the_smoothed_weight() -> None:
    assert float(smoothed(0.6, 0.8 * np.exp(-0.2), alpha=0.5)) == pytest.approx(0.62749, abs=5e-6)


def test_golden_numbers_of_the_cosine_with_the_axes() -> None:
    cosines = cosine([0.8, 0.5, 0.3, 0.2], np.eye(4))
    np.testing.assert_allclose(cosines, [0.79212, 0.49507, 0.29704, 0.19803], atol=5e-6)


def test_the_cosine_with_nothing_is_zero() -> None:
    assert float(cosine([1.0, 2.0], [0.0, 0.0])) == 0.0


def test_a_series_is_the_step_repeated() -> None:
    series = smoothed_series([0.0, 1.0], [[1.0, 0.0], [1.0, 0.5]], alpha=0.25)
    np.testing.assert_allclose(series, [[0.25, 0.75], [0.4375, 0.6875]])


def test_a_constant_signal_is_not_changed_by_smoothing() -> None:
    np.testing.assert_allclose(smoothed_series(0.7, [0.7] * 5, alpha=0.3), [0.7] * 5)


def test_blending_goes_from_the_current_weights_to_the_history() -> None:
    assert float(blended(1.0, 0.0, alpha=0.0)) == 0.0
    assert float(blended(1.0, 0.0, alpha=0.3)) == pytest.approx(0.3)
    assert float(blended(1.0, 0.0, alpha=1.0)) == 1.0


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        blended(1.0, 0.0, alpha=1.1)
    with pytest.raises(ValueError, match="alpha"):
        FixedAlpha(-0.1)
    with pytest.raises(ValueError, match="n_half"):
        ScheduledAlpha(0.0, 1.0, n_half=0.0)


def test_a_scheduled_share_moves_from_first_to_last() -> None:
    schedule = ScheduledAlpha(first=0.1, last=0.9, n_half=5.0)
    assert schedule.at(0) == pytest.approx(0.1)
    assert schedule.at(5) == pytest.approx(0.5)
    assert schedule.at(1e6) == pytest.approx(0.9)


def test_a_learned_share_stays_a_share_whatever_the_parameters() -> None:
    assert LearnedAlpha(bias=0.0).at(3) == 0.5
    assert 0.0 <= LearnedAlpha(bias=-1e6).at(0) < 1e-6
    assert LearnedAlpha(bias=0.0, slope=1.0).at(9) == pytest.approx(10 / 11)
    assert FixedAlpha(0.3).at(7) == 0.3
