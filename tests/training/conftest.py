"""Clips, a training cache and a network that the training tests share. Tests must not change `clips` and `cache`."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from training_helpers import FACES, TINY

from resync.demo.clip import talking_clip, write_clip
from resync.syncnet.model import ICSyncNet
from resync.training.prepare import prepare_cache

CLIPS = (  # file, split, speaker, suspected delay
    ("a/one.mp4", "train", "ann", "0"),
    ("b/two.mp4", "train", "bob", "80"),
    ("c/three.mp4", "val", "cid", "0"),
    ("broken.mp4", "train", "dan", ""),
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder with three clips of synthetic speech, a broken one and index.tsv."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, (name, _, _, delay) in enumerate(CLIPS[:3], 1):
        (folder / name).parent.mkdir()
        write_clip(talking_clip(3.0, seed, size=(224, 224)), folder / name, audio_delay_ms=float(delay))
    (folder / "broken.mp4").write_bytes(b"not a video")
    lines = ["file\tsplit\tsource\tspeaker\tsuspected_delay_ms"]
    lines += [f"{name}\t{split}\tsynth\t{speaker}\t{delay}" for name, split, speaker, delay in CLIPS]
    (folder / "index.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def cache(clips, tmp_path_factory):
    """The clips, prepared."""
    folder = tmp_path_factory.mktemp("cache")
    prepare_cache(clips, folder, index=clips / "index.tsv", faces=FACES, jobs=1)
    return folder


@pytest.fixture
def net():
    """A tiny network with random weights."""
    torch.manual_seed(0)
    return ICSyncNet(TINY).eval()


@pytest.fixture
def clock(monkeypatch):
    """A clock for the trainer that advances by one second per call, so that a run's length does not depend on the machine."""
    ticks = itertools.count()
    monkeypatch.setattr("resync.training.train.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
