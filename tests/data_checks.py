"""What the tests of data layers need: replay a golden case inside its folder."""

import numpy as np

import caffe
from tests import evidence
from tests.layer_checks import GOLDEN, net_from_text, relative_error


def replay_batches(tmp_path, monkeypatch, name: str) -> None:
    """Run `golden/data/<name>.npz` in the TEST phase and compare three batches.

    Images may differ by one grey level (OpenCV's decoders do between versions), labels by 1e-6.
    """
    case = np.load(GOLDEN / "data" / f"{name}.npz")
    monkeypatch.chdir(GOLDEN / "data")
    net = net_from_text(tmp_path, str(case["prototxt"]), caffe.TEST)
    level = net._layers[0].layer_param.transform_param.scale
    worst = 0.0
    for step in range(3):
        net.forward()
        for blob, tolerance in zip(net.blobs, (1.001 * level, 1e-6), strict=True):
            got, want = net.blobs[blob].data, case[f"{blob}_step{step}"]
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
            worst = max(worst, relative_error(got, want))
            assert np.abs(got - want).mean() <= 0.1 * tolerance, "most pixels must agree exactly"
    layer = net.layers[0].type
    evidence.GOLDEN.append(evidence.Golden(layer, f"data/{name}", worst, None))
