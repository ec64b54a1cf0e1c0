"""Students with another backbone: their layers, Psi, what moves, BatchNorm's averages."""

import numpy as np
import pytest
import torch
from backbones import TITLES
from google.protobuf import text_format
from nets import NETS

import caffe
from models import generate
from tests.models.test_models import BATCH, DATASETS, fill_data, phase_of, read, with_inputs

BACKBONES = list(TITLES)
DEMO = DATASETS["demo"]
LIVE, CACHED = "stage1/train", "stage1/train_cached"
STAGED = ("student/train", LIVE, CACHED, "stage2/train", "stage2/train_cached")
# Channels of the demo's tap; numbers that a student of K classes learns: published - 1000 classes'.
TAPPED = {"mobilenet_v1": 256, "resnet18": 32}
FEATURES = {"mobilenet_v1": 1024, "resnet18": 512}
PUBLISHED = {"mobilenet_v1": 4_231_976, "resnet18": 11_689_512}


def build(backbone, path, seed=0, real=(64, 5, 37)):
    """A demo net with data and its fillers' weights, the teacher's of noise."""
    caffe.set_random_seed(seed + 1)
    rng = np.random.default_rng(seed)
    net = caffe.Net(with_inputs(read(f"demo/{backbone}", path), DEMO, len(real)), phase_of(path))
    fill_data(net, DEMO, rng, real)
    for name, blobs in net.params.items():
        if name.startswith("teacher_"):
            spread = np.sqrt(2 / blobs[0].data[0].size)
            spread *= 1 / 64 if name.endswith("conv1_1") else 1
            blobs[0].data[...] = rng.normal(0, spread, blobs[0].data.shape)
    return net


def own(net):
    """The student's layers with weights."""
    return {name: blobs for name, blobs in net.params.items() if not name.startswith("teacher_")}


@pytest.fixture
def no_fillers(monkeypatch):
    """Zeros that take no memory in the place of weights."""
    monkeypatch.setattr("caffe.layer.fill", lambda shape, _: torch.zeros(()).expand(shape))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_file_is_there_under_its_name_and_has_the_same_layers_for_all_sets(backbone):
    wiring = []
    for dataset in generate.DATASETS:
        made = generate.messages(generate.of_backbone(dataset, backbone))
        assert not any(path.startswith("wsddn") for path in made)
        nets = {path: read(f"{dataset.name}/{backbone}", path) for path in made}
        assert nets["stage1/solver"].net == f"models/{dataset.name}/{backbone}/{LIVE}.prototxt"
        assert nets["stage2/train"].name == f"{dataset.name}_{backbone}_stage2_train"
        wiring.append(
            {
                path: [(la.name, la.type, list(la.bottom), list(la.top)) for la in nets[path].layer]
                for path in (*STAGED, "student/test", "student/deploy")
            }
        )
    assert wiring.count(wiring[0]) == len(wiring) == 4


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", DATASETS)
def test_imagenets_weights_fit_by_name(name, backbone, no_fillers):
    (net,) = (net for net in NETS if net.path == f"imagenet/{backbone}")
    published = caffe.Net(net.files["deploy"](), caffe.TEST).params
    dataset = DATASETS[name]
    student = caffe.Net(read(f"{name}/{backbone}", "student/deploy"), caffe.TEST)
    learned = sum(b.count for blobs in student.params.values() for b in blobs if b.learned)
    assert set(published) - set(student.params) == {net.files["deploy"]().layer[-2].name}
    assert set(student.params) - set(published) == {"fc8_labels"}
    assert student.blobs["p"].shape == (1, dataset.classes)
    if name != "demo":
        classifier = (FEATURES[backbone] + 1) * (1000 - dataset.classes)
        assert learned == PUBLISHED[backbone] - classifier
        for layer, blobs in student.params.items():
            if layer in published:
                assert [b.shape for b in blobs] == [b.shape for b in published[layer]], layer


