"""Images kept as decoded give the same pixels as frames converted to colour first."""

from itertools import product

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from helpers import ffmpeg
from PIL import Image

from resync.media.image import ArrayImage, ImageConverter, YuvImage

W, H = 96, 64
BT709, BT601, UNSPECIFIED_SPACE = 1, 5, 2  # AVColorSpace
LIMITED, FULL, UNSPECIFIED_RANGE = 1, 2, 0  # AVColorRange
# (x, y, side) of crops: inside, across each edge and corner, around the image and outside, at even and odd positions
CROPS = [
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
# Mean and largest error in levels that chroma subsampling and rounding may cause.
MEAN_ERROR, LARGEST_ERROR = 3, 16


def smooth(width=W, height=H) -> np.ndarray:
    """A random image without sharp edges, whose colours survive chroma subsampling: uint8 [height, width, 3], BGR."""
    coarse = np.random.default_rng(0).integers(40, 216, (4, 4, 3), np.uint8)
    if min(width, height) < 8:
        return np.full((height, width, 3), coarse[0, 0])
    return resized(coarse, (width, height), Image.Resampling.BICUBIC)


def resized(pixels, size, resampling=Image.Resampling.BILINEAR) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def errors(image, bgr) -> tuple[float, int]:
    """Mean and largest absolute difference in levels between an image and the expected pixels."""
    difference = np.abs(image.bgr().astype(int) - bgr)
    return difference.mean(), difference.max()


def is_close(image, bgr) -> bool:
    mean, largest = errors(image, bgr)
    return mean < MEAN_ERROR and largest < LARGEST_ERROR


def frame_of(bgr, pixel_format="yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(bgr, "bgr24").reformat(format=pixel_format)
    assert frame.format.name == pixel_format
    return frame


def noise_frame(pixel_format="yuv420p", space=UNSPECIFIED_SPACE, color_range=UNSPECIFIED_RANGE, size=(W, H)) -> av.VideoFrame:
    """A frame of random samples, in which a misplaced crop is visible."""
    samples = np.random.default_rng(1).integers(0, 256, (size[1] * 3 // 2, size[0]), np.uint8)
    frame = av.VideoFrame.from_ndarray(samples, pixel_format)
    frame.colorspace, frame.color_range = space, color_range
    return frame


def yuv_image(frame, quarter_turns=0) -> YuvImage:
    return YuvImage(frame, quarter_turns, VideoReformatter())


def full_gray(frame, quarter_turns=0) -> np.ndarray:
    """Greyscale of the whole frame, by way of colour."""
    return gray_of(np.rot90(frame.to_ndarray(format="bgr24"), quarter_turns))


def gray_of(bgr) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(bgr)).convert("L"))


def assert_same_crops(image, gray, crops):
    """The crops of an image are those of the array `gray`, bit for bit, and black outside of it."""
    margin = 200
    padded = np.pad(gray, margin)
    for x, y, side in crops:
        crop = np.asarray(image.gray.crop(x, y, side))
        expected = padded[y + margin : y + margin + side, x + margin : x + margin + side]
        assert crop.dtype == np.uint8 and np.array_equal(crop, expected), (x, y, side)


def bottom_up(frame) -> av.VideoFrame:
    """The frame flipped vertically, stored from its last line to its first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base="1/25")
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    frame.pts = 0
    graph.push(frame)
    return graph.pull()


@pytest.mark.parametrize("quarter_turns", range(4))
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_crop_equals_crop_of_the_converted_frame(pixel_format, quarter_turns):
    for space, color_range in product((BT601, BT709), (UNSPECIFIED_RANGE, LIMITED, FULL)):
        frame = noise_frame(pixel_format, space, color_range)
        image, gray = yuv_image(frame, quarter_turns), full_gray(frame, quarter_turns)
        assert image.size == gray.shape[::-1] == ((H, W) if quarter_turns % 2 else (W, H))
        assert_same_crops(image, gray, CROPS)


def test_colour_space_and_range_change_the_greyscale():
    """Otherwise the test above would not notice a crop that loses them."""
    grays = [full_gray(noise_frame("yuv420p", *tags)) for tags in ((BT601, LIMITED), (BT709, LIMITED), (BT601, FULL))]
    assert not np.array_equal(grays[0], grays[1]) and not np.array_equal(grays[0], grays[2])


@pytest.mark.parametrize("size", [(98, 62), (50, 70), (36, 34), (642, 362)])
def test_crop_of_frames_with_padded_lines(size):
    frame = noise_frame(size=size)
    assert frame.planes[0].line_size > size[0] or frame.planes[1].line_size > size[0] // 2
    crops = [(3, 5, 20), (-7, -9, 33), (size[0] - 17, 4, 30), (size[0] - 20, size[1] - 21, 31), (0, 0, 90)]
    assert_same_crops(yuv_image(frame), full_gray(frame), crops)


def test_crop_outside_the_image_is_black():
    for gray in (yuv_image(noise_frame()), ArrayImage(smooth()).gray):
        for x, y in ((-8, 0), (0, -8), (W, 0), (0, H), (500, 500), (-500, 3)):
            assert not np.asarray(gray.crop(x, y, 8)).any()
        assert np.asarray(gray.crop(0, 0, 8)).any()


@pytest.mark.parametrize("quarter_turns", range(4))
def test_rotated_colour_image_and_thumbnail(quarter_turns):
    frame = frame_of(smooth())
    image = yuv_image(frame, quarter_turns)
    assert image.bgr().flags.c_contiguous
    assert np.array_equal(image.bgr(), np.rot90(frame.to_ndarray(format="bgr24"), quarter_turns))
    assert is_close(image, np.rot90(smooth(), quarter_turns))
    assert image.thumbnail(16) == pytest.approx(np.rot90(yuv_image(frame).thumbnail(16), quarter_turns), abs=1)


def test_greyscale_swaps_the_weights_of_red_and_blue():
    """So lips stand out darker, as in training."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 200
    blue = red[..., ::-1].copy()
    assert ArrayImage(red).gray.crop(2, 2, 1).getpixel((0, 0)) == round(0.114 * 200)
    assert ArrayImage(blue).gray.crop(2, 2, 1).getpixel((0, 0)) == round(0.299 * 200)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_planar_frame_is_kept_as_decoded(pixel_format):
    frame = noise_frame(pixel_format)
    image = ImageConverter(W)(frame)
    assert isinstance(image, YuvImage) and image.frame is frame and image.quarter_turns == 0


@pytest.mark.parametrize(
    "pixel_format",
    "yuv420p yuvj420p yuv422p yuv444p yuv420p10le yuv422p10le nv12 yuva420p bgr24 rgb24 rgba gbrp rgb48le".split(),
)
def test_pixel_formats_at_even_and_odd_sizes(pixel_format):
    for size in ((W, H), (W - 1, H), (W, H - 1), (W - 1, H - 1), (2, 2), (1, 1)):
        bgr = smooth(*size)
        frame = frame_of(bgr, pixel_format)
        image = ImageConverter(W)(frame)
        assert image.size == size and image.bgr().shape == bgr.shape and image.bgr().dtype == np.uint8
        assert is_close(image, bgr), size
        assert np.array_equal(image.bgr(), frame.to_ndarray(format="bgr24"))
        assert_same_crops(image, full_gray(frame), [(0, 0, 8), (-3, 5, 30), (size[0] - 9, size[1] - 7, 24), (21, 11, 16)])


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le"])
def test_greyscale_video(pixel_format):
    gray = smooth()[..., 0]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), "gray").reformat(format=pixel_format)
    image = ImageConverter(W)(frame)
    assert errors(image, gray[..., None])[1] <= 4
    assert np.abs(np.asarray(image.gray.crop(5, 6, 20)).astype(int) - gray[6:26, 5:25]).max() <= 4


