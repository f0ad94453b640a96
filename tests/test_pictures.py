"""Pictures kept as decoded show what the same pictures in colour show."""

from itertools import product

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image

from resync.pictures import ArrayPicture, Converter, YuvPicture

W, H = 96, 64
BT709, BT601, UNKNOWN = 1, 5, 2  # AVColorSpace
TV, PC, UNSAID = 1, 2, 0  # AVColorRange
# corner and side of squares: inside, across each edge and corner, all around, and wholly outside, at even and odd places
SQUARES = [
    *product((10, 11), (20, 21), (16, 17)),
    *[(x, 21, 24) for x in (-9, -8, W - 9, W - 8, H - 9, H - 8)],
    *[(21, y, 24) for y in (-9, -8, W - 9, W - 8, H - 9, H - 8)],
    *product((-7, W - 7, H - 7), (-7, W - 7, H - 7), (20,)),
    (-3, -5, 120),
    (W - 1, H - 1, 5),
    (H - 1, W - 1, 5),
    (5, 7, 1),
    *[(x, y, 8) for x, y in ((-8, 0), (0, -8), (-99, -99), (W, 0), (0, W), (W + 1, W + 1))],
]


def smooth(width=W, height=H, seed=0):
    """A random picture without sharp edges, whose colour survives at half the size: uint8 [height, width, 3], BGR."""
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 4, 3), np.uint8)
    if min(width, height) < 8:
        return np.full((height, width, 3), coarse[0, 0])
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def away(picture, bgr):
    """How far a picture is from what it should show, in levels, on average and at most."""
    off = np.abs(picture.bgr().astype(int) - bgr)
    return off.mean(), off.max()


CLOSE = (3, 16)  # for half the colours and a few bits


def frame_of(bgr, kind="yuv420p", space=UNKNOWN, span=UNSAID):
    frame = av.VideoFrame.from_ndarray(bgr, "bgr24").reformat(format=kind)
    assert frame.format.name == kind
    frame.colorspace, frame.color_range = space, span
    return frame


def grainy(kind, space=UNKNOWN, span=UNSAID, size=(W, H)):
    """A frame whose every sample is another: what is taken from a wrong place shows."""
    samples = np.random.default_rng(1).integers(0, 256, (size[1] * 3 // 2, size[0]), np.uint8)
    frame = av.VideoFrame.from_ndarray(samples, kind)
    frame.colorspace, frame.color_range = space, span
    return frame


def cut(gray, x, y, side):
    """The square by hand."""
    out = np.zeros((side, side), np.uint8)
    for row, column in product(range(side), range(side)):
        if 0 <= y + row < gray.shape[0] and 0 <= x + column < gray.shape[1]:
            out[row, column] = gray[y + row, x + column]
    return out


def whole_gray(frame, turns=0):
    """Grey of the whole picture, as it was made when every picture was turned into colour first."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), turns))).convert("L"))


def upside_down(frame):
    """The same, stored from its last line to its first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base="1/25")
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    frame.pts = 0
    graph.push(frame)
    return graph.pull()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(
    "kind, space, span", [(k, s, r) for k in ("yuv420p", "yuvj420p") for s in (BT601, BT709) for r in (UNSAID, TV, PC)]
)
def test_a_part_is_that_part_of_the_whole_bit_for_bit(kind, space, span, turns):
    frame = grainy(kind, space, span)
    picture, gray = YuvPicture(frame, turns, VideoReformatter()), whole_gray(frame, turns)
    assert picture.size == gray.shape[::-1] == ((H, W) if turns % 2 else (W, H))
    for x, y, side in SQUARES:
        part = picture.gray.part(x, y, side)
        assert part.dtype == np.uint8 and np.array_equal(part, cut(gray, x, y, side)), (x, y, side)


@pytest.mark.parametrize("size", [(98, 62), (50, 70), (36, 34), (642, 362)])
def test_parts_of_pictures_whose_lines_are_padded(size):
    frame = grainy("yuv420p", size=size)
    assert frame.planes[0].line_size > size[0] or frame.planes[1].line_size > size[0] // 2
    picture, gray = YuvPicture(frame, 0, VideoReformatter()), whole_gray(frame)
    for x, y, side in ((3, 5, 20), (-7, -9, 33), (size[0] - 17, 4, 30), (size[0] - 20, size[1] - 21, 31), (0, 0, 90)):
        assert np.array_equal(picture.gray.part(x, y, side), cut(gray, x, y, side)), (x, y, side)


def test_what_lies_outside_is_black():
    yuv, array = YuvPicture(grainy("yuv420p"), 0, VideoReformatter()), ArrayPicture(smooth()).gray
    for gray, (x, y) in product((yuv, array), ((-8, 0), (0, -8), (W, 0), (0, H), (500, 500), (-500, 3))):
        assert not gray.part(x, y, 8).any()
    assert yuv.part(0, 0, 8).any() and array.part(0, 0, 8).any()


def test_tags_of_colour_matter():
    """Or the test above would not see that a part forgets them."""
    grays = [whole_gray(grainy("yuv420p", *tags)) for tags in ((BT601, TV), (BT709, TV), (BT601, PC))]
    assert not np.array_equal(grays[0], grays[1]) and not np.array_equal(grays[0], grays[2])


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_picture_in_colour(turns):
    frame = frame_of(smooth())
    bgr = YuvPicture(frame, turns, VideoReformatter()).bgr()
    assert bgr.flags.c_contiguous and np.array_equal(bgr, np.rot90(frame.to_ndarray(format="bgr24"), turns))
    assert np.abs(bgr.astype(int) - np.rot90(smooth(), turns)).max() <= CLOSE[1]


def test_grey_takes_blue_for_red():
    """So that lips stand out darker."""
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 2] = 200
    assert ArrayPicture(colours).gray.part(2, 2, 1).item() == round(0.114 * 200)
    colours = colours[..., ::-1].copy()
    assert ArrayPicture(colours).gray.part(2, 2, 1).item() == round(0.299 * 200)


