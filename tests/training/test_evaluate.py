"""Accuracy figures, on embeddings whose delay is known."""

import numpy as np
import pytest
from training_helpers import embedded_track, make_entry, scores_of

from resync.config import DecisionRule
from resync.sync.curve import Peak, Scores, delay_grid
from resync.training.evaluate import (
    accuracy_table,
    clip_metrics,
    curve_peak,
    embed_track,
    read_tracks,
    reference_delay,
    roc_auc,
    score_track,
    score_windows,
    split_segments,
    window_hits,
)


def test_scores_peak_at_the_delay(net):
    peak = curve_peak(score_track(net, embedded_track(make_entry(), late_hops=13)))
    assert peak.delay_s == pytest.approx(0.13, abs=0.005)
    swapped = curve_peak(score_track(net, embedded_track(make_entry()), embedded_track(make_entry(), seed=5)))
    assert swapped.height < peak.height


def test_speech_is_that_of_the_tested_delay(net):
    track = embedded_track(make_entry())
    track.active[: track.first_hop[0] + 20] = False
    speech = score_track(net, track).speech  # delays from -600 to +600 ms
    assert speech[0, :61].max() == 0 and speech[0, 70] == 0.5 and speech[0, 80:].min() == 1 and speech[30].min() == 1


def test_audio_that_is_cut(net):
    track, delays = embedded_track(make_entry()), delay_grid(0.6)
    first = int(track.first_hop[50])
    piece = track.cut_audio(first, first + 4 * 50)  # two seconds of video and their own audio
    windows = slice(50, 96)
    cut = score_windows(net, piece.mouth[windows], piece.first_hop[windows], piece, delays)
    whole = score_windows(net, track.mouth[windows], track.first_hop[windows], track, delays)
    inside = np.isfinite(cut.probability)
    assert (
        piece.first_hop[50] == 0
        and not inside[0, :60].any()
        and inside[0, 60:].all()
        and inside[-1, :61].all()
        and not inside[-1, 61:].any()
    )
    assert np.array_equal(cut.probability[inside], whole.probability[inside])
    assert cut.speech[0, 30] == 0 and cut.speech[0, 50] == 0.5 and cut.speech[0, 60] == 1


def test_the_verdict_of_a_clip_follows_the_rule_of_the_network(net):
    track = embedded_track(make_entry(), late_hops=10)
    verdicts = []
    for constant in (-50.0, 50.0):
        net.rule = DecisionRule(constant=constant)
        verdicts.append(clip_metrics(net, track)["verdict"])
    assert verdicts == ["undecided", "out_of_sync"]


def test_segments_do_not_overlap(net):
    scores = score_track(net, embedded_track(make_entry()))  # 146 windows of a track of 150 frames
    segments = list(split_segments(scores, 2))
    assert [len(s.time_s) for s in segments] == [46, 46, 46]
    assert [round(s.time_s[0] - 1, 2) for s in segments] == [0, 2, 4]
    assert len(list(split_segments(scores, 6))) == 1 and not list(split_segments(scores, 7))


def test_window_hits():
    delays = np.arange(-100, 101)
    p = np.full((10, 201), 0.1, np.float32)
    for row, delay in enumerate([20, 24, 16, 28, 12, -40, 20, 20, 20, 20]):  # reference: 200 ms; a frame is 4 hops
        p[row, 100 + delay] = 0.9
    speech = np.ones(4 * 9 + 201)
    speech[4 * 9 + 120] = 0.2  # of the last window at the reference
    hits = window_hits(Scores(p, delays, np.arange(10) / 25, speech, np.ones(len(speech))), 0.2)
    assert hits.tolist() == [True, True, True, False, False, False, True, True, True]


def test_more_context_gives_more_hits():
    rng = np.random.default_rng(0)
    delays = np.arange(-100, 101)
    odds = rng.normal(0, 1.5, (400, 201))
    odds[:, 108] += 1.5  # 80 ms late
    scores = scores_of(1 / (1 + np.exp(-odds)), delays)
    shares = [window_hits(scores, 0.08, context=n).mean() for n in (5, 9, 15)]
    assert shares[0] < shares[1] < shares[2] and shares[2] > 0.7
    assert len(window_hits(scores, 0.08, context=15)) == 390


def test_accuracy_table(net):
    tracks = [
        embedded_track(make_entry("a", "p"), seed=1),
        embedded_track(make_entry("b", "q", source="t"), late_hops=30, seed=2),
        embedded_track(make_entry("c", "r", delay_ms=None), late_hops=-10, seed=3),
    ]
    table = accuracy_table(net, tracks)
    assert set(table) == {"s", "t", "all"}
    assert table["s"]["whole_clip"] == 1 == table["s"]["frames_5"] and table["s"]["clips"] == 2
    assert table["t"]["whole_clip"] == 0 == table["t"]["piece_1s"]  # 300 ms from the index's delay
    assert table["t"]["median_error_ms"] == pytest.approx(300, abs=5)
    assert table["all"]["clips"] == 3 and table["all"]["whole_clip"] == pytest.approx(2 / 3, abs=1e-3)
    assert table["all"]["swapped_auc"] == 1
    plain = accuracy_table(net, tracks, plain=True)["all"]
    assert plain["clips"] == 3 and plain["whole_clip"] == pytest.approx(1 / 3, abs=1e-3), "only a is in sync"
    assert accuracy_table(net, [])["all"]["whole_clip"] is None


def test_reference_delay():
    peak = Peak(0.3, 0.9, 0, 0.1)
    assert reference_delay(make_entry(delay_ms=80.0), peak) == 0.08
    assert reference_delay(make_entry(delay_ms=None), peak) == 0.3
    assert reference_delay(make_entry(delay_ms=None), None) is None


def test_roc_auc():
    assert roc_auc([3, 4], [1, 2]) == 1 and roc_auc([1], [1]) == 0.5 and roc_auc([1, 3], [2]) == 0.5
    assert roc_auc([], [1]) is None


def test_embed_track(net, cache):
    (track,) = read_tracks(cache, "val")
    whole = embed_track(net, track)
    n = track.entry.frames - 4
    assert whole.mouth.shape == (n, 16) and whole.first_hop[0] == 4 * track.entry.start and len(whole.first_hop) == n
    assert len(whole.audio) == len(track.mels) - 19 and len(whole.active) == len(track.mels) and 0.3 < whole.active.mean()
    assert len(whole.audible) == len(track.mels) and whole.audible[whole.active].all()
    (start,) = read_tracks(cache, "val", 1.0)
    assert len(start.crops) == 25 and np.array_equal(start.crops, track.crops[:25])
    a, b = (score_track(net, x, range_s=0.3).probability for x in (embed_track(net, start), whole))
    assert np.allclose(a, b[:21], atol=1e-4, equal_nan=True)
