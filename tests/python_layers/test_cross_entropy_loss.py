"""The numpy twin of CrossEntropyLoss: golden values, the native layer's numbers, errors."""

import numpy as np
import pytest

from tests.python_layers.twin_checks import (
    compare_with_native,
    python_net,
    replay_golden_on_twin,
)

TWIN = ("cross_entropy_loss", "CrossEntropyLoss")


def test_golden(tmp_path):
    replay_golden_on_twin(tmp_path, "mlic/wsddn_cross_entropy_clamped")


@pytest.mark.parametrize("weight", [1, 2.5])
def test_equals_the_native_layer(tmp_path, weight):
    random = np.random.default_rng(3)
    p = random.random((5, 3)).astype(np.float32)
    p[1] = [0, 1, 5e-5]
    label = (random.random((5, 3)) < 0.5).astype(np.float32)
    compare_with_native(tmp_path, {"p": p, "label": label}, *TWIN, extra=f"loss_weight:{weight}")


def test_hand_value(tmp_path):
    bottoms = {"p": np.array([[0.5, 0.0]]), "label": np.array([[1.0, 1.0]])}
    net = python_net(tmp_path, bottoms, *TWIN, extra="loss_weight:1")
    net.forward()
    assert net.blobs["y"].data[0] == pytest.approx(-np.log(0.5) - np.log(1e-4), rel=1e-6)
    net.backward()
    np.testing.assert_allclose(net.blobs["p"].diff, [[-2, -1e4]], rtol=1e-6)


def test_names_labels_that_do_not_fit(tmp_path):
    bottoms = {"p": np.zeros((5, 3)), "label": np.zeros((5, 2))}
    with pytest.raises(ValueError, match=r"as many labels as in \(5, 3\), got \(5, 2\)"):
        python_net(tmp_path, bottoms, *TWIN)
