"""Accuracy figures, on embeddings whose delay is known."""

import numpy as np
import pytest
from training_helpers import embedded_track, make_entry, scores_of

from resync.config import DecisionRule
from resync.sync.curve import Scores
from resync.training.accuracy import accuracy_table, clip_metrics, intervals, roc_auc, tally_tracks, window_hits


def test_the_verdict_of_a_clip_follows_the_rule_of_the_network(net):
    track = embedded_track(make_entry(), late_hops=10)
    verdicts = []
    for constant in (-50.0, 50.0):
        net.rule = DecisionRule(constant=constant)
        verdicts.append(clip_metrics(net, track)["verdict"])
    assert verdicts == ["undecided", "out_of_sync"]


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
    table = accuracy_table(tally_tracks(net, tracks))
    assert set(table) == {"s", "t", "all"}
    assert table["s"]["whole_clip"] == 1 == table["s"]["frames_5"] and table["s"]["clips"] == 2
    assert table["t"]["whole_clip"] == 0 == table["t"]["piece_1s"]  # 300 ms from the index's delay
    assert table["t"]["median_error_ms"] == pytest.approx(300, abs=5)
    assert table["all"]["clips"] == 3 and table["all"]["whole_clip"] == pytest.approx(2 / 3, abs=1e-3)
    assert table["all"]["swapped_auc"] == 1
    plain = accuracy_table(tally_tracks(net, tracks, plain=True))["all"]
    assert plain["clips"] == 3 and plain["whole_clip"] == pytest.approx(1 / 3, abs=1e-3), "only a is in sync"
    assert accuracy_table([])["all"]["whole_clip"] is None


def test_roc_auc():
    assert roc_auc([3, 4], [1, 2]) == 1 and roc_auc([1], [1]) == 0.5 and roc_auc([1, 3], [2]) == 0.5
    assert roc_auc([], [1]) is None


def test_accuracy_by_other_groups(net):
    tracks = [embedded_track(make_entry("a", "p"), seed=1), embedded_track(make_entry("b", "q"), late_hops=30, seed=2)]
    table = accuracy_table(tally_tracks(net, tracks), lambda entry: ["both", f"only {entry.name}"])
    assert set(table) == {"both", "only a", "only b", "all"}
    assert [table[group]["whole_clip"] for group in ("both", "only a", "only b")] == [0.5, 1, 0]


def test_own_audio_is_not_compared_with_that_of_the_same_person(net):
    same = [embedded_track(make_entry("a", "p"), seed=1), embedded_track(make_entry("b", "p"), seed=2)]
    assert [tally.swapped_height for tally in tally_tracks(net, same)] == [None, None]
    other = tally_tracks(net, [*same, embedded_track(make_entry("c", "q"), seed=3)])
    assert [tally.swapped_height is None for tally in other] == [False, True, False]


def test_intervals_are_by_person(net):
    """A person's clips are alike: ten clips of one person make the interval no narrower than one does."""
    people = [embedded_track(make_entry(f"x{i}", f"p{i}"), late_hops=30 * (i % 2), seed=i) for i in range(6)]
    many = people + [embedded_track(make_entry(f"y{i}", f"p{i % 6}"), late_hops=30 * (i % 2), seed=i) for i in range(6, 18)]
    few, more = (intervals(tally_tracks(net, tracks))["whole_clip"] for tracks in (people, many))
    assert few[0] < 0.2 and few[1] > 0.8 and more[0] < 0.2 and more[1] > 0.8
    sure = intervals(tally_tracks(net, people[::2]))
    assert sure["whole_clip"] == (1, 1) and "piece_8s" not in sure
