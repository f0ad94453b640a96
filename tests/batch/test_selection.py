"""What is kept, re-synced and dropped: a pure function of figures and limits."""

from dataclasses import replace

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED

from resync.batch.selection import Choice, Figures, Selection, choose

GUESS = replace(UNDECIDED, probability_at_offset=0.4, offscreen_ratio=0.6, certainty=0.3, best_delay_ms=80.0)


def late(delay_ms, **figures):
    return Figures.from_report(replace(LATE, audio_delay_ms=delay_ms, **figures))


def chosen(report_or_figures, **selection):
    figures = report_or_figures if isinstance(report_or_figures, Figures) else Figures.from_report(report_or_figures)
    return choose(figures, Selection(**selection))


def test_figures_are_those_of_the_report():
    figures = Figures.from_report(LATE)
    assert (figures.audio_delay_ms, figures.certainty, figures.duration_s, figures.faces, figures.why) == (120.0, 0.97, 16.2, 1, None)
    two_reasons = replace(UNDECIDED, reasons=("no face", "too short"))
    assert Figures.from_report(two_reasons).why == "no face | too short"


@pytest.mark.parametrize(
    "delay_ms, action, reason, shift_ms",
    [
        (20.0, "keep", "audio is 20 ms late, within 20 ms", 0.0),
        (-20.0, "keep", "audio is 20 ms early, within 20 ms", 0.0),
        (0.3, "keep", "audio is in sync, within 20 ms", 0.0),
        (20.1, "resync", "audio is 20 ms late", -20.1),
        (-120.0, "resync", "audio is 120 ms early", 120.0),
        (500.0, "resync", "audio is 500 ms late", -500.0),
        (-500.1, "drop", "audio is 500 ms early, more than 500 ms", None),
    ],
)
def test_small_offsets_are_kept_larger_ones_corrected_and_the_largest_dropped(delay_ms, action, reason, shift_ms):
    assert chosen(late(delay_ms), max_offset_ms=500) == Choice(action, reason, shift_ms)


def test_without_resync_a_larger_offset_drops_the_clip():
    assert chosen(late(40.0), resync=False, keep_within_ms=40).action == "keep"
    assert chosen(late(-41.0), resync=False, keep_within_ms=40) == Choice("drop", "audio is 41 ms early, more than 40 ms", None)


def test_without_a_largest_offset_all_are_corrected():
    assert chosen(late(-9_000.0)) == Choice("resync", "audio is 9000 ms early", 9_000.0)


@pytest.mark.parametrize(
    "limit, reason",
    [
        ({"min_certainty": 0.98}, "certainty 0.97 is below 0.98"),
        ({"max_uncertainty_ms": 5}, "uncertainty in ms 6 is above 5"),
        ({"min_probability": 0.9}, "probability 0.87 is below 0.9"),
        ({"max_offscreen": 0.2}, "off-screen ratio 0.25 is above 0.2"),
        ({"min_seconds": 17}, "16.20 s long, shorter than 17 s"),
    ],
)
def test_each_limit_drops_what_does_not_meet_it(limit, reason):
    assert chosen(late(0.0), **limit) == chosen(late(120.0), **limit) == Choice("drop", reason, None)


def test_a_figure_equal_to_its_limit_meets_it():
    assert chosen(late(0.0), min_certainty=0.97, min_probability=0.87, max_offscreen=0.25, min_seconds=16.2).action == "keep"


def test_all_limits_that_are_not_met_are_named():
    reason = chosen(late(0.0), min_certainty=0.99, max_offscreen=0.1, min_seconds=1).reason
    assert reason == "certainty 0.97 is below 0.99; off-screen ratio 0.25 is above 0.1"


def test_undecided_clips_are_dropped_or_kept_as_they_are():
    assert chosen(GUESS) == Choice("drop", "undecided: no face where there is audio", None)
    assert chosen(GUESS, keep_undecided=True) == Choice("keep", "undecided, left as it is", 0.0)


def test_undecided_clips_that_are_kept_must_meet_the_limits():
    assert chosen(GUESS, keep_undecided=True, max_offscreen=0.5).reason == "off-screen ratio 0.6 is above 0.5"
    assert chosen(UNDECIDED, keep_undecided=True, max_offscreen=0.5) == Choice("drop", "off-screen ratio is unknown", None)
    assert chosen(UNDECIDED, keep_undecided=True, min_certainty=0.5).reason == "certainty is unknown"


def test_an_offset_that_changes_drops_the_clip():
    assert chosen(DRIFT, keep_undecided=True) == Choice("drop", "audio drifts by -30 ms per minute", None)
    assert chosen(JUMP, keep_undecided=True) == Choice("drop", "audio delay jumps", None)
