"""ONNX Runtime and PyTorch: the same results, the same errors, and PyTorch only where it is needed."""

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from resync.config import CropConfig
from resync.errors import DeviceError
from resync.syncnet import backend
from resync.syncnet.backend import has_cuda_driver, load_backend
from resync.syncnet.checkpoint import default_weights_path, save_model
from resync.syncnet.dimensions import Dimensions
from resync.syncnet.model import ICSyncNet
from resync.syncnet.onnx_backend import BATCH, OnnxBackend
from resync.syncnet.torch_backend import TorchBackend

TINY = Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 4, 8), embedding=12, head=4, crop=CropConfig(size=32))
SHAPES = {
    "tiny": TINY,
    "odd widths": replace(TINY, visual_widths=(3, 5, 5, 7), sound_widths=(2, 9, 3, 6), crop=CropConfig(size=50)),
    "equal widths": replace(TINY, visual_widths=(6,) * 4, sound_widths=(5,) * 4, embedding=40, head=2, crop=CropConfig(size=33)),
    "stem at full resolution": replace(TINY, blur_stem=False, crop=CropConfig(size=33)),
    "shrinking widths": replace(TINY, visual_widths=(8, 6, 4, 3), embedding=3, head=9, crop=CropConfig(size=16)),
}
CPU = torch.device("cpu")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")


