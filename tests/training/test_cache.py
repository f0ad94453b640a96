"""The training cache: what is stored equals what the analysis computes."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from training_helpers import FACES, make_entry

from resync.config import CropConfig
from resync.errors import DataError
from resync.faces.crops import mouth_crops
from resync.faces.detect import make_detector
from resync.faces.tracks import detect_faces, link_tracks
from resync.media.audio import read_audio
from resync.media.video import read_frames
from resync.syncnet.mel import log_mel
from resync.training.cache import MARGIN, read_crops, read_index, read_mels, wide_crop, write_crops
from resync.training.embed import center_crops


def test_shapes_and_types(cache):
    for entry in read_index(cache):
        crops, mels = read_crops(cache, entry), read_mels(cache, entry)
        assert entry.start == 0 and 70 <= entry.frames <= 76
        assert crops.shape == (entry.frames, 112, 112) and crops.dtype == np.uint8 and crops.std() > 10
        assert mels.dtype == np.float16 and mels.shape[1] == 80 and abs(len(mels) - 300) <= 8


def test_mels_equal_those_of_the_analysis(clips, cache):
    exact = log_mel(read_audio(clips / "b/two.mp4"))
    cached = read_mels(cache, read_index(cache)[1]).astype(np.float32)[: len(exact)]
    assert np.abs(cached - np.clip(exact, -7, 1.5)[: len(cached)]).max() < 0.03


def test_center_crops_equal_those_of_the_analysis(clips, cache):
    scan = detect_faces((f.image for f in read_frames(clips / "a/one.mp4")), make_detector("centerface", FACES), FACES)
    direct = mouth_crops(scan.gray_images, link_tracks(scan, FACES)[0], CropConfig())
    cached = center_crops(read_crops(cache, read_index(cache)[0]), CropConfig())

    def difference(a, b):
        return np.abs(a.astype(int) - b).mean()

    assert cached.shape == direct.shape and cached.dtype == np.uint8
    assert difference(cached, direct) < 3 and abs(cached.mean() - direct.mean()) < 1
    assert cached.std() == pytest.approx(direct.std(), rel=0.05)
    for axis in (1, 2):
        assert difference(cached, direct) < 0.6 * difference(np.roll(cached, 1, axis), direct), "aligned to less than a pixel"


def test_crops_keep_their_gray_levels(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 112).astype(np.uint8), (8, 112, 1))
    (tmp_path / "crops").mkdir()
    write_crops(tmp_path / "crops" / "ramp.mkv", ramp)
    read = read_crops(tmp_path, make_entry("ramp", frames=8))
    assert np.abs(read.astype(int) - ramp).max() < 6


def test_crops_without_pyav_equal_those_with_it(cache, monkeypatch):
    pytest.importorskip("cv2")
    entry = read_index(cache)[0]
    with_pyav = read_crops(cache, entry)
    monkeypatch.setitem(sys.modules, "av", None)
    assert np.abs(read_crops(cache, entry).astype(int) - with_pyav).mean() < 2


def test_unusable_caches(tmp_path, cache):
    with pytest.raises(DataError, match="resync prepare"):
        read_index(tmp_path)
    with pytest.raises(DataError, match="index says"):
        read_crops(cache, replace(read_index(cache)[0], frames=5))


def test_wide_crop():
    wide = wide_crop(CropConfig(side_units=1.7, size=64))
    assert wide.side_units == pytest.approx(1.7 * MARGIN) and wide.size == 112
