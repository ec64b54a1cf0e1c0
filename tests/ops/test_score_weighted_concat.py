"""score_weighted_concat: hand value, CPU and kernels against plain torch, bad input."""

import numpy as np
import pytest
import torch

from caffe.ops.score_weighted_concat import score_weighted_concat
from tests.ops.samples import random_rois, same_bits, values_and_gradients


def sample(boxes, seed):
    rng = np.random.default_rng(seed)
    shapes = [(boxes, 3, 2, 7), (boxes, 5), (boxes, 70, 1)]
    features = [torch.tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    return features, torch.tensor(random_rois(rng, 2, boxes, 30, 20))


def test_hand_value(device):
    rois = torch.tensor([[0.0, 0, 0, 1, 1, 0.5], [1, 0, 0, 1, 1, 2]], device=device)
    features = [torch.tensor([[[1.0, 2]], [[3, 4]]]), torch.tensor([[10.0], [20]])]
    top = score_weighted_concat([x.to(device) for x in features], rois)
    assert top.tolist() == [[0.5, 1, 5], [6, 8, 40]]


@pytest.mark.parametrize("boxes", [0, 1, 4, 9])
def test_equals_plain_torch(boxes, device):
    features, rois = sample(boxes, seed=boxes)
    ours = values_and_gradients(
        lambda *f: score_weighted_concat(f, rois.to(device)), *(x.to(device) for x in features)
    )
    twin = values_and_gradients(
        lambda *f: score_weighted_concat([x.double() for x in f], rois), *features
    )
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got.cpu(), want.float(), rtol=1e-6, atol=1e-7)


def test_kernels_give_the_cpus_bits(use_kernels):
    features, rois = sample(3, seed=5)
    features.append(torch.rand(3, 8200))  # longer than what one block weighs
    results = [values_and_gradients(lambda *f: score_weighted_concat(f, rois), *features)]
    use_kernels()
    results.append(values_and_gradients(lambda *f: score_weighted_concat(f, rois), *features))
    assert same_bits(*results)


def test_strided_features_and_any_number_of_threads_give_the_same(device):
    features, rois = sample(6, seed=3)
    strided = [x.transpose(0, -1).contiguous().transpose(0, -1).to(device) for x in features]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        got = score_weighted_concat(strided, rois)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(got.cpu(), score_weighted_concat(features, rois))


def test_rois_get_no_gradient(device):
    features, rois = sample(6, seed=3)
    rois = rois.to(device).requires_grad_(True)
    assert not score_weighted_concat([x.to(device) for x in features], rois).requires_grad


def test_names_what_does_not_fit():
    features, rois = sample(4, seed=0)
    with pytest.raises(ValueError, match=r"features 2: expected shape \(4, \.\.\.\).*\(3, 5\)"):
        score_weighted_concat([features[0], features[1][:3]], rois)
    with pytest.raises(ValueError, match=r"\(R, 6\).*got \(4, 5\)"):
        score_weighted_concat(features, rois[:, :5])
    rois[2, 5] = torch.nan
    with pytest.raises(ValueError, match=r"rois row 2: .*finite"):
        score_weighted_concat(features, rois)
    with pytest.raises(ValueError, match=r"at least one tensor of features"):
        score_weighted_concat([], rois)
    with pytest.raises(ValueError, match=r"features 2: .*floating-point.*torch\.bool"):
        score_weighted_concat([features[0], features[1] > 0], rois)
    with pytest.raises(ValueError, match=r"features 1 on cpu, features 2 on meta"):
        score_weighted_concat([features[0], features[1].to("meta")], rois)
    many = [torch.zeros(1, 1).expand(4, 2**28)] * 2
    with pytest.raises(ValueError, match=r"at most 2147483647 numbers"):
        score_weighted_concat(many, rois)