def random_network(dimensions, seed=0):
    """A network with random batch norms, as if it had been trained."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    net = ICSyncNet(dimensions)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.5)
            torch.nn.init.normal_(module.bias, 0.2, 0.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.1, 2)
            module.running_var[0] = 0.01  # small enough for the epsilon to matter
    torch.nn.init.normal_(net.log_scale, 2, 0.3)
    torch.nn.init.normal_(net.bias, -4, 1)
    return net.eval()


def random_crops(net, count, seed=0):
    size = net.dimensions.crop.size
    crops = np.random.default_rng(seed).integers(0, 256, (count, size, size), np.uint8)
    crops[:7] = 0  # black
    crops[9:14] //= 16  # low contrast
    return crops


def random_mels(count, seed=0):
    mels = np.random.default_rng(seed).normal(-3, 1, (count, 80))
    mels[:25] = -10  # silence
    return mels


def tensors_of(net):
    return {k: v.numpy() for k, v in net.state_dict().items()}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_model(random_network(TINY), path)
    return path


@pytest.fixture(params=[*SHAPES, "packaged weights"])
def both(request, tmp_path):
    """The same weights file in both backends, on the CPU."""
    path = default_weights_path()
    if request.param in SHAPES:
        path = tmp_path / "net.safetensors"
        save_model(random_network(SHAPES[request.param], seed=list(SHAPES).index(request.param)), path)
    return OnnxBackend.load(path), TorchBackend.load(path, CPU)


def test_backends_agree(both):
    with_onnx, with_torch = both
    assert with_onnx.dimensions == with_torch.dimensions and with_onnx.device == with_torch.device == "cpu"
    crops, mels = random_crops(with_onnx, 40), random_mels(90)
    length = with_onnx.dimensions.embedding
    for got, expected, count in (
        (with_onnx.embed_mouths(crops), with_torch.embed_mouths(crops), 36),
        (with_onnx.embed_audio(mels), with_torch.embed_audio(mels), 71),
    ):
        assert got.shape == expected.shape == (count, length) and got.dtype == expected.dtype == np.float32
        assert np.allclose(got, expected, rtol=0, atol=2e-5), np.abs(got - expected).max()
        assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5) and got.std(0).max() > 1e-3
    cosine = np.random.default_rng(0).uniform(-1, 1, (50, 30)).astype(np.float32)
    cosine[0, :3], cosine[3], cosine[7, ::2] = (-1, 0, 1), np.nan, np.nan
    got, expected = with_onnx.probability(cosine), with_torch.probability(cosine)
    assert got.shape == expected.shape == cosine.shape and got.dtype == expected.dtype == np.float32
    assert np.array_equal(np.isnan(got), np.isnan(cosine)) and np.array_equal(np.isnan(expected), np.isnan(cosine))
    assert np.allclose(got, expected, rtol=0, atol=1e-6, equal_nan=True)
    assert 0 <= np.nanmin(got) < np.nanmax(got) <= 1


def test_batch_norms_of_the_test_networks_matter():
    """Otherwise the other tests would not notice a batch norm that is folded wrongly."""
    tensors = tensors_of(random_network(TINY))
    net = OnnxBackend(tensors, TINY)
    crops, mels = random_crops(net, 12), random_mels(40)
    for field, neutral in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        norms = [k for k in tensors if f"{k.rpartition('.')[0]}.running_var" in tensors and k.endswith(field)]
        assert len(norms) == 2 * (1 + 4 * 2 + 1)
        other = OnnxBackend({**tensors, **{k: np.full_like(tensors[k], neutral) for k in norms}}, TINY)
        assert np.abs(net.embed_mouths(crops) - other.embed_mouths(crops)).max() > 1e-3, field
        assert np.abs(net.embed_audio(mels) - other.embed_audio(mels)).max() > 1e-3, field


def test_every_tensor_is_required_and_checked_and_no_other_is_accepted():
    tensors = tensors_of(random_network(TINY))
    required = [k for k in tensors if not k.endswith("num_batches_tracked")]
    for name in required:
        with pytest.raises(KeyError, match=name):
            OnnxBackend({k: v for k, v in tensors.items() if k != name}, TINY)
        with pytest.raises((ValueError, TypeError)):
            OnnxBackend({**tensors, name: np.ones((*tensors[name].shape, 2), np.float32)}, TINY)
    # The input and output of visual.stages.1 have the same width in TINY, so that its shortcut has no convolution.
    for name in ("more", "visual.stem.0.bias", "visual.stages.1.short.weight", "sound.stages.9.conv1.weight", "kernel"):
        with pytest.raises(ValueError, match=name):
            OnnxBackend({**tensors, name: np.ones(3, np.float32)}, TINY)


def test_batch_borders_do_not_change_the_result(file):
    net = OnnxBackend.load(file)
    for count in (1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 2 * BATCH + 5):
        crops, mels = random_crops(net, count + 4), random_mels(count + 19)
        mouths, audio = net.embed_mouths(crops), net.embed_audio(mels)
        assert len(mouths) == len(audio) == count
        for k in {0, count // 2, count - 1, min(count, BATCH) - 1, min(count - 1, BATCH)}:
            assert np.allclose(mouths[k], net.embed_mouths(crops[k : k + 5])[0], atol=1e-6)
            k = count - 1 if k == count - 1 else k // 4 * 4  # the others are interpolated
            assert np.allclose(audio[k], net.embed_audio(mels[k : k + 20])[0], atol=1e-6)


def test_windows_of_digital_silence_are_embedded_once(file):
    net, mels, embedded = OnnxBackend.load(file), random_mels(300), []
    mels[100:200] = -7
    expected, run = net.embed_audio(mels), net._audio
    net._audio = lambda names, inputs: embedded.append(len(inputs["input"])) or run(names, inputs)
    assert np.array_equal(net.embed_audio(mels), expected)
    assert sum(embedded) == 71 - 2 - 21 + 1, "of 71 windows, 2 in the first 25 rows, 21 in the 100 others"
    assert np.allclose(expected[120], net.embed_audio(mels[120:140])[0], atol=1e-6)


def test_less_than_one_window_is_refused(file):
    for net in (OnnxBackend.load(file), TorchBackend.load(file, CPU)):
        for count in (0, 1, 4):
            with pytest.raises((ValueError, RuntimeError)):
                net.embed_mouths(random_crops(net, count))
        for count in (0, 19):
            with pytest.raises((ValueError, RuntimeError)):
                net.embed_audio(random_mels(count))


def test_input_may_be_a_read_only_view_and_is_not_modified(file):
    net = OnnxBackend.load(file)
    crops = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)
    mels = np.random.default_rng(0).normal(-3, 1, (80, 160))
    before = crops.copy(), mels.copy()
    a, b = crops[::2, ::2, ::-2], mels[::-2, 1::2]
    assert np.array_equal(net.embed_mouths(a), net.embed_mouths(a.copy())) and np.array_equal(net.embed_audio(b), net.embed_audio(b.copy()))
    assert np.array_equal(crops, before[0]) and np.array_equal(mels, before[1])
    crops.flags.writeable = mels.flags.writeable = False
    assert len(net.embed_mouths(a)) == 6 and len(net.embed_audio(b.astype(np.float32))) == 21


def test_thread_count_does_not_change_the_result(file):
    one, three = OnnxBackend.load(file, 1), OnnxBackend.load(str(file), 3)
    crops = random_crops(one, 40)
    assert np.allclose(one.embed_mouths(crops), three.embed_mouths(crops), atol=1e-6)


def test_concurrent_calls_return_what_single_calls_return(both):
    for net in both:
        inputs = [(random_crops(net, 20 + i, i), random_mels(40 + i, i)) for i in range(4)]
        expected = [(net.embed_mouths(crops), net.embed_audio(mels)) for crops, mels in inputs]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda x, net=net: (net.embed_mouths(x[0]), net.embed_audio(x[1])), inputs * 2))
        for result, single in zip(results, expected * 2, strict=True):
            assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(result, single, strict=True))


# --- devices ---------------------------------------------------------------------------------------


def imports_torch(code, file):
    """Whether PyTorch is imported by `code`, in a new process."""
    code = f"import sys; from resync.syncnet import backend; path = {str(file)!r}; {code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {"True": True, "False": False}[done.stdout.strip()]


def test_torch_is_imported_only_where_a_cuda_driver_is_present(file):
    assert not imports_torch("backend.load_backend(path, 'cpu')", file)
    assert not imports_torch("backend.has_cuda_driver = lambda: False; backend.load_backend(path, 'auto')", file)
    assert imports_torch("backend.has_cuda_driver = lambda: True; backend.load_backend(path, 'auto')", file)


def test_auto_is_the_cpu_where_torch_is_built_without_cuda(file, monkeypatch):
    monkeypatch.setattr(backend, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(load_backend(file, "auto"), OnnxBackend)


@no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99"])
def test_missing_cuda_is_a_one_line_error(file, device):
    with pytest.raises(DeviceError) as error:
        load_backend(file, device)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{device}: ") and "--device cpu" in str(error.value)


@no_cuda
def test_missing_cuda_is_a_one_line_error_on_the_command_line(delayed_clip):
    command = [sys.executable, "-m", "resync", "check", "--device", "cuda", str(delayed_clip())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and not done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert "cuda" in line and "--device cpu" in line


@pytest.mark.parametrize("device", ["", "gpu", "tpu", "meta", "cpu:x"])
def test_unknown_device_is_a_one_line_error(file, device):
    with pytest.raises(DeviceError) as error:
        load_backend(file, device)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{device}: ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_is_used_where_it_is_available(file):
    assert has_cuda_driver()
    crops = random_crops(random_network(TINY), 30)
    expected = load_backend(file, "cpu").embed_mouths(crops)
    for device in ("auto", "cuda", "cuda:0"):
        net = load_backend(file, device)
        assert isinstance(net, TorchBackend) and net.device == "cuda:0"
        assert np.allclose(net.embed_mouths(crops), expected, atol=5e-3)
    assert isinstance(load_backend(file, "cpu"), OnnxBackend)


def test_no_cuda_driver_without_its_library(monkeypatch):
    assert has_cuda_driver() in (True, False)

    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert has_cuda_driver() is False


@pytest.mark.parametrize(
    "init, status, count, present", [(0, 0, 1, True), (0, 0, 8, True), (0, 0, 0, False), (100, 0, 1, False), (0, 3, 1, False)]
)
def test_cuda_driver_must_initialise_and_report_a_device(monkeypatch, init, status, count, present):
    class Driver:
        def __init__(self, name):
            assert name in ("libcuda.so.1", "nvcuda.dll")

        def cuInit(self, flags):
            assert flags == 0
            return init

        def cuDeviceGetCount(self, pointer):
            pointer._obj.value = count
            return status

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert has_cuda_driver() is present
