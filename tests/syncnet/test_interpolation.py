"""Audio embeddings between those that are computed."""

import numpy as np
import pytest

from resync.syncnet.interpolation import computed_windows, interpolate_embeddings


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (2, [0, 1]), (4, [0, 3]), (5, [0, 4]), (6, [0, 4, 5]), (12, [0, 4, 8, 11]), (13, [0, 4, 8, 12])]
)
def test_one_each_frame_and_the_last(count, expected):
    assert computed_windows(count).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 5, 11, 13])
def test_a_steady_turn_is_interpolated_on_the_unit_circle(count):
    angle = 0.02 * np.arange(count)
    truth = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    windows = computed_windows(count)
    got = interpolate_embeddings(truth[windows], windows)
    assert got.shape == truth.shape and got.dtype == np.float32
    assert np.allclose(got, truth, atol=1e-4) and np.allclose(got[windows], truth[windows], atol=1e-6)
