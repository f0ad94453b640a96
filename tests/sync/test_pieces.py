"""Jumps of the delay are found, placed where an editor would cut, and never seen where the delay is constant."""

import numpy as np
import pytest

from resync.config import HOPS_PER_FRAME
from resync.sync.curve import Scores
from resync.sync.pieces import Jump, find_pieces, next_span

REACH = 100
VOICE_OVER = None


def video(*spans, seed=0, reach=REACH, start_s=0.0, quiet=(), slope=0.0):
    """Scores of (seconds, delay in s or VOICE_OVER) one after the other; quiet: (start, end) in s of the audio without speech.

    Neighbouring windows share most of their noise, as those of the network do.
    """
    rng = np.random.default_rng(seed)
    delays = np.arange(-reach, reach + 1)
    given = [delay for seconds, delay in spans for _ in range(round(seconds * 25))]
    time_s = start_s + np.arange(len(given)) / 25
    noise = 2.0 * np.repeat(rng.normal(0, 1, (len(given) // 5 + 1, len(delays))), 5, axis=0)[: len(given)]
    at = np.array([np.nan if delay is VOICE_OVER else delay for delay in given]) + slope * time_s
    match = np.nan_to_num(np.exp(-((delays - 100 * at[:, None]) ** 2) / (2 * 4.0**2)))
    odds = -2.5 + 4.0 * match + noise
    hop_s = start_s + (np.arange(HOPS_PER_FRAME * (len(given) - 1) + len(delays)) - reach) / 100
    activity = np.ones(len(hop_s))
    for start, end in quiet:
        activity[(hop_s >= start) & (hop_s + 0.2 <= end)] = 0
    return Scores((1 / (1 + np.exp(-odds))).astype(np.float32), delays, time_s, activity, activity)


def sampled(*spans, every_s=40.0, length_s=6.0, **kw):
    """Samples of a long video, and their spans."""
    whole = video(*spans, **kw)
    starts = np.arange(0, whole.time_s[-1] - length_s, every_s)
    return Scores.join([excerpt(whole, s, s + length_s) for s in starts]), [(s, s + length_s) for s in starts]


def excerpt(scores, start_s, end_s):
    return scores.rows(round(start_s * 25), round(end_s * 25) - 4)


@pytest.mark.parametrize("seed", range(4))
def test_a_constant_delay_is_one_piece(seed):
    (piece,) = find_pieces(video((30, 0.2), seed=seed)).pieces
    assert piece.delay_s == pytest.approx(0.2, abs=0.01)
    assert (piece.start_s, piece.end_s) == (0, pytest.approx(30, abs=0.2))
    assert piece.certainty > 0.99 and 0.016 <= piece.uncertainty_s < 0.03


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.12), (0.12, 0.0), (-0.4, 0.6), (0.6, -0.4)])
def test_a_jump_is_found_where_it_is(before, after):
    found = find_pieces(video((7, before), (12, after)))
    assert [piece.delay_s for piece in found.pieces] == pytest.approx([before, after], abs=0.01)
    (jump,) = found.jumps
    assert jump.size_s == pytest.approx(after - before, abs=0.011)
    assert jump.earliest_s <= 7.1 and jump.latest_s >= 6.9
    assert jump.at_s == pytest.approx(7, abs=0.5)
    assert found.pieces[0].end_s == jump.at_s == found.pieces[1].start_s


def test_several_short_pieces_and_a_delay_that_returns():
    found = find_pieces(video((3, 0.0), (4, 0.3), (4, 0.0), (5, -0.5), (3, 0.8)))
    assert [piece.delay_s for piece in found.pieces] == pytest.approx([0.0, 0.3, 0.0, -0.5, 0.8], abs=0.015)
    assert [jump.at_s for jump in found.jumps] == pytest.approx([3, 7, 11, 16], abs=0.9)


def test_a_small_change_is_no_jump():
    assert not find_pieces(video((10, 0.0), (10, 0.06))).jumps


@pytest.mark.parametrize("seed", range(3))
def test_a_voice_over_is_no_piece_of_its_own(seed):
    (piece,) = find_pieces(video((8, 0.1), (20, VOICE_OVER), (8, 0.1), seed=seed)).pieces
    assert piece.delay_s == pytest.approx(0.1, abs=0.01)


def test_a_voice_over_does_not_hide_a_jump_beside_it():
    found = find_pieces(video((8, 0.1), (6, VOICE_OVER), (8, -0.3)))
    (jump,) = found.jumps
    assert jump.earliest_s < 8.6 and jump.latest_s > 13.4  # anywhere in between
    assert 7.5 < jump.at_s < 14.5


def test_nobody_on_screen_is_at_most_one_uncertain_piece():
    found = find_pieces(video((40, VOICE_OVER)))
    assert not found.jumps and found.pieces[0].certainty < 0.9


def test_nothing_to_compare_has_no_pieces():
    silent = video((5, 0.1), quiet=[(-9, 99)])
    assert find_pieces(silent).pieces == ()


def test_the_change_is_placed_in_a_pause():
    found = find_pieces(video((9, 0.0), (9, 0.3), quiet=[(8.0, 10.5)]))
    (jump,) = found.jumps
    assert jump.earliest_s < 8.6 and 7.9 < jump.at_s < 10.3 and jump.latest_s > 9.6


def test_jumps_besides_a_drift():
    slope = 0.002
    found = find_pieces(video((20, 0.0), (20, 0.3), slope=slope), slope)
    assert [piece.delay_s for piece in found.pieces] == pytest.approx([0.0, 0.3 + slope * 20], abs=0.015)
    assert found.jumps[0].at_s == pytest.approx(20, abs=0.5)


def test_between_samples_a_jump_is_only_known_to_lie_in_the_gap():
    scores, _ = sampled((100, 0.0), (100, 0.4))
    (jump,) = find_pieces(scores).jumps
    assert (jump.earliest_s, jump.latest_s) == (pytest.approx(86, abs=0.5), pytest.approx(120, abs=0.5))


@pytest.mark.parametrize(("at_s", "after"), [(95, 0.4), (112, -0.4)])
def test_bisection_finds_the_jump_in_few_steps(at_s, after):
    spans = ((at_s, 0.0), (200 - at_s, after))
    scores, analysed = sampled(*spans)
    whole = video(*spans)
    for _ in range(8):
        found = find_pieces(scores)
        span = next_span(found.jumps, analysed)
        if span is None:
            break
        analysed.append(span)
        segments = [*scores.segments, excerpt(whole, *span)]
        scores = Scores.join(sorted(segments, key=lambda segment: segment.time_s[0]))
    else:
        pytest.fail("not found in 8 steps")
    assert found.jumps[0].at_s == pytest.approx(at_s, abs=0.5)


def test_next_span_is_the_middle_of_the_longest_gap():
    jumps = [Jump(50, 20, 80, 0.3), Jump(100.1, 100, 100.2, 0.3)]
    assert next_span(jumps, [(0, 20), (80, 86)]) == (47, 53)
    assert next_span(jumps, [(0, 20), (30, 36), (80, 86)]) == (55, 61)
    assert next_span(jumps, [(0, 20), (20, 78), (80, 86)]) == (78, 80)
    assert next_span(jumps, [(0, 81)]) is None
    assert next_span([], [(0, 6)]) is None
