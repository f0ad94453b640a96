"""The filters equal those of SciPy, which the analysis does not import."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage, special
from scipy.signal import savgol_filter

from resync import smoothing

VALUES = np.random.default_rng(0).normal(0, 3, (4, 33)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.0, 20.0])
def test_gaussian_filter(sigma):
    expected = ndimage.gaussian_filter1d(VALUES.astype(float), sigma, axis=1, mode="nearest")
    assert np.allclose(smoothing.gaussian_filter(VALUES, sigma), expected, atol=1e-6)
    assert np.allclose(smoothing.gaussian_filter(VALUES[0], sigma), expected[0], atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 33])
@pytest.mark.parametrize("axis", [0, 1])
def test_mean_filter(size, axis):
    expected = ndimage.uniform_filter1d(VALUES.astype(float), size, axis=axis, mode="nearest")
    assert np.allclose(smoothing.mean_filter(VALUES, size, axis), expected, atol=1e-12)


def test_expit():
    x = np.array([-1e6, -800, -30, -1, 0, 0.3, 30, 800, 1e6])
    with np.errstate(all="raise"):
        assert np.allclose(smoothing.expit(x), special.expit(x), rtol=1e-12, atol=1e-15)
    assert smoothing.expit(x.astype(np.float32)).dtype == np.float32
    assert np.isnan(smoothing.expit(np.nan)) and float(smoothing.expit(0.0)) == 0.5


@pytest.mark.parametrize("length", [3, 7, 11])
def test_savitzky_golay(length):
    values = VALUES.T
    assert np.allclose(smoothing.savitzky_golay(values, length), savgol_filter(values, length, 2, axis=0, mode="interp"), atol=1e-5)


def test_checking_a_clip_imports_no_scipy():
    code = "import sys, resync.api, resync.batch.run, resync.cli.check; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
