"""Networks against torchvision's own, and files of weights that are not what they should be."""

import math
import pickle
import urllib.error
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from invlib import models
from invlib.devices import seeded
from invlib.models import (
    TRACKING,
    VGG,
    VGGS,
    Initialisation,
    VGGTable,
    WeightsError,
    load_pretrained,
    squeezenet,
    tracking,
    vgg,
)


@pytest.fixture(scope="module")
def torchvision():
    import torchvision

    return torchvision


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


TINY = VGGTable((4, "M", 8, "M", 8, "M"), map=2, hidden=16, channels=3)


def tiny(classes=3, seed=0):
    """A small VGG for canvases 16 x 16."""
    with seeded(seed):
        return VGG(TINY, classes)


def without_weights(table, classes=10, channels=None):
    with torch.device("meta"):
        return VGG(table, classes, channels)


def count(model):
    return sum(p.numel() for p in model.parameters())


# Against torchvision


def test_a_fresh_vgg16_is_torchvisions_of_the_same_seed(torchvision):
    with seeded(4):
        theirs = torchvision.models.vgg16().eval()
    ours = vgg("vgg16", classes=1000, seed=4).eval()
    expected = theirs.state_dict()
    assert all(torch.equal(t, expected.pop(n)) for n, t in ours.state_dict().items())
    assert not expected
    x = noise(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["smoke", "bench"])
