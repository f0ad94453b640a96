"""The network by ONNX Runtime and by torch: the same numbers, the same refusals, and torch only where it is needed."""

import ctypes
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from resync import net as nets
from resync import onnx_net, weights
from resync.config import CropConfig
from resync.dimensions import Dimensions
from resync.embed import TorchNet
from resync.errors import DeviceError, WeightsError
from resync.model import ICSyncNet
from resync.net import has_cuda_driver, load_net
from resync.onnx_net import OnnxNet

TINY = Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 4, 8), embedding=12, head=4, crop=CropConfig(size=32))
OTHERS = (
    TINY,
    replace(TINY, visual_widths=(3, 5, 5, 7), sound_widths=(2, 9, 3, 6), crop=CropConfig(size=50)),
    replace(TINY, visual_widths=(6, 6, 6, 6), sound_widths=(5, 5, 5, 5), embedding=40, head=2, crop=CropConfig(size=33)),
    replace(TINY, visual_widths=(8, 6, 4, 3), embedding=3, head=9, crop=CropConfig(size=16)),
)
CPU = torch.device("cpu")


def trained(dimensions, seed=0):
    """A network as if it had been trained: with batch norms that do something."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    net = ICSyncNet(dimensions)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.5)
            torch.nn.init.normal_(module.bias, 0.2, 0.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.1, 2)
            module.running_var[0] = 0.01  # so small that what is added to it matters
    torch.nn.init.normal_(net.log_scale, 2, 0.3)
    torch.nn.init.normal_(net.bias, -4, 1)
    return net.eval()


def crops_of(net, count, seed=0):
    size = net.dimensions.crop.size
    crops = np.random.default_rng(seed).integers(0, 256, (count, size, size), np.uint8)
    crops[:7] = 0  # no mouth to be seen
    crops[9:14] //= 16
    return crops


def mels_of(count, seed=0):
    mels = np.random.default_rng(seed).normal(-3, 1, (count, 80))
    mels[:25] = -10  # silence
    return mels


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    weights.save(trained(TINY), path, {"made": "by a test"})
    return path


def rewritten(file, change, *, dimensions=None):
    """The file with other tensors, or other dimensions, and no checksum."""
    with safe_open(file, "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    change(tensors)
    if dimensions is not None:
        metadata["dimensions"] = json.dumps(dimensions.to_dict())
    save_file(tensors, file, metadata=metadata)
    weights.checksum_path(file).unlink()
    return file


@pytest.fixture(params=[*range(len(OTHERS)), "packaged"])
def both(request, tmp_path):
    """The same weights in both."""
    path = weights.default_path()
    if request.param != "packaged":
        path = tmp_path / "net.safetensors"
        weights.save(trained(OTHERS[request.param], request.param), path)
    return OnnxNet.load(path), TorchNet.load(path, CPU)


def test_both_give_the_same(both):
    ours, theirs = both
    assert ours.dimensions == theirs.dimensions and ours.device == theirs.device == "cpu"
    crops, mels = crops_of(ours, 40), mels_of(90)
    for got, expected, count in (
        (ours.mouth(crops), theirs.mouth(crops), 36),
        (ours.sound(mels), theirs.sound(mels), 71),
    ):
        assert got.shape == expected.shape == (count, ours.dimensions.embedding) and got.dtype == expected.dtype == np.float32
        assert np.allclose(got, expected, rtol=0, atol=1e-5), np.abs(got - expected).max()
        assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5) and got.std(0).max() > 1e-3


def test_both_give_the_same_probability(both):
    cosine = np.random.default_rng(0).uniform(-1, 1, (50, 30)).astype(np.float32)
    cosine[3], cosine[7, ::2] = np.nan, np.nan
    cosine[0, :3] = -1, 0, 1
    ours, theirs = (net.probability(cosine) for net in both)
    assert ours.shape == theirs.shape == cosine.shape and ours.dtype == theirs.dtype == np.float32
    assert np.array_equal(np.isnan(ours), np.isnan(cosine)) and np.array_equal(np.isnan(theirs), np.isnan(cosine))
    assert np.allclose(ours, theirs, rtol=0, atol=1e-6, equal_nan=True)
    assert 0 <= np.nanmin(ours) < np.nanmax(ours) <= 1


def test_the_norms_of_these_tests_do_something():
    """Or folding them wrongly would not be seen."""
    tensors = {k: v.numpy() for k, v in trained(TINY).state_dict().items()}
    right = OnnxNet(dict(tensors), TINY)
    crops, mels = crops_of(right, 12), mels_of(40)
    for part, plain in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        norms = [k for k in tensors if f"{k.rpartition('.')[0]}.running_var" in tensors and k.endswith(part)]
        assert len(norms) == 2 * (1 + 4 * 2 + 1)
        wrong = OnnxNet({**tensors, **{k: np.full_like(tensors[k], plain) for k in norms}}, TINY)
        assert np.abs(right.mouth(crops) - wrong.mouth(crops)).max() > 1e-3, part
        assert np.abs(right.sound(mels) - wrong.sound(mels)).max() > 1e-3, part


@pytest.mark.parametrize(
    "count", [1, 2, onnx_net.BATCH - 1, onnx_net.BATCH, onnx_net.BATCH + 1, 2 * onnx_net.BATCH, 2 * onnx_net.BATCH + 5]
)
def test_borders_of_batches_change_nothing(file, count):
    net = OnnxNet.load(file)
    crops, mels = crops_of(net, count + 4), mels_of(count + 19)
    mouth, sound = net.mouth(crops), net.sound(mels)
    assert len(mouth) == len(sound) == count
    for k in {0, count // 2, count - 1, min(count, onnx_net.BATCH) - 1, min(count - 1, onnx_net.BATCH)}:
        assert np.allclose(mouth[k], net.mouth(crops[k : k + 5])[0], atol=1e-6)
        assert np.allclose(sound[k], net.sound(mels[k : k + 20])[0], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_less_than_a_window_is_refused(file, count):
    """The analysis leaves such faces out before."""
    for net in (OnnxNet.load(file), TorchNet.load(file, CPU)):
        with pytest.raises((ValueError, RuntimeError)):
            net.mouth(crops_of(net, count))
        with pytest.raises((ValueError, RuntimeError)):
            net.sound(mels_of(19 if count else 0))


def test_the_input_may_be_a_view_and_is_not_changed(file):
    net = OnnxNet.load(file)
    crops = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)
    mels = np.random.default_rng(0).normal(-3, 1, (80, 160))
    before = crops.copy(), mels.copy()
    a, b = crops[::2, ::2, ::-2], mels[::-2, 1::2]
    assert np.array_equal(net.mouth(a), net.mouth(a.copy())) and np.array_equal(net.sound(b), net.sound(b.copy()))
    assert np.array_equal(crops, before[0]) and np.array_equal(mels, before[1])
    crops.flags.writeable = mels.flags.writeable = False
    assert len(net.mouth(a)) == 6 and len(net.sound(b.astype(np.float32))) == 21


def test_threads_change_nothing(file):
    one, three = OnnxNet.load(file, 1), OnnxNet.load(str(file), 3)
    assert np.allclose(one.mouth(crops_of(one, 40)), three.mouth(crops_of(one, 40)), atol=1e-6)


# --- files -----------------------------------------------------------------------------------------


def complaints(path):
    """What both loaders say of a file; one line each."""
    for load in (OnnxNet.load, lambda path: TorchNet.load(path, CPU), load_net):
        with pytest.raises(WeightsError) as error:
            load(path)
        text = str(error.value)
        assert "\n" not in text and str(path) in text and "--weights" in text
        yield text


def test_no_file(tmp_path):
    assert all("no such" in text for text in complaints(tmp_path / "none.safetensors"))
    assert all("no such" in text for text in complaints(tmp_path))


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    assert all("SHA-256" in text for text in complaints(file))
    weights.checksum_path(file).unlink()
    assert all("not weights of this network" in text for text in complaints(file))


def test_altered(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert all("SHA-256" in text for text in complaints(file))


@pytest.mark.parametrize("name", [k for k in trained(TINY).state_dict() if not k.endswith("num_batches_tracked")])
def test_a_tensor_too_few(file, name):
    rewritten(file, lambda tensors: tensors.pop(name))
    assert all("not weights of this network" in text for text in complaints(file))


@pytest.mark.parametrize("name", ["more", "visual.stem.0.bias", "visual.stages.1.short.weight", "sound.stages.9.conv1.weight", "kernel"])
def test_a_tensor_too_many(file, name):
    """visual.stages.1 of TINY is as wide as what comes before it, so it has no convolution in its shortcut."""
    rewritten(file, lambda tensors: tensors.update({name: torch.ones(3)}))
    assert all("not weights of this network" in text for text in complaints(file))


@pytest.mark.parametrize(
    "name",
    ["visual.stem.0.weight", "visual.stages.3.bn2.running_var", "sound.head.0.weight", "sound.out.weight", "sound.out.bias", "log_scale"],
)
def test_a_tensor_of_another_shape(file, name):
    rewritten(file, lambda tensors: tensors.update({name: torch.ones(*tensors[name].shape, 2)}))
    assert all("not weights of this network" in text for text in complaints(file))


@pytest.mark.parametrize(
    "dimensions",
    [
        Dimensions(),
        replace(TINY, embedding=13),
        replace(TINY, head=5),
        replace(TINY, crop=CropConfig(size=64)),
        replace(TINY, visual_widths=(4, 4, 8, 9)),
        replace(TINY, sound_widths=(4, 4, 4)),
        replace(TINY, sound_widths=(4, 4, 4, 8, 8)),
    ],
)
def test_other_dimensions(file, dimensions):
    rewritten(file, lambda tensors: None, dimensions=dimensions)
    assert all("not weights of this network" in text for text in complaints(file))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"dimensions": "{"}, {"dimensions": "3"}, {"dimensions": "{}"}])
def test_foreign_safetensors(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(3)}, path, metadata=metadata)
    assert all("not weights of this network" in text for text in complaints(path))


def test_no_safetensors(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.ones(2)}, path)
    assert all("not weights of this network" in text for text in complaints(path))


def test_counts_of_training_steps_are_not_needed(file):
    """torch.optim's leftovers in batch norms; no result depends on them."""
    crops = crops_of(trained(TINY), 12)
    before = OnnxNet.load(file).mouth(crops)

    def without(tensors):
        for name in [k for k in tensors if k.endswith("num_batches_tracked")]:
            del tensors[name]

    rewritten(file, without)
    assert np.array_equal(OnnxNet.load(file).mouth(crops), before)
    assert np.allclose(TorchNet.load(file, CPU).mouth(crops), before, atol=1e-5)


