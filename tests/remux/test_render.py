"""The samples of a spliced track: each in its place, none twice, no clicks, memory that does not grow."""

import numpy as np
import pytest

from resync.remux.correction import Correction, PieceShift
from resync.remux.render import Source, spliced
from resync.remux.roomtone import Excerpt
from resync.remux.splice import CROSS_FADE_S, Splice, place_runs

RATE = 8000
FADE = round(CROSS_FADE_S * RATE)


def pieces(*shifts_ms, seconds=3.0, tempo=1.0):
    return Correction.from_pieces(PieceShift(i * seconds, (i + 1) * seconds, shift, tempo) for i, shift in enumerate(shifts_ms))


def splice_of(correction, samples, tone=None):
    runs = place_runs(correction.timeline, len(samples) / RATE)
    return Splice(runs, (tone,) * (len(runs) - 1))


def rendered(samples, splice):
    """All samples of the spliced track of `samples`, float32 [n, channels]."""
    blocks = iter([samples[start : start + RATE] for start in range(0, len(samples), RATE)])
    return np.concatenate(list(spliced(Source(blocks, RATE, samples.shape[1]), splice)))


def noise(seconds, channels=2):
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * RATE), channels)).astype(np.float32)


def places_of(output, samples, shift_ms):
    """Mask of the samples that are those of the source with this shift: bool [n]."""
    shift, index = round(shift_ms / 1000 * RATE), np.arange(len(output))
    inside = (index - shift >= 0) & (index - shift < len(samples))
    same = np.zeros(len(output), bool)
    same[inside] = (output[inside] == samples[index[inside] - shift]).all(axis=1)
    return same


@pytest.mark.parametrize("shifts_ms", [(100, 400, -150), (-200, 300, 0), (0, -1000, 1000), (0, 20, 0), (0, 5, 0)])
def test_every_sample_lies_where_its_piece_says_and_none_is_heard_twice(shifts_ms):
    samples = noise(10)
    splice = splice_of(pieces(*shifts_ms), samples)
    output = rendered(samples, splice)
    heard = np.zeros(len(samples), int)
    for run in splice.runs:
        start, end = round(run.start_s * RATE), min(round(min(run.end_s, 1e3) * RATE), len(output))
        same = places_of(output, samples, run.shift_ms)[start:end]
        outside = np.arange(start, end) - round(run.shift_s * RATE)  # before and after the source there is silence
        inside = (outside >= 0) & (outside < len(samples))
        assert same[inside][FADE:-FADE].all()
        assert not output[start:end][~inside][FADE:].any()
        heard[outside[inside & same]] += 1
    assert heard.max() == 1
    assert len(output) >= len(samples), "silence at the end keeps the length"


@pytest.mark.parametrize("tone", [None, Excerpt(0.0, 0.15)])
def test_a_gap_holds_room_tone_or_silence(tone):
    samples = noise(6)
    samples[: 2 * RATE] *= 0.02
    output = rendered(samples, splice_of(pieces(0, 700), samples, tone))
    gap = output[3 * RATE : round(3.7 * RATE)][FADE:-FADE]
    if tone is None:
        assert not gap.any()
    else:
        assert gap.std(axis=0) == pytest.approx(samples[: round(0.15 * RATE)].std(axis=0), rel=0.1)
        assert not places_of(output, samples, 0)[3 * RATE + FADE : 3 * RATE + 200].any()


@pytest.mark.parametrize("shifts_ms", [(0, 302.5), (0, -302.5), (0, 12.5), (0, 2.5), (0, 302.5, -10)])
@pytest.mark.parametrize("tone", [None, Excerpt(0.5, 1.0037)])
def test_seams_do_not_click(shifts_ms, tone):
    """A loud tone, cut where it is far from zero: the step between samples hardly grows."""
    samples = np.sin(2 * np.pi * 100 * np.arange(10 * RATE) / RATE)[:, None].astype(np.float32)
    output = rendered(samples, splice_of(pieces(*shifts_ms), samples, tone))
    plain = np.abs(np.diff(samples, axis=0)).max()
    assert np.abs(np.diff(output[RATE // 2 :], axis=0)).max() < 1.6 * plain
    bare = np.concatenate([samples[: 3 * RATE], samples[3 * RATE - round(shifts_ms[1] / 1000 * RATE) :]])
    assert np.abs(np.diff(bare, axis=0)).max() > 10 * plain, "without cross-fades they would"


@pytest.mark.parametrize("tempo", [1.001, 0.998])
def test_pieces_that_drift_are_exact_from_start_to_end(tempo):
    samples = noise(50, channels=1)
    splice = splice_of(pieces(100, -200, 300, seconds=15, tempo=tempo), samples)
    output = rendered(samples, splice)[:, 0]
    for start_s, shift_ms in ((1, 100), (14, 100), (16, -200), (29, -200), (31, 300), (48, 300)):
        # What is heard at t was at tempo x t - shift; over a twentieth of a second the tempo hardly matters.
        heard = output[round(start_s * RATE) :][: RATE // 20]
        expected = round((tempo * (start_s + 0.025) - shift_ms / 1000 - 0.025) * RATE)
        nearby = samples[expected - 80 : expected + 80 + len(heard), 0]
        assert abs(int(np.argmax(np.correlate(nearby, heard, "valid"))) - 80) <= 1, (start_s, "to a sample of 0.125 ms")


def test_memory_does_not_grow_with_the_length():
    kept = []

    def blocks():
        for second in range(600):
            kept.append(sum(len(block) for _, block in source._blocks))
            yield np.full((RATE, 1), second, np.float32)

    source = Source(blocks(), RATE, 1)
    correction = pieces(0, 8000, -8000, 8000, 0, seconds=120)
    runs = place_runs(correction.timeline, 600.0)
    tones = tuple(Excerpt(run.source_s(run.end_s) - 5, run.source_s(run.end_s) - 4) for run in runs[:-1])
    length = sum(len(block) for block in spliced(source, Splice(runs, tones)))
    assert length == 600 * RATE and max(kept) <= 20 * RATE