@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p"])
def test_frames_that_need_nothing_are_kept(kind):
    frame = grainy(kind)
    picture = Converter(W)(frame)
    assert isinstance(picture, YuvPicture) and picture.frame is frame and picture.turns == 0


@pytest.mark.parametrize("size", [(W, H), (W - 1, H), (W, H - 1), (W - 1, H - 1), (2, 2), (1, 1)])
@pytest.mark.parametrize(
    "kind",
    [
        "yuv420p",
        "yuvj420p",
        "yuv422p",
        "yuv444p",
        "yuv420p10le",
        "yuv422p10le",
        "nv12",
        "yuva420p",
        "bgr24",
        "rgb24",
        "rgba",
        "gbrp",
        "rgb48le",
    ],
)
def test_frames_of_every_kind(kind, size):
    bgr = smooth(*size)
    frame = frame_of(bgr, kind)
    picture = Converter(W)(frame)
    assert picture.size == size and picture.bgr().shape == bgr.shape and picture.bgr().dtype == np.uint8
    mean, most = away(picture, bgr)
    assert mean < CLOSE[0] and most < CLOSE[1]
    assert np.array_equal(picture.bgr(), frame.to_ndarray(format="bgr24"))
    for x, y, side in ((0, 0, 8), (-3, 5, 30), (size[0] - 9, size[1] - 7, 24), (21, 11, 16)):
        assert np.array_equal(picture.gray.part(x, y, side), cut(whole_gray(frame), x, y, side)), (x, y, side)


@pytest.mark.parametrize("kind", ["gray", "gray10le"])
def test_grey_frames(kind):
    gray = smooth()[..., 0]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), "gray").reformat(format=kind)
    picture = Converter(W)(frame)
    assert np.abs(picture.bgr().astype(int) - gray[..., None]).max() <= 4
    assert np.abs(picture.gray.part(5, 6, 20).astype(int) - gray[6:26, 5:25]).max() <= 4


@pytest.mark.parametrize("size", [(W, H), (W - 1, H - 1)])
@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "bgr24"])
def test_frames_stored_upside_down(kind, size):
    bgr = smooth(*size)
    frame = upside_down(frame_of(bgr, kind))
    assert frame.planes[0].line_size < 0  # or it is none
    picture = Converter(W)(frame)
    mean, most = away(picture, bgr[::-1])
    assert mean < CLOSE[0] and most < CLOSE[1]
    assert np.array_equal(picture.gray.part(-3, 5, 20), cut(whole_gray(frame), -3, 5, 20))