def test_features_and_gradients_of_the_small_rows_are_torchvisions(torchvision, name):
    theirs = torchvision.models.vgg.make_layers(list(VGGS[name].layers), batch_norm=False)
    ours = vgg(name, 2, channels=3).features
    ours.load_state_dict(theirs.state_dict(), strict=True)
    results = []
    for network in (theirs, ours):
        y = network(noise(2, 3, 32, 32))
        (y * noise(*y.shape, seed=1)).sum().backward()
        results.append([y, *(p.grad for p in network.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_squeezenet_gives_torchvisions_logits(torchvision):
    torch.manual_seed(0)
    theirs = torchvision.models.squeezenet1_1(num_classes=7).eval()
    ours = squeezenet(7).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = noise(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


# Tables, heads, initialisation


def test_networks_have_the_parameters_counted_by_hand():
    convolutions = [(1, 16), (16, 32), (32, 64), (64, 64), (64, 64), (64, 64)]
    by_hand = sum(9 * i * o + o for i, o in convolutions)
    by_hand += 1024 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10
    assert count(without_weights(VGGS["bench"])) == by_hand == 926_666
    assert count(without_weights(VGGS["vgg16"], 1000)) == 138_357_544  # as published
    # 64 -> 31 -> 15 -> 7 -> 3 and 224 -> 111 -> 55 -> 27 -> 13 cells of 512 channels.
    for size, cells in ((64, 3), (224, 13)):
        head = squeezenet(10, "flat", size=size).classifier[-1]
        assert head.in_features == 512 * cells**2 and head.out_features == 10


@pytest.mark.parametrize(("name", "size"), [("smoke", 16), ("bench", 64), ("vgg16", 224)])
def test_a_tables_canvas_fills_its_last_map_without_averaging(name, size):
    table = VGGS[name]
    cells = size
    for layer in table.layers:
        cells = cells // 2 if layer == "M" else cells
    assert cells == table.map


@pytest.mark.parametrize(
    ("scheme", "fan", "linear"),
    [
        (Initialisation(), "out", 0.01),
        (Initialisation("fan_in"), "in", 0.01),
        (Initialisation(linear=0.05), "out", 0.05),
        (Initialisation("fan_in", None), "in", None),
    ],
)
def test_fresh_weights_are_normal_with_the_schemes_deviations(scheme, fan, linear):
    for model in (
        vgg("bench", 10, initialisation=scheme),
        squeezenet(10, initialisation=scheme),
        squeezenet(10, "flat", size=64, initialisation=scheme),
    ):
        for layer in model.modules():
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            weight = layer.weight.detach()
            inputs, outputs = weight[0].numel(), weight[:, 0].numel()
            expected = math.sqrt(2 / (inputs if fan == "in" else outputs))
            if isinstance(layer, nn.Linear) and linear:
                expected = linear
            assert not layer.bias.any()
            assert float(weight.std()) == pytest.approx(
                expected, rel=5 / math.sqrt(2 * weight.numel())
            )


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: vgg("bench", 3, seed=seed),
        lambda seed: squeezenet(3, seed=seed),
        lambda seed: tracking("mnist_k4", 3, seed),
        lambda seed: models.replace_head(tiny(), 4, seed=seed),
    ],
)
def test_a_seed_decides_the_weights_and_nothing_else(make):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (list(make(s).state_dict().values()) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("model", "head", "size"),
    [
        (tiny(3), "classifier.6", 16),
        (squeezenet(3), "classifier.1", 64),
        (squeezenet(3, "flat", size=64), "classifier.2", 64),
    ],
)
def test_a_new_head_changes_the_last_layer_only(model, head, size):
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert models.head_name(model) == head
    assert models.replace_head(model, 5, seed=3) is model
    after = model.state_dict()
    changed = [n for n in after if not torch.equal(before[n], after[n])]
    assert changed == [f"{head}.weight", f"{head}.bias"]
    assert model.eval()(noise(2, 3, size, size)).shape == (2, 5)


def test_circular_squeezenet_sees_the_other_side_in_place_of_zeros():
    zeros, circular = squeezenet(3), squeezenet(3, padding="circular")
    assert all(map(torch.equal, zeros.parameters(), circular.parameters()))
    x = torch.randn(1, 16, 9, 9)
    around = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
    expand = circular.features[3].expand3x3
    theirs = torch.nn.functional.conv2d(around, expand.weight, expand.bias)
    with torch.no_grad():
        assert torch.allclose(expand(x), theirs, atol=1e-6)
        assert torch.allclose(
            zeros.features[3].expand3x3(x)[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-6
        )
        assert not torch.allclose(zeros.features[3].expand3x3(x), theirs)


def test_unknown_names_are_refused_by_name():
    with pytest.raises(ValueError, match="unknown VGG 'vgg19'; expected one of smoke, bench"):
        vgg("vgg19", 10)
    with pytest.raises(ValueError, match="unknown head 'round'; expected pooled or flat"):
        squeezenet(10, "round")
    with pytest.raises(ValueError, match="unknown padding 'same'; expected zeros or circular"):
        squeezenet(10, padding="same")
    with pytest.raises(ValueError, match="unknown network 'mnist'; expected one of mnist_k5, mni"):
        tracking("mnist")
    with pytest.raises(ValueError, match="ReLU has no linear or convolution layer"):
        models.head_name(nn.ReLU())


# The tracking networks

SIDES = {
    "mnist": {5: (20, 10, 5), 4: (20, 10, 5), 3: (20, 10, 5)},
    "cifar10": {5: (22, 11, 5), 4: (22, 11, 5), 3: (22, 11, 5)},
    "mnist_unpadded": {5: (18, 7, 1), 4: (18, 7, 2), 3: (19, 8, 3)},
    "cifar10_unpadded": {5: (20, 8, 2), 4: (20, 8, 2), 3: (21, 9, 3)},
}
"""Sides of the maps behind the poolings as printed; table 1 to 4, kernel."""


def row(table, kernel):
    data, _, unpadded = table.partition("_")
    return f"{data}_k{kernel}{'_unpadded' * bool(unpadded)}"


@pytest.mark.parametrize("table", SIDES)
def test_the_tracking_networks_have_the_printed_maps(table):
    for kernel, printed in SIDES[table].items():
        name = row(table, kernel)
        side = 6 + (28 if table.startswith("mnist") else 32) + 6  # the image and its black border
        model, found = tracking(name), []
        assert TRACKING[name].side == side
        x = torch.zeros(1, TRACKING[name].channels[0], side, side)
        whole = model(x)
        for layer in model.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                found.append(x.shape[2:])
        assert found == [(n, n) for n in printed]
        assert torch.equal(model.classifier(x), whole) and whole.shape == (1, 10)


def test_a_kernel_of_4_is_padded_by_1_before_and_2_behind():
    for layer in (0, 4, 8):
        features = tracking("mnist_k4").features[layer : layer + 2]
        nn.init.ones_(features[1].weight)
        width = features[1].in_channels
        cells = features(torch.ones(1, width, 6, 6))[0, 0] / width
        assert cells[0].tolist() == [9, 12, 12, 12, 9, 6]
        assert torch.equal(cells, cells[0, :, None] * cells[0] / 9)


@pytest.mark.parametrize(("kernel", "convolutions"), [(5, 20_310), (4, 13_020), (3, 7_350)])
def test_parameter_counts_of_the_first_table(kernel, convolutions):
    model = tracking(row("mnist", kernel))
    assert count(model.features) == convolutions and count(model.classifier) == 380_510
    assert count(tracking(row("mnist", kernel), classes=3)) == convolutions + 380_510 - 7 * 501


@pytest.mark.parametrize(
    ("table", "nodes"),
    [
        ("mnist_unpadded", {5: (250, 500, 750), 4: (256, 496, 752), 3: (252, 504, 747)}),
        ("cifar10_unpadded", {5: (1250, 2500, 3750), 4: (1248, 2496, 3744), 3: (1251, 2502, 3744)}),
    ],
)
def test_kernels_without_padding_have_as_many_effective_nodes(table, nodes):
    for kernel, expected in nodes.items():
        layers = [m for m in tracking(row(table, kernel)).features if isinstance(m, nn.Conv2d)]
        found = tuple(math.prod(m.kernel_size) * m.out_channels for m in layers)
        assert found == expected


@pytest.mark.parametrize(("kernel", "field"), [(5, 36), (4, 29), (3, 22)])
def test_what_a_cell_behind_the_last_pooling_sees(kernel, field):
    for table in SIDES:
        assert TRACKING[row(table, kernel)].receptive_field == field
    # By the change of one row after the other.
    features = tracking(row("mnist_unpadded", kernel)).features.double()
    for part in features:
        if isinstance(part, nn.Conv2d):
            nn.init.ones_(part.weight)
    x = torch.rand(1, 1, 40, 40, dtype=torch.float64)
    lit = x.repeat(40, 1, 1, 1)
    lit[range(40), 0, range(40)] = 100.0
    assert int((features(lit)[:, 0, 0, 0] != features(x)[0, 0, 0, 0]).sum()) == field


@pytest.mark.parametrize(("kernel", "weights"), [(5, 15_000), (4, 94_000), (3, 373_500)])
def test_weights_from_the_last_maps_to_the_hidden_nodes(kernel, weights):
    table = TRACKING[row("mnist_unpadded", kernel)]
    assert table.weights_behind == tracking(table).classifier[1].weight.numel() == weights


def test_two_small_kernels_see_as_much_as_a_large_one():
    twice = replace(TRACKING["mnist_k3"], convolutions=2)
    assert twice.receptive_field == TRACKING["mnist_k5"].receptive_field == 36
    layers = [m for m in tracking(twice).features if not isinstance(m, nn.MaxPool2d)]
    assert [type(m) for m in layers] == [nn.Conv2d, nn.ReLU] * 6
    widths = [(m.in_channels, m.out_channels) for m in layers[::2]]
    assert widths == [(1, 10), (10, 10), (10, 20), (20, 20), (20, 30), (30, 30)]


def test_a_row_of_ones_own():
    # Table 1 as printed: with k = 4 padded by 2, 2 and 1 the last map has 4 x 4 cells.
    printed = replace(
        TRACKING["mnist_k4"], padding=((2, 2), (2, 2), (1, 1)), sides=(20, 10, 4), hidden=7
    )
    model, sides = tracking(printed), []
    x = torch.zeros(2, 1, 40, 40)
    for layer in model.features:
        x = layer(x)
        sides += [x.shape[2]] * (not isinstance(layer, nn.ReLU))
    assert sides == [41, 20, 21, 10, 9, 4]
    assert model.classifier[1].weight.shape == (7, 480) and model.classifier(x).shape == (2, 10)


@pytest.mark.parametrize("name", ["mnist_k5", "cifar10_k4", "cifar10_k3_unpadded"])
def test_the_tracking_networks_have_hes_initialisation(name):
    layers = [m for m in tracking(name).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 5
    for layer in layers:
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.1)
        assert not layer.bias.any()


def test_a_tracking_network_is_convolution_relu_pooling_without_softmax():
    model, x = tracking("mnist_k5_unpadded", seed=2), noise(2, 1, 40, 40)
    y = x
    for layer in model.features[::3]:
        y = nn.functional.conv2d(y, layer.weight, layer.bias)
        y = nn.functional.max_pool2d(nn.functional.relu(y), 2)
    first, last = model.classifier[1], model.classifier[3]
    logits = last(nn.functional.relu(first(y.flatten(1))))
    assert torch.allclose(model.features(x), y) and torch.allclose(model(x), logits, atol=1e-5)


# Files of weights


@pytest.fixture
def saved(tmp_path):
    """A small VGG for 7 classes, and its weights in a file of either format."""
    model = tiny(7, seed=1)

    def save(suffix=".safetensors", **changes):
        state = {n: t.contiguous() for n, t in model.state_dict().items()} | changes
        state = {n: t for n, t in state.items() if t is not None}
        path = tmp_path / f"weights{suffix}"
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        return path

    return model, save


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_loaded_by_name_but_for_the_head(saved, suffix):
    model, save = saved
    path = save(suffix)
    for classes in (7, 4):
        fresh = tiny(classes, seed=2)
        head = {n: t.clone() for n, t in fresh.classifier[6].state_dict().items()}
        loaded = load_pretrained(fresh, path).state_dict()
        for name, tensor in model.state_dict().items():
            if name.startswith("classifier.6"):
                assert torch.equal(loaded[name], head[name.rpartition(".")[2]])
            else:
                assert torch.equal(loaded[name], tensor)


def test_weights_of_half_precision_become_float32(saved):
    model, save = saved
    half = {n: t.half() for n, t in model.state_dict().items()}
    loaded = load_pretrained(tiny(7), save(**half)).state_dict()
    assert {t.dtype for t in loaded.values()} == {torch.float32}


def test_a_network_trained_on_bgr_sees_the_same_as_before(saved):
    model, save = saved
    rgb = load_pretrained(tiny(7), save(), bgr=True)
    x = noise(2, 3, 16, 16)
    assert torch.allclose(rgb.features(x), model.features(x.flip(1)), atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features.0.weight": torch.zeros(5, 3, 3, 3)},
         r"features\.0\.weight has shape \(5, 3, 3, 3\), VGG expects \(4, 3, 3, 3\)"),
        ({"classifier.0.weight": torch.zeros(16, 7)}, r"classifier\.0\.weight has shape \(16, 7\)"),
        ({"features.0.bias": None}, r"not weights of VGG: absent features\.0\.bias"),
        ({"layer1.conv": torch.zeros(1)}, r"not weights of VGG: unknown layer1\.conv"),
    ],
)  # fmt: skip
def test_weights_of_another_network_are_refused(saved, suffix, changes, message):
    _, save = saved
    path = save(suffix, **changes)
    model = tiny(3, seed=2)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as raised:
        load_pretrained(model, path)
    assert str(path) in str(raised.value)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def with_first(value, shape=(4, 3, 3, 3), dtype=torch.float32):
    return torch.tensor([value] + [0.0] * (math.prod(shape) - 1), dtype=dtype).view(shape)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["features.0.weight", "classifier.9.weight"])  # one is not used