@pytest.mark.parametrize("size", [(W, H), (W - 1, H - 1)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "bgr24"])
def test_frames_stored_bottom_up(pixel_format, size):
    bgr = smooth(*size)
    frame = bottom_up(frame_of(bgr, pixel_format))
    assert frame.planes[0].line_size < 0  # otherwise the frame is not stored bottom-up
    image = ImageConverter(W)(frame)
    assert is_close(image, bgr[::-1])
    assert_same_crops(image, full_gray(frame), [(-3, 5, 20)])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "bgr24"])
@pytest.mark.parametrize(
    "size, max_side, scaled",
    [((96, 64), 48, (48, 32)), ((64, 96), 48, (32, 48)), ((96, 64), 63, (62, 42)), ((96, 64), 96, (96, 64)), ((96, 2), 4, (4, 2))],
)
def test_scaling_keeps_the_aspect_ratio_and_max_side(pixel_format, size, max_side, scaled):
    bgr = smooth(*size)
    frame = frame_of(bgr, pixel_format)
    image = ImageConverter(max_side)(frame)
    assert image.size == scaled and image.bgr().shape == (*scaled[::-1], 3)
    kept = pixel_format if isinstance(image, YuvImage) else "bgr24"
    assert np.array_equal(image.bgr(), VideoReformatter().reformat(frame, *scaled, kept).to_ndarray(format="bgr24"))
    if min(scaled) > 8:
        assert errors(image, resized(bgr, scaled))[0] < 1.2 * MEAN_ERROR  # chroma is scaled in its own resolution
        assert_same_crops(image, gray_of(image.bgr()), [(-3, 7, 40)])