def pool(maps, roi, scale, grid):
    """One box's maxima (C, grid, grid) of maps (N,C,H,W), as Fast R-CNN rounds; 0 if empty."""
    image, *corners = roi[:5]
    x1, y1, x2, y2 = (int(np.floor(v * scale + 0.5)) for v in corners)
    pooled = np.zeros((maps.shape[1], grid, grid))
    for i in range(grid):
        for j in range(grid):
            height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
            rows = range(y1 + i * height // grid, y1 - (-(i + 1) * height // grid))
            columns = range(x1 + j * width // grid, x1 - (-(j + 1) * width // grid))
            seen = [
                maps[int(image), :, r, c]
                for r in rows
                for c in columns
                if 0 <= r < maps.shape[2] and 0 <= c < maps.shape[3]
            ]
            pooled[:, i, j] = np.max(seen, axis=0) if seen else 0
    return pooled


@pytest.mark.parametrize("backbone", BACKBONES)
def test_stage1_compares_psi_of_the_map_at_stride_16(backbone):
    net = build(backbone, LIVE)
    net.params["psi_conv5_3"][1].data[...] = np.linspace(-1, 1, 64)
    net.forward()
    tapped = net.blobs[{"mobilenet_v1": "conv5_5/sep", "resnet18": "res4b"}[backbone]].data
    assert tapped.shape == (BATCH, TAPPED[backbone], 6, 6)
    assert tapped.min() == 0  # behind the ReLU
    weight, bias = (blob.data.astype(np.float64) for blob in net.params["psi_conv5_3"])
    assert weight.shape == (64, TAPPED[backbone], 1, 1)
    psi = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], tapped) + bias[:, None, None]
    rois = net.blobs["rois_student"].data.astype(np.float64)
    want = np.stack([pool(psi, roi, 1 / 16, 3).ravel() * roi[5] for roi in rois])
    np.testing.assert_allclose(net.blobs["features"].data, want, atol=1e-4)
    other = net.blobs["teacher_features"].data.astype(np.float64)
    per_box = ((other - want) ** 2).sum(1)
    means = [per_box[rois[:, 0] == n].mean() for n in range(BATCH)]
    loss = sum(means) / (2 * BATCH)
    assert float(net.blobs["loss_feature"].data) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_stage1_has_no_layers_behind_the_tap(backbone):
    behind = {"mobilenet_v1": ("conv5_6", "conv6"), "resnet18": ("res5", "bn5", "scale5")}
    names = [layer.name for layer in read(f"demo/{backbone}", CACHED).layer]
    assert not any(name.startswith((*behind[backbone], "fc")) for name in names)
    whole = [layer.name for layer in read(f"demo/{backbone}", "stage2/train").layer]
    assert any(name.startswith(behind[backbone]) for name in whole)
    assert "psi_conv5_3" not in whole


def write_solver(folder, backbone, path):
    """The committed solver on the net with inputs; its path."""
    message = with_inputs(read(f"demo/{backbone}", path), DEMO)
    net_file, solver_file = folder / "net.prototxt", folder / "solver.prototxt"
    net_file.write_text(text_format.MessageToString(message))
    options = read(f"demo/{backbone}", path.partition("/")[0] + "/solver")
    options.net, options.snapshot_prefix = str(net_file), str(folder / "s")
    options.solver_mode = options.CPU
    solver_file.write_text(text_format.MessageToString(options))
    return str(solver_file)


@pytest.mark.parametrize("path", STAGED)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_step_moves_the_students_weights_and_averages(backbone, path, tmp_path):
    caffe.set_random_seed(3)
    solver = caffe.get_solver(write_solver(tmp_path, backbone, path))
    net = solver.net
    fill_data(net, DEMO, np.random.default_rng(1), (64, 5, 37))
    net.share_with(build(backbone, path))
    before = {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}
    solver.step(1)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            moved = not np.array_equal(blob.data, before[name][i])
            assert moved != name.startswith("teacher_"), (name, i)
    assert ("psi_conv5_3" in own(net)) == path.startswith("stage1")


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("name", "new"), [("coco", 10), ("demo", 1)])
def test_who_learns_how_fast(name, new, backbone):
    for path in STAGED:
        for layer in read(f"{name}/{backbone}", path).layer:
            rates = [(spec.lr_mult, spec.decay_mult) for spec in layer.param]
            if layer.name.startswith(("psi_", "fc8_labels")):
                assert rates == [(new, 1), (2 * new, 0)]
            elif layer.name.startswith("teacher_"):
                assert rates in ([], [(0, 0), (0, 0)])
            elif layer.type == "Convolution":
                # Howard et al., section 3.2: no weight decay on the depthwise filters
                assert rates == [(1, 0 if layer.name.endswith("/dw") else 1)]
            elif layer.type == "BatchNorm":
                assert layer.batch_norm_param.moving_average_fraction == pytest.approx(0.99)
                assert not layer.batch_norm_param.HasField("use_global_stats")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_batch_norms_averages_go_from_stage_to_stage_and_are_what_tests_use(backbone, tmp_path):
    first = build(backbone, LIVE)
    first.forward()
    conv1 = {"mobilenet_v1": "conv1/bn", "resnet18": "bn_conv1"}[backbone]
    first.save(str(tmp_path / "stage1.caffemodel"))
    second = build(backbone, "stage2/train_cached", seed=1)
    second.copy_from(str(tmp_path / "stage1.caffemodel"))
    for name in set(own(first)) - {"psi_conv5_3"}:
        for mine, blob in zip(second.params[name], first.params[name], strict=True):
            assert np.array_equal(mine.data, blob.data), name
    second.forward()
    assert second.params[conv1][2].data[0] == pytest.approx(0.99 + 1)  # two mini-batches
    second.save(str(tmp_path / "stage2.caffemodel"))
    tested = build(backbone, "student/deploy", real=(1,))
    tested.copy_from(str(tmp_path / "stage2.caffemodel"))
    tested.blobs["data"].data[...] = second.blobs["data_student"].data[:1]
    p = tested.forward()["p"].copy()
    assert not np.allclose(p, 1 / (1 + np.exp(-second.blobs["fc8_labels"].data[:1])), atol=1e-4)
    for blob in tested.params[conv1]:
        blob.data[...] *= 2  # the sums and their weight: the averages stay
    np.testing.assert_allclose(tested.forward()["p"], p, rtol=1e-5)
    tested.params[conv1][1].data[...] *= 2
    assert not np.allclose(tested.forward()["p"], p, rtol=1e-4)