@pytest.mark.parametrize(
    "tensor", [with_first(math.nan), with_first(-math.inf), with_first(1e300, dtype=torch.float64)]
)
def test_weights_that_are_not_finite_numbers_are_refused_by_name(saved, suffix, name, tensor):
    path = saved[1](suffix, **{name: tensor})
    words = f"{path}: {name}: expected finite numbers, found NaN or infinity"
    with pytest.raises(WeightsError, match=words):
        load_pretrained(tiny(7), path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # making and reading a quantised one
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (torch.Tensor.to_sparse, "a dense tensor of real numbers, found a sparse one"),
        (lambda t: t.to("meta"), "a dense tensor of real numbers, found a meta one"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
         "a dense tensor of real numbers, found a quantised one"),
        (lambda t: torch.nested.nested_tensor([t, t], layout=torch.jagged),
         "a dense tensor of real numbers, found a nested one"),
        (lambda t: t.to(torch.complex64), "a dense tensor of real numbers, found a complex one"),
        (lambda t: torch.ones(1).expand(10**6, 10**6), "expected 10{12} values, found fewer"),
        (lambda t: t.byte().view(torch.bits8), "is of torch.bits8, VGG expects torch.float32"),
        (torch.Tensor.long, "is of torch.int64, VGG expects torch.float32"),
    ],
)  # fmt: skip
def test_weights_that_are_no_plain_numbers_are_refused_by_name(saved, change, words):
    path = saved[1](".pth", **{"features.0.weight": change(torch.ones(4, 3, 3, 3))})
    model = tiny(7)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(WeightsError, match=f"{path}: features.0.weight:? .*{words}"):
        load_pretrained(model, path)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_a_count_of_whole_numbers_is_loaded(tmp_path):
    ours, theirs = (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)) for _ in range(2))
    theirs[0].num_batches_tracked += 7
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    assert load_pretrained(ours, tmp_path / "weights.pth")[0].num_batches_tracked == 7


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:4],
        lambda data: b"",
        lambda data: b"<html>404 not found</html>",
        lambda data: bytes(100) + data[100:],
        lambda data: b"\xff" * 8 + data[8:],
    ],
)
def test_damaged_weights_are_named(saved, suffix, damage):
    _, save = saved
    path = save(suffix)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=f"{path}: ") as raised:
        load_pretrained(tiny(3), path)
    assert "weights" in str(raised.value) or "damaged" in str(raised.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_flipped_byte_anywhere_is_never_another_error(saved, suffix):
    _, save = saved
    path = save(suffix)
    data = path.read_bytes()
    ends = [*range(0, 1400, 9), *range(len(data) - 1400, len(data), 9)]
    named = 0
    for where in ends:
        path.write_bytes(data[:where] + bytes([data[where] ^ 0xFF]) + data[where + 1 :])
        try:
            load_pretrained(tiny(7), path)
        except WeightsError as error:
            named += str(path) in str(error)
    assert named > 50


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o, protocol=2))]
)
def test_pickled_objects_are_not_unpickled(tmp_path, save):
    path, sprung = tmp_path / "weights.pth", tmp_path / "sprung"
    save({"features.0.weight": Trap(sprung)}, path)
    with pytest.raises(WeightsError, match="tensors, found pickled objects, .* not loaded"):
        load_pretrained(tiny(), path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], torch.zeros(2), {"a": 1}, {1: torch.ones(1)}]
)
def test_files_of_other_things_than_a_state_dict_are_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="expected a state dict of tensors, found"):
        load_pretrained(tiny(), path)


