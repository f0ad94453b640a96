"""Training sequences: in sync, sampled by speaker, reproducible."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import DISABLED

from resync.errors import DataError
from resync.training.augment import Augment
from resync.training.cache import Entry
from resync.training.dataset import Track, TrackDataset, draw_batch, draw_sequence, stack_windows


@pytest.fixture
def dataset_of(monkeypatch):
    """A TrackDataset of tracks in memory."""

    def build(*tracks, sequence=8, **kw):
        monkeypatch.setattr("resync.training.dataset.read_index", lambda cache: [t.entry for t in tracks])
        monkeypatch.setattr("resync.training.dataset.read_crops", lambda cache, entry: next(t.crops for t in tracks if t.entry == entry))
        monkeypatch.setattr("resync.training.dataset.read_mels", lambda cache, entry: next(t.mels for t in tracks if t.entry == entry))
        return TrackDataset("cache", "train", sequence=sequence, **kw)

    return build


def numbered_track(name="t", n=100, start=10, delay_ms=0.0, speaker=None, split="train", source="s"):
    """A track whose frame k has the value k and whose mel frame h, `delay_ms` late, has the value h."""
    entry = Entry(name, f"{name}.mp4", split, source, speaker or name, start, n, delay_ms)
    crops = np.repeat(np.arange(n, dtype=np.uint8), 4).reshape(n, 2, 2)
    hops = np.arange((start + n + 20) * 4) - (delay_ms or 0) / 10
    return Track(entry, crops, np.repeat(hops[:, None], 80, 1).astype(np.float32))


@pytest.mark.parametrize("delay_ms", [0.0, 120.0, -50.0])
@pytest.mark.parametrize("speed", [0.0, 0.2])
def test_sequences_are_in_sync(dataset_of, delay_ms, speed):
    dataset = dataset_of(numbered_track(delay_ms=delay_ms), sequence=20)
    starts = set()
    for seed in range(30):
        crops, mels = draw_sequence(dataset, 20, replace(DISABLED, speed=speed), np.random.default_rng(seed))
        assert crops.shape == (24, 2, 2) and mels.shape == (96, 80) and mels.dtype == np.float32
        frames, hops = crops[:, 0, 0].astype(float), mels[:, 0]
        # The middle of frame k is hop 4 k + 1.5.
        distance = hops.reshape(24, 4).mean(1) - (4 * (frames + 10) + 1.5)
        assert np.abs(distance).max() < 2.01 + 2 * speed * 1.5, "half a frame at most, from rounding"
        tempo = (frames[-1] - frames[0]) / 23
        assert abs(tempo - 1) < 0.05 + 1.3 * speed and abs((hops[-1] - hops[0]) / 95 - tempo) < 0.05
        starts.add(frames[0])
    assert len(starts) > 10


def test_lower_frame_rates_stay_in_sync(dataset_of):
    dataset = dataset_of(numbered_track(), sequence=20)
    repeated = 0
    for seed in range(30):
        crops, mels = draw_sequence(dataset, 20, replace(DISABLED, convert=1.0), np.random.default_rng(seed))
        frames, hops = crops[:, 0, 0].astype(float), mels[:, 0]
        distance = hops.reshape(24, 4).mean(1) - (4 * (frames + 10) + 1.5)
        assert abs(distance.mean()) < 1 and np.abs(distance).max() < 8
        repeated += (np.diff(frames) == 0).sum()
    assert repeated > 30


def test_one_frame_is_repeated(dataset_of):
    dataset = dataset_of(numbered_track(), sequence=20)
    for seed in range(10):
        crops, _ = draw_sequence(dataset, 20, replace(DISABLED, repeat=1.0), np.random.default_rng(seed))
        steps = np.diff(crops[:, 0, 0].astype(int)).tolist()
        assert steps.count(0) == 1 and set(steps) <= {0, 1, 2} and steps.count(2) == (steps[-1] != 0)
    assert dataset.tracks[0].crops[:, 0, 0].tolist() == list(range(100)), "the cached crops are unchanged"


def test_speakers_are_drawn_by_a_power_of_their_length(dataset_of):
    tracks = [
        numbered_track("long1", 200, speaker="a"),
        numbered_track("long2", 200, speaker="a"),
        numbered_track("short", 25, speaker="b"),
    ]
    rng = np.random.default_rng(0)
    for power, share in ((0.0, 0.5), (1.0, 25 / 425), (0.5, 5 / 25)):
        dataset = dataset_of(*tracks, power=power)
        names = [dataset.draw(rng).entry.name for _ in range(4000)]
        assert names.count("short") / 4000 == pytest.approx(share, abs=0.03)
        assert names.count("long1") == pytest.approx(names.count("long2"), rel=0.2)


def test_unusable_tracks_are_left_out(dataset_of):
    tracks = [
        numbered_track("good"),
        numbered_track("brief", 11),
        numbered_track("unknown", delay_ms=None),
        numbered_track("validation", split="val"),
        numbered_track("skipped", source="x"),
    ]

    def names(**kw):
        return [t.entry.name for t in dataset_of(*tracks, **kw).tracks]

    assert names(skip=("x",)) == ["good"]
    assert names(delays={"unknown": 40.0, "good": None, "validation": 0.0}) == ["unknown"]
    assert dataset_of(*tracks, delays={"good": 40.0}).delay_ms == {"good": 40.0}
    with pytest.raises(DataError, match="cache") as error:
        dataset_of(*tracks, sequence=500)
    assert "\n" not in str(error.value)


def test_a_share_of_the_speakers(dataset_of):
    tracks = [numbered_track(f"{speaker}{clip}", speaker=f"speaker{speaker}") for speaker in range(40) for clip in range(2)]
    half = dataset_of(*tracks, people=0.5).tracks
    speakers = {t.entry.speaker for t in half}
    assert 10 < len(speakers) < 30 and len(half) == 2 * len(speakers)
    assert speakers < {t.entry.speaker for t in dataset_of(*tracks, people=0.8).tracks}


def test_stack_windows():
    crops = torch.arange(12).view(1, 12, 1, 1).expand(2, 12, 3, 3)
    mels = torch.arange(48).view(1, 48, 1).expand(2, 48, 80)
    mouth, audio = stack_windows(crops, mels)
    assert mouth.shape == (16, 5, 3, 3) and audio.shape == (16, 20, 80)
    for i in range(16):
        assert mouth[i, :, 0, 0].tolist() == list(range(i % 8, i % 8 + 5))
        assert audio[i, :, 0].tolist() == list(range(4 * (i % 8), 4 * (i % 8) + 20))


def test_batches_depend_on_the_seed_only(cache):
    dataset = TrackDataset(cache, "train", sequence=8)

    def draw(seed, rows=slice(0, 3)):
        return draw_batch(dataset, rows, 8, Augment(), (seed, 7))

    (crops, mels), (crops2, mels2), (other, _) = draw(5), draw(5), draw(6)
    assert crops.shape == (3, 12, 112, 112) and crops.dtype == torch.uint8
    assert mels.shape == (3, 48, 80) and mels.dtype == torch.float32
    assert torch.equal(crops, crops2) and torch.equal(mels, mels2) and not torch.equal(crops, other)
    assert torch.equal(crops[1:], draw(5, slice(1, 3))[0]), "the same sequence, whichever process draws it"