def test_colour_image_of_a_given_size():
    for image in (yuv_image(frame_of(smooth())), ArrayImage(smooth())):
        assert image.bgr((48, 32)).flags.c_contiguous
        assert np.abs(image.bgr((48, 32)).astype(int) - resized(smooth(), (48, 32))).mean() < MEAN_ERROR


@pytest.mark.parametrize("quarter_turns", range(4))
def test_scaled_colour_and_parts_of_a_rotated_frame(quarter_turns):
    frame = frame_of(smooth())
    image, turned = YuvImage(frame, quarter_turns, VideoReformatter()), np.rot90(smooth(), quarter_turns)
    size = tuple(side // 2 for side in image.size)
    assert image.bgr(size).flags.c_contiguous and np.abs(image.bgr(size).astype(int) - resized(turned, size)).mean() < MEAN_ERROR
    for part in (image.part(8, 4, 40, 36), ArrayImage(turned).part(8, 4, 40, 36)):
        assert part.size == (32, 32)
        assert np.abs(part.bgr().astype(int) - turned[4:36, 8:40]).mean() < MEAN_ERROR
        assert np.abs(part.bgr((16, 16)).astype(int) - resized(turned[4:36, 8:40], (16, 16))).mean() < 1.2 * MEAN_ERROR


def test_all_images_have_the_size_of_the_first():
    convert = ImageConverter(48)
    formats = (((96, 64), "yuv420p"), ((120, 80), "nv12"), ((48, 32), "yuv420p"))
    images = [convert(frame_of(smooth(*size), pixel_format)) for size, pixel_format in formats]
    assert [image.size for image in images] == [(48, 32)] * 3
    assert [type(image) for image in images] == [YuvImage, ArrayImage, YuvImage]
    assert all(errors(image, images[0].bgr())[0] < 2 * MEAN_ERROR for image in images)


@pytest.mark.parametrize("size, max_side", [((W, H), W), ((W, H), 48), ((W, H - 1), W), ((W - 1, H), 47)])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_stored_in_the_file_is_applied(tmp_path, degrees, size, max_side):
    Image.fromarray(smooth(*size)[..., ::-1]).save(tmp_path / "plain.png")
    encode = ("-c:v", "libx264", "-qp", "10", "-pix_fmt", "yuv420p" if size == (W, H) else "yuv444p")
    ffmpeg("-i", tmp_path / "plain.png", "-frames:v", 1, *encode, tmp_path / "plain.mp4")
    ffmpeg("-display_rotation", degrees, "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "rotated.mp4")
    with av.open(str(tmp_path / "rotated.mp4")) as container:
        frame = next(container.decode(video=0))
    assert frame.rotation % 360 == degrees
    image = ImageConverter(max_side)(frame)
    width, height = size if max_side >= max(size) else (int(side * max_side / max(size)) // 2 * 2 for side in size)
    assert image.size == ((width, height) if degrees == 180 else (height, width))
    expected = resized(np.ascontiguousarray(np.rot90(smooth(*size), degrees // 90)), image.size)
    assert image.bgr().flags.c_contiguous and errors(image, expected)[0] < 1.1 * MEAN_ERROR
    assert_same_crops(image, gray_of(image.bgr()), [(0, 0, 9), (-3, 5, 30), (31, 22, 40)])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "gbrp"])
@pytest.mark.parametrize("size", [(W, H), (1000, 702)])
def test_thumbnail_is_the_image_scaled_down(pixel_format, size):
    bgr = smooth(*size)
    thumbnail = ImageConverter(1280)(frame_of(bgr, pixel_format)).gray.thumbnail(16)
    assert thumbnail.shape == (16, 16) and thumbnail.dtype == np.float32
    expected = resized(gray_of(bgr), (16, 16), Image.Resampling.BOX).astype(float)
    assert np.corrcoef(thumbnail.ravel(), expected.ravel())[0, 1] > 0.8 and np.ptp(thumbnail) > 40
