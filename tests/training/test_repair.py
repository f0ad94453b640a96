"""Delays of training clips, measured by the network."""

import pytest
from training_helpers import make_entry, peaked_scores

from resync.config import DecisionRule
from resync.errors import DataError
from resync.training.repair import count_changes, read_delays, repair_delays, write_delays


def test_certain_estimates_then_the_index():
    certain = {"kept": (10, 90.0), "corrected": (10, 0.0), "new": (10, None)}  # hops late, index's delay in ms
    uncertain = {"near": (4, 40.0), "far": (10, -300.0), "unknown": (10, None)}
    tracks = [
        (make_entry(name, speaker=name, delay_ms=delay_ms), peaked_scores(odds, hops))
        for odds, group in ((6, certain), (1.5, uncertain))
        for name, (hops, delay_ms) in group.items()
    ]
    delays = repair_delays(tracks)
    assert delays["kept"] == 90.0 and delays["near"] == 40.0 and delays["far"] is None is delays["unknown"]
    assert delays["corrected"] == pytest.approx(100, abs=5) and delays["new"] == pytest.approx(100, abs=5)
    index = {entry.name: entry.delay_ms for entry, _ in tracks}
    assert repair_delays(tracks, trusted=("s",)) == index
    counts = count_changes([entry for entry, _ in tracks], index, delays)
    assert counts == {"s": {"kept": 2, "corrected": 1, "new": 1, "dropped": 2}}


def test_clips_of_one_speaker_are_measured_together():
    clear, faint = peaked_scores(6, 20, seed=1), peaked_scores(1.2, 20, seed=2)

    def tracks(speaker):
        return [(make_entry(name, speaker=speaker, delay_ms=None), s) for name, s in (("clear", clear), ("faint", faint))]

    assert repair_delays(tracks("unknown"))["faint"] is None
    assert repair_delays(tracks("ann"))["faint"] == pytest.approx(200, abs=10)
    other_delay = (make_entry("other", speaker="ann", delay_ms=None), peaked_scores(6, -20))
    assert repair_delays([*tracks("ann"), other_delay])["faint"] is None, "the speaker's clips have different delays"


def test_certainty_is_by_the_rule_of_the_network():
    tracks = [(make_entry("a", delay_ms=None), peaked_scores(6, 10))]
    assert repair_delays(tracks)["a"] == pytest.approx(100, abs=5)
    assert repair_delays(tracks, DecisionRule(constant=-50.0))["a"] is None


def test_delays_are_stored_in_the_cache(tmp_path):
    assert read_delays(tmp_path) is None
    write_delays(tmp_path, {"a": 40.0, "b": None})
    assert read_delays(tmp_path) == {"a": 40.0, "b": None}
    (tmp_path / "delays.json").write_text("{")
    with pytest.raises(DataError, match="delays.json"):
        read_delays(tmp_path)
