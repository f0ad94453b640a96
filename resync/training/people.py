"""Who speaks in a track, and which half of the validation people chooses and which one reports."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from .cache import Entry

Half = Literal["choose", "report"]


def person(entry: Entry) -> str:
    """Name of the person in a track, the same in every run; each clip of an unknown speaker has its own."""
    return entry.source + (entry.file if entry.speaker == "unknown" else entry.speaker)


def person_hash(entry: Entry) -> float:
    """Number in 0..1 from the person's name, the same in every run."""
    return int(hashlib.sha1(person(entry).encode()).hexdigest()[:8], 16) / 2**32


def person_numbers(entries: Iterable[Entry]) -> dict[str, int]:
    """Number of the person, counted from 0, by name of the track."""
    entries = list(entries)
    people = sorted({(e.source, e.speaker) for e in entries})
    return {e.name: people.index((e.source, e.speaker)) for e in entries}


def half_of_people(entries: Iterable[Entry], half: Half | None) -> list[Entry]:
    """The tracks of one half of the people, of all if `half` is None.

    "choose" picks checkpoints and fits the calibration, "report" is for the figures that are published: a person is in
    one half only, and every source is divided alike, in the order of the people's hashes.
    """
    entries = list(entries)
    if half is None:
        return entries
    hashes: dict[str, dict[str, float]] = defaultdict(dict)
    for entry in entries:
        hashes[entry.source][person(entry)] = person_hash(entry)
    members = {source: sorted(people, key=people.__getitem__)[half == "report" :: 2] for source, people in hashes.items()}
    return [entry for entry in entries if person(entry) in members[entry.source]]
