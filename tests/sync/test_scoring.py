"""Scores of several faces."""

import numpy as np

from resync.sync.scoring import best_face


def test_best_face_is_the_one_that_matches():
    low, high = np.full((50, 9), 0.1, np.float32), np.full((50, 9), 0.1, np.float32)
    high[:, 6] = 0.8
    best, chosen = best_face(np.stack([low, high]), 25)
    assert np.allclose(best[:, 6], 0.8) and np.allclose(best[:, :6], 0.1) and (chosen[:, 6] == 1).all()
    low[:] = np.nan
    best, chosen = best_face(np.stack([high, low]), 25)
    assert np.allclose(best, high) and (chosen == 0).all()