# --- devices ---------------------------------------------------------------------------------------


def imported(code, file):
    """Whether torch is imported by this code, in a fresh process."""
    code = f"import sys; from resync import net; path = {str(file)!r}; {code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {"True": True, "False": False}[done.stdout.strip()]


def test_a_processor_needs_no_torch(file):
    assert not imported("net.load_net(path, 'cpu')", file)
    assert not imported("net.has_cuda_driver = lambda: False; net.load_net(path, 'auto')", file)
    assert imported("net.has_cuda_driver = lambda: True; net.load_net(path, 'auto')", file)  # or the two above say nothing


def test_a_driver_alone_is_not_enough(file, monkeypatch):
    """torch may be built without CUDA."""
    monkeypatch.setattr(nets, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(load_net(file, "auto"), OnnxNet)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99"])
def test_cuda_that_is_not_there_is_one_line(file, device):
    with pytest.raises(DeviceError) as error:
        load_net(file, device)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{device}: ") and "--device cpu" in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_that_is_not_there_is_one_line_on_the_command_line(delayed_clip):
    command = [sys.executable, "-m", "resync", "check", "--device", "cuda", str(delayed_clip())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and not done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert "cuda" in line and "--device cpu" in line


@pytest.mark.parametrize("device", ["", "gpu", "tpu", "meta", "cpu:x"])
def test_no_such_device(file, device):
    with pytest.raises(DeviceError) as error:
        load_net(file, device)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_is_used_where_it_is(file):
    assert has_cuda_driver()
    crops = crops_of(trained(TINY), 30)
    for device in ("auto", "cuda", "cuda:0"):
        net = load_net(file, device)
        assert isinstance(net, TorchNet) and net.device == "cuda:0"
        assert np.allclose(net.mouth(crops), load_net(file, "cpu").mouth(crops), atol=5e-3)
    assert isinstance(load_net(file, "cpu"), OnnxNet)


def test_the_driver_is_asked(monkeypatch):
    assert has_cuda_driver() in (True, False)

    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert has_cuda_driver() is False


@pytest.mark.parametrize(
    "init, status, count, here", [(0, 0, 1, True), (0, 0, 8, True), (0, 0, 0, False), (100, 0, 1, False), (0, 3, 1, False)]
)
def test_what_the_driver_says(monkeypatch, init, status, count, here):
    class Driver:
        def __init__(self, name):
            assert name in ("libcuda.so.1", "nvcuda.dll")

        def cuInit(self, flags):
            assert flags == 0
            return init

        def cuDeviceGetCount(self, where):
            where._obj.value = count
            return status

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert has_cuda_driver() is here
