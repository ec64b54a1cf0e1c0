"""The benchmark's rival of the data path makes the same pixels as our data layer."""

import cv2
import numpy as np
import pytest
from data_path_rivals import BATCH, make_set, net_input, parts, resized, run_layer, start_layer

MEAN = np.float32([103.52, 116.28, 123.675])


def test_opencv_makes_our_pixels_but_for_mirror_and_mean(tmp_path):
    paths = make_set(tmp_path, BATCH)
    assert cv2.imread(str(paths[0])).shape == (480, 640, 3)
    assert not np.array_equal(*(cv2.imread(str(path)) for path in paths[:2]))
    layer, top = start_layer(tmp_path, 2)
    run_layer(layer, top, 1)
    assert len(layer.pending) == 2
    assert all(batch.done() for batch in layer.pending)
    mirrored = [mirror for *_, mirror in layer.batches.plan(0)]
    assert set(mirrored) == {False, True}
    for path, mirror, pixels in zip(paths, mirrored, top[0].data, strict=True):
        image = resized(path)
        wanted = (image[:, ::-1] if mirror else image) - MEAN
        np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))
        (planes,) = net_input(path)
        np.testing.assert_allclose(pixels, planes[:, :, ::-1] if mirror else planes, rtol=1e-6)
    assert (top[3].data == 0).all()


@pytest.fixture
def _threads_of_cv2():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("_threads_of_cv2")
def test_both_wholes_among_the_parts_make_the_same_input():
    found = {name: call() for name, call in parts().items()}
    ours = found["all, ProposalData"]
    for mine, theirs in zip(ours, found["all, cv2.dnn.blobFromImage"], strict=True):
        pixels = {side.tobytes() for side in (mine.round(2), mine[:, :, ::-1].round(2))}
        assert theirs[0].round(2).tobytes() in pixels
    assert [image.shape for image in found["decode"]] == [(480, 640, 3)] * BATCH
    assert cv2.getNumThreads() == 1