def test_a_missing_file_is_named(tmp_path):
    for name in ("no.pth", "no.safetensors"):
        with pytest.raises(WeightsError, match=f"{name}: no such file"):
            load_pretrained(tiny(), tmp_path / name)


# Where published weights are looked for


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    for folder in (tmp_path / "own", cache):
        folder.mkdir(parents=True)
    return tmp_path / "own", cache


def test_own_weights_come_before_torchvisions_cache(folders):
    for folder in reversed(folders):
        (folder / "vgg16-397923af.pth").write_bytes(b"")
        assert models.find_weights("vgg16")[1].parent == folder
    (folders[1] / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"")
    weights, path = models.find_weights("squeezenet1_1")
    assert path.parent == folders[1] and weights.mean == models.IMAGENET_MEAN and not weights.bgr


def test_missing_weights_name_the_file_the_places_and_the_command(folders):
    with pytest.raises(WeightsError) as raised:
        models.find_weights("vgg16")
    message = str(raised.value)
    for part in ("vgg16-397923af.pth", *map(str, folders), "invlib weights --download vgg16"):
        assert part in message
    with pytest.raises(WeightsError, match="'resnet18'; expected vgg16, squeezenet1_1"):
        models.find_weights("resnet18")


def test_a_download_without_network_is_one_clear_line(folders, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(
        WeightsError, match=r"vgg16-397923af\.pth could not be downloaded: .*Tempor"
    ):
        models.download_weights("vgg16")
    assert not list(folders[1].iterdir())
    with pytest.raises(WeightsError, match="'resnet18'; expected vgg16, squeezenet1_1"):
        models.download_weights("resnet18")


def test_the_real_squeezenet_weights(real_weights, monkeypatch):
    from safetensors import safe_open

    monkeypatch.setenv("INVLIB_WEIGHTS", str(real_weights))
    weights, path = models.find_weights("squeezenet1_1")
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}
    assert sum(t.numel() for t in state.values()) == 722_496
    theirs = squeezenet(5)
    theirs.load_state_dict(state, strict=False)
    ours = load_pretrained(squeezenet(5), path, weights.bgr)
    x = noise(1, 3, 64, 64) * 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (weights.mean, weights.std))
    # The means in the file's notes are those of BGR.
    as_trained = x.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    with torch.inference_mode():
        expected = theirs.features(as_trained)
        assert torch.allclose(ours.features((x / 255 - mean) / std), expected, rtol=1e-3, atol=1e-2)


def test_a_vgg_of_another_size_averages_to_its_last_map():
    model = VGG(VGGTable((4, "M"), map=2, hidden=8, channels=1), 3).eval()
    x = noise(1, 1, 16, 16)
    blocks = model.features(x).view(1, 4, 2, 4, 2, 4).mean((3, 5))
    assert torch.allclose(model.avgpool(model.features(x)), blocks, atol=1e-6)
    assert model(x).shape == (1, 3)
