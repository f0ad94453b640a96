"""Embeddings of cached tracks and their scores."""

import numpy as np
import pytest
from training_helpers import embedded_track, make_entry

from resync.sync.curve import Peak, delay_grid
from resync.training.embed import (
    curve_peak,
    embed_track,
    inference_backend,
    read_tracks,
    reference_delay,
    score_track,
    score_windows,
    split_segments,
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


def test_segments_do_not_overlap(net):
    scores = score_track(net, embedded_track(make_entry()))  # 146 windows of a track of 150 frames
    segments = list(split_segments(scores, 2))
    assert [len(s.time_s) for s in segments] == [46, 46, 46]
    assert [round(s.time_s[0] - 1, 2) for s in segments] == [0, 2, 4]
    assert len(list(split_segments(scores, 6))) == 1 and not list(split_segments(scores, 7))


def test_reference_delay():
    peak = Peak(0.3, 0.9, 0, 0.1)
    assert reference_delay(make_entry(delay_ms=80.0), peak) == 0.08
    assert reference_delay(make_entry(delay_ms=None), peak) == 0.3
    assert reference_delay(make_entry(delay_ms=None), None) is None


def test_embed_track(net, cache):
    (track,) = read_tracks(cache, "val")
    backend = inference_backend(net)
    whole = embed_track(backend, track)
    n = track.entry.frames - 4
    assert whole.mouth.shape == (n, 16) and whole.first_hop[0] == 4 * track.entry.start and len(whole.first_hop) == n
    assert len(whole.audio) == len(track.mels) - 19 and len(whole.active) == len(track.mels) and 0.3 < whole.active.mean()
    assert len(whole.audible) == len(track.mels) and whole.audible[whole.active].all()
    (start,) = read_tracks(cache, "val", 1.0)
    assert len(start.crops) == 25 and np.array_equal(start.crops, track.crops[:25])
    a, b = (score_track(net, x, range_s=0.3).probability for x in (embed_track(backend, start), whole))
    assert np.allclose(a, b[:21], atol=1e-4, equal_nan=True)