@pytest.mark.parametrize("kind", ["yuv420p", "yuv420p10le", "bgr24"])
@pytest.mark.parametrize(
    "size, most, shown",
    [((96, 64), 48, (48, 32)), ((64, 96), 48, (32, 48)), ((96, 64), 63, (63, 42)), ((96, 64), 96, (96, 64)), ((96, 2), 4, (4, 1))],
)
def test_scaling_keeps_the_aspect_and_max_side(kind, size, most, shown):
    bgr = smooth(*size)
    frame = frame_of(bgr, kind)
    picture = Converter(most)(frame)
    assert picture.size == shown and picture.bgr().shape == (*shown[::-1], 3)
    assert np.array_equal(picture.bgr(), VideoReformatter().reformat(frame, *shown, "bgr24").to_ndarray())  # at once, or grey is another
    if min(shown) > 8:
        assert away(picture, np.asarray(Image.fromarray(bgr).resize(shown, Image.Resampling.BILINEAR)))[0] < CLOSE[0]
        gray = np.asarray(Image.fromarray(picture.bgr()).convert("L"))
        assert np.array_equal(picture.gray.part(-3, 7, 40), cut(gray, -3, 7, 40))


def test_all_pictures_have_the_size_of_the_first():
    converted = Converter(48)
    shown = [converted(frame_of(smooth(*size), kind)) for size, kind in (((96, 64), "yuv420p"), ((120, 80), "nv12"), ((48, 32), "yuv420p"))]
    assert [p.size for p in shown] == [(48, 32)] * 3
    assert [type(p) for p in shown] == [ArrayPicture, ArrayPicture, YuvPicture]
    assert all(away(p, shown[0].bgr())[0] < 2 * CLOSE[0] for p in shown)


@pytest.mark.parametrize("size, most", [((W, H), W), ((W, H), 48), ((W, H - 1), W), ((W - 1, H), 47)])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_frames_that_are_to_be_turned(ffmpeg, tmp_path, degrees, size, most):
    """rotation of a frame comes from its file."""
    Image.fromarray(smooth(*size)[..., ::-1]).save(tmp_path / "plain.png")
    encode = ("-c:v", "libx264", "-qp", "10", "-pix_fmt", "yuv420p" if size == (W, H) else "yuv444p")
    ffmpeg("-i", tmp_path / "plain.png", "-frames:v", 1, *encode, tmp_path / "plain.mp4")
    ffmpeg("-display_rotation", degrees, "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "turned.mp4")
    with av.open(str(tmp_path / "turned.mp4")) as container:
        frame = next(container.decode(video=0))
    assert frame.rotation % 360 == degrees
    picture = Converter(most)(frame)
    width, height = (round(side * most / max(size)) for side in size)
    expected = np.asarray(Image.fromarray(np.rot90(smooth(*size), degrees // 90)).resize(picture.size, Image.Resampling.BILINEAR))
    assert picture.size == ((width, height) if degrees == 180 else (height, width))
    assert picture.bgr().flags.c_contiguous and away(picture, expected)[0] < CLOSE[0]
    gray = np.asarray(Image.fromarray(picture.bgr()).convert("L"))
    for x, y, n in ((0, 0, 9), (-3, 5, 30), (31, 22, 40)):
        assert np.array_equal(picture.gray.part(x, y, n), cut(gray, x, y, n))


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "gbrp"])
@pytest.mark.parametrize("size", [(W, H), (1000, 702)])
def test_a_thumbnail_is_the_picture_made_small(kind, size):
    bgr = smooth(*size)
    thumb = Converter(1280)(frame_of(bgr, kind)).gray.thumb(16)
    assert thumb.shape == (16, 16) and thumb.dtype == np.float32
    small = np.asarray(Image.fromarray(bgr).convert("L").resize((16, 16), Image.Resampling.BOX), float)
    assert np.corrcoef(thumb.ravel(), small.ravel())[0, 1] > 0.8 and np.ptp(thumb) > 40


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_thumbnail(turns):
    frame = frame_of(smooth())
    plain, turned = (YuvPicture(frame, n, VideoReformatter()).thumb(16) for n in (0, turns))
    assert turned == pytest.approx(np.rot90(plain, turns), abs=1)
