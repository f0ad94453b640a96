"""The queue between reading and analysis."""

import math
from threading import Thread

from resync.live.feed import Connected, Feed, Lost
from resync.media.video import Frame


def frame(number: int) -> Frame:
    return Frame(number, number / 25, number / 25, None)


def taken(feed: Feed) -> list:
    """All items that are there, frames by their number."""
    items = []
    while (item := feed.get(0.0)) is not None:
        items.append(item.index if isinstance(item, Frame) else item)
    return items


def test_a_full_queue_drops_frames_until_it_is_empty_but_no_events():
    feed = Feed(4, max_behind_s=0.0)
    for number in range(6):
        feed.put(frame(number))
    feed.put(Lost("gone"))
    assert feed.get(0.0).index == 0
    feed.put(frame(6))
    assert taken(feed) == [1, 2, 3, Lost("gone")] and feed.dropped == 3
    feed.put(frame(7))
    assert taken(feed) == [7]


def test_a_reader_may_wait_for_room():
    feed = Feed(4, math.inf)
    thread = Thread(target=lambda: [feed.put(frame(number)) for number in range(200)], daemon=True)
    thread.start()
    numbers = [feed.get(10).index for _ in range(200)]
    thread.join(10)
    assert numbers == list(range(200)) and not feed.dropped


def test_a_reader_waits_only_as_long_as_the_analysis_may_be_behind():
    feed = Feed(2, max_behind_s=0.05)
    for number in range(5):
        feed.put(frame(number))
    assert taken(feed) == [0, 1] and feed.dropped == 3


def test_closing_ends_a_wait():
    feed = Feed(1, math.inf)
    feed.put(frame(0))
    thread = Thread(target=feed.put, args=(frame(1),), daemon=True)
    thread.start()
    feed.close()
    thread.join(10)
    assert not thread.is_alive()


def test_get_returns_none_when_nothing_comes():
    feed = Feed(1, 0.0)
    assert feed.get(0.01) is None
    feed.put(Connected())
    assert feed.get(0.01) == Connected()
