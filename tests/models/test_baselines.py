"""The other methods' nets: their losses in numpy, from the blobs that both nets made."""

import cv2
import numpy as np
import pytest

from tests.models.test_models import BATCH, DEMO, build, detection

SIDE = 6  # of the student's conv5_3 at 96 pixels: 96, 48, 24, 12, 6
WIDTH, GRID = DEMO.size.widths[-1], DEMO.size.grid


def forward(path):
    net = build(path)
    net.forward()
    return net, {name: weight for name, weight in net.blob_loss_weights.items() if weight}


def values(net, *names):
    return [net.blobs[name].data.astype(np.float64) for name in names]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(p, y):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / BATCH


def check_label_loss(net):
    z, y = values(net, "fc8_labels", "label")
    np.testing.assert_allclose(net.blobs["loss"].data, cross_entropy(sigmoid(z), y), rtol=1e-5)
    return z


@pytest.mark.parametrize("method", ["hinton", "fitnets"])
def test_softened_predictions(method):
    net, weights = forward(f"{method}/stage2/train")
    z = check_label_loss(net)
    _, p = detection(net, "teacher_")
    p = np.clip(p, 1e-4, 1 - 1e-4)
    # sigmoid(logit(p) / 2) without a logarithm
    softened = np.sqrt(p) / (np.sqrt(p) + np.sqrt(1 - p))
    np.testing.assert_allclose(net.blobs["teacher_p_softened"].data, softened, atol=2e-5)
    assert softened.std() > 0.01
    loss = cross_entropy(sigmoid(z / 2), softened)
    np.testing.assert_allclose(net.blobs["loss_prediction"].data, loss, rtol=1e-4)
    assert weights == {"loss": 1, "loss_prediction": 4}


def test_a_certain_teacher_stays_finite():
    net = build("hinton/stage2/train")
    net.params["teacher_fc8_c"][1].data[...] = np.arange(DEMO.classes) * 60.0
    net.forward()
    p, softened = values(net, "teacher_p", "teacher_p_softened")
    assert p.min() < 1e-9
    assert p.max() > 1 - 1e-6
    np.testing.assert_allclose([softened.min(), softened.max()], [0.0099, 0.9901], atol=1e-4)


def resized(maps):
    """Bilinear with aligned corners (N, C, SIDE, SIDE)."""
    across = np.linspace(0, maps.shape[-1] - 1, SIDE, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    out = [[cv2.remap(m, x, y, cv2.INTER_LINEAR) for m in image] for image in maps]
    return np.array(out, np.float64)


def test_the_hint():
    net, weights = forward("fitnets/stage1/train")
    mine, hers = values(net, "conv5_3", "teacher_conv5_3")
    assert mine.shape[2:] == (SIDE, SIDE)
    assert hers.shape[2:] == (12, 12)
    hint = resized(net.blobs["teacher_conv5_3"].data)
    # cv2 takes 1/32 steps between two pixels.
    assert np.abs(net.blobs["teacher_map"].data - hint).max() < 0.03 * hers.max()
    hint = net.blobs["teacher_map"].data
    kernel, bias = (blob.data.astype(np.float64) for blob in net.params["psi_conv5_3"])
    regressed = np.einsum("nchw,oc->nohw", mine, kernel[:, :, 0, 0]) + bias[:, None, None]
    loss = ((regressed - hint) ** 2).sum() / (2 * BATCH)
    np.testing.assert_allclose(net.blobs["loss_feature"].data, loss, rtol=1e-5)
    # per number of the map as much as per number of a box: 9 of 36
    assert weights == {"loss_feature": 0.25}


def test_attention():
    net, weights = forward("attention/stage2/train")
    check_label_loss(net)
    mine, hers = values(net, "conv5_3", "teacher_conv5_3")
    attention = []
    for maps in (mine, resized((hers**2).astype(np.float32)) ** 0.5):
        rows = (maps**2).sum(1).reshape(BATCH, -1)
        attention.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    for name, want in zip(("attention", "teacher_attention"), attention, strict=True):
        assert net.blobs[name].shape == (BATCH, 1, 1, SIDE**2)
        np.testing.assert_allclose(net.blobs[name].data.reshape(BATCH, -1), want, atol=5e-3)
    mine, hers = values(net, "attention", "teacher_attention")
    np.testing.assert_allclose((hers**2).sum(axis=(1, 2, 3)), 1, rtol=1e-6)
    loss = ((mine - hers) ** 2).sum() / (2 * BATCH)
    np.testing.assert_allclose(net.blobs["loss_attention"].data, loss, rtol=1e-5)
    # 1000 times the mean over the map
    assert weights == {"loss": 1, "loss_attention": pytest.approx(1000 * 2 / SIDE**2)}


def test_released_stage1_compares_fc7_of_all_real_boxes():
    net, weights = forward("released/stage1/train")
    rois, small = values(net, "rois_teacher", "rois_student")
    assert [(rois[:, 0] == n).sum() for n in range(BATCH)] == [64, 5, 37]
    np.testing.assert_allclose(small[:, 3], (rois[:, 3] + 1) / 2 - 1)  # 192 pixels to 96
    mine, hers = values(net, "fc7", "teacher_fc7")
    assert mine.shape == (106, DEMO.size.fc)
    squares = ((mine - hers) ** 2).sum(1)
    loss = sum(squares[rois[:, 0] == n].mean() for n in range(BATCH)) / (2 * BATCH)
    np.testing.assert_allclose(net.blobs["loss_feature"].data, loss, rtol=1e-5)
    assert weights == {"loss_feature": WIDTH * GRID**2 / DEMO.size.fc}
    assert not [layer for layer in net.layers if layer.type == "Dropout"]


def test_released_stage2():
    net = build("released/stage2/train")
    net.params["temperature_offset"][0].data[...] = -2  # t = 3
    net.forward()
    z = check_label_loss(net)
    _, p_teacher = detection(net, "teacher_", t=0.5)
    loss = cross_entropy(sigmoid(z / 3), p_teacher)
    np.testing.assert_allclose(net.blobs["loss_prediction"].data, loss, rtol=1e-5)
