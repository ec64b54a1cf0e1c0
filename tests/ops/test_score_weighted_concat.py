"""score_weighted_concat: hand value, the native path against plain torch, errors."""

import numpy as np
import pytest
import torch

from caffe.ops.score_weighted_concat import score_weighted_concat
from tests.ops.samples import random_rois, values_and_gradients


def sample(boxes, seed):
    rng = np.random.default_rng(seed)
    shapes = [(boxes, 3, 2, 7), (boxes, 5), (boxes, 70, 1)]
    features = [torch.tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    return features, torch.tensor(random_rois(rng, 2, boxes, 30, 20))


def test_hand_value():
    rois = torch.tensor([[0.0, 0, 0, 1, 1, 0.5], [1, 0, 0, 1, 1, 2]])
    features = [torch.tensor([[[1.0, 2]], [[3, 4]]]), torch.tensor([[10.0], [20]])]
    assert score_weighted_concat(features, rois).tolist() == [[0.5, 1, 5], [6, 8, 40]]


@pytest.mark.parametrize("boxes", [0, 1, 4, 9])
def test_native_equals_plain_torch(boxes):
    features, rois = sample(boxes, seed=boxes)
    native = values_and_gradients(lambda *f: score_weighted_concat(f, rois), *features)
    twin = values_and_gradients(
        lambda *f: score_weighted_concat([x.double() for x in f], rois), *features
    )
    for got, want in zip(native, twin, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-6, atol=1e-7)


def test_strided_features_and_any_number_of_threads_give_the_same():
    features, rois = sample(6, seed=3)
    strided = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in features]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        got = score_weighted_concat(strided, rois)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(got, score_weighted_concat(features, rois))


def test_names_what_does_not_fit():
    features, rois = sample(4, seed=0)
    with pytest.raises(ValueError, match=r"features 2: expected shape \(4, \.\.\.\).*\(3, 5\)"):
        score_weighted_concat([features[0], features[1][:3]], rois)
    with pytest.raises(ValueError, match=r"\(R, 6\).*got \(4, 5\)"):
        score_weighted_concat(features, rois[:, :5])
    rois[2, 5] = torch.nan
    with pytest.raises(ValueError, match=r"rois row 2: .*finite"):
        score_weighted_concat(features, rois)
