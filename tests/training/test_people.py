"""Who is who, and the two halves of the validation people."""

from training_helpers import make_entry

from resync.training.people import half_of_people, person, person_numbers


def entries():
    return [make_entry(f"{source}{i}{take}", f"p{i}", source=source) for source in "st" for i in range(7) for take in "ab"]


def test_halves_share_no_person_and_divide_every_source():
    halves = [half_of_people(entries(), half) for half in ("choose", "report")]
    people = [{person(entry) for entry in half} for half in halves]
    assert not people[0] & people[1] and people[0] | people[1] == {person(entry) for entry in entries()}
    for source in "st":
        counts = sorted(len({person(e) for e in half if e.source == source}) for half in halves)
        assert counts == [3, 4]


def test_halves_do_not_depend_on_the_order():
    names = lambda half: {entry.name for entry in half}  # noqa: E731
    assert names(half_of_people(entries()[::-1], "choose")) == names(half_of_people(entries(), "choose"))
    assert half_of_people(entries(), None) == entries()


def test_each_clip_of_an_unknown_speaker_is_another_person():
    a, b = make_entry("a", "unknown"), make_entry("b", "unknown")
    assert person(a) != person(b) and person(make_entry("a", "p")) == person(make_entry("b", "p"))


def test_person_numbers():
    numbers = person_numbers([make_entry("a", "p"), make_entry("b", "q"), make_entry("c", "p")])
    assert numbers == {"a": 0, "b": 1, "c": 0}
