"""Peaks of clips, of pieces and of joined videos."""

from dataclasses import replace

import numpy as np
import pytest
from training_helpers import embedded_track, make_entry

from resync.config import DecisionRule
from resync.errors import DataError
from resync.sync.curve import delay_grid
from resync.training import joined
from resync.training.embed import curve_peak
from resync.training.joined import Voice, joined_videos, people_groups
from resync.training.peaks import collect_peaks, find_voice


@pytest.fixture(autouse=True)
def few_videos(monkeypatch):
    monkeypatch.setattr(joined, "LAYOUTS", ((3, 1), (6, 2)))
    monkeypatch.setattr(joined, "OWN_VIDEOS", 2)
    monkeypatch.setattr(joined, "WRONG_VIDEOS", 3)


@pytest.fixture
def certain_net(net):
    """A network whose every peak is certain."""
    net.rule = DecisionRule(constant=50.0)
    return net


def test_peaks_of_clips_and_pieces(certain_net):
    tracks = [
        embedded_track(make_entry("a", "p"), n=100, late_hops=4, seed=1),
        embedded_track(make_entry("b", "q"), n=100, late_hops=30, seed=2),
        embedded_track(make_entry("c", "r", delay_ms=None), n=100, late_hops=10, seed=3),
    ]
    samples = collect_peaks(certain_net, tracks)
    near = (samples.range_s == 1) & ~samples.joined
    each = 1 + 2 + 2 + 1  # whole clip, pieces of 1.5, 2 and 3 s of four seconds
    assert np.bincount(samples.person[near & samples.own]).tolist() == [each] * 3
    assert np.bincount(samples.person[near & ~samples.own]).tolist() == [2 * each] * 3, "the audio of two other speakers"
    assert np.unique(samples.seconds[near]).tolist() == [1.52, 2, 3, 4]
    for range_s in (3, 10):
        wide = (samples.range_s == range_s) & (samples.person == 0)
        assert (wide & samples.own).sum() == (wide & ~samples.own).sum() == 3  # whole clip, two pieces of 2 s
    own = near & samples.own
    assert samples.correct[own & (samples.person != 1)].all()
    assert not samples.correct[own & (samples.person == 1)].any()  # 300 ms from the index's delay
    assert not samples.correct[~samples.own].any(), "no delay is correct for another speaker's audio"
    again = collect_peaks(certain_net, tracks)
    assert all(np.array_equal(a, b) for a, b in zip(vars(samples).values(), vars(again).values())), "the same samples every time"


def test_peaks_of_joined_videos(certain_net):
    tracks = [embedded_track(make_entry(name, name), seed=i) for i, name in enumerate("ab")]
    samples = collect_peaks(certain_net, tracks)
    videos = samples.joined
    assert (videos & samples.own).sum() == 2 * 5 * 2 and (videos & ~samples.own).sum() == 2 * 3
    assert samples.correct[videos & samples.own].mean() > 0.9 and samples.seconds[videos].min() >= 9
    assert samples.features[samples.correct & videos, 1].mean() > 1 + samples.features[~samples.correct & videos, 1].mean()


def test_one_delay_in_a_joined_video(net):
    """Each clip's own delay is taken out."""
    voices = [
        Voice(embedded_track(make_entry(), late_hops=late, seed=person), person, late / 100, late / 100)
        for person, late in enumerate((0, 25, -20))
    ]
    videos = list(joined_videos(net, voices, delay_grid(1.0), np.random.default_rng(0)))
    own = [video for video in videos if video.delay_s is not None]
    assert len(own) == 20 and len({video.delay_s for video in own}) > 10
    for video in own:
        assert curve_peak(video.scores).delay_s == pytest.approx(video.delay_s, abs=0.01)


def test_reference_of_a_voice(net):
    late = embedded_track(make_entry("a", delay_ms=None), late_hops=10)
    net.rule = DecisionRule(constant=50.0)
    certain = find_voice(net, late, 0)
    assert certain.delay_s == certain.aligned_s == pytest.approx(0.1, abs=0.005)
    indexed = find_voice(net, replace(late, entry=make_entry("a", delay_ms=80.0)), 0)
    assert indexed.delay_s == 0.08 and indexed.aligned_s == certain.aligned_s
    contradicted = find_voice(net, replace(late, entry=make_entry("a", delay_ms=400.0)), 0)
    assert contradicted.delay_s == 0.4 and contradicted.aligned_s is None
    net.rule = DecisionRule(constant=-50.0)
    assert find_voice(net, late, 0)[2:] == (None, None)


def test_joined_videos_keep_people_of_different_folds_apart():
    voices = [Voice(embedded_track(make_entry(), n=10), person, 0.0, 0.0) for person in range(12)]
    assert [sorted(v.person for v in group) for group in people_groups(voices)] == [[0, 5, 10], [1, 6, 11], [2, 7], [3, 8], [4, 9]]
    assert len(people_groups(voices[:9])) == 1, "too few people for five groups of two"


def test_too_few_people(net):
    with pytest.raises(DataError, match="no clip"):
        collect_peaks(net, [])
    with pytest.raises(DataError, match="one speaker"):
        collect_peaks(net, [embedded_track(make_entry("a")), embedded_track(make_entry("b"))])
