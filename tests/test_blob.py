"""Blob: numpy views that stay valid and current, whatever the engine does behind them."""

import weakref

import numpy as np
import torch

from caffe import Blob


def test_new_blob_holds_writable_zeros_of_its_shape():
    blob = Blob((2, 3, 5))
    assert blob.data.shape == blob.diff.shape == (2, 3, 5)
    assert blob.data.flags.c_contiguous
    assert blob.data.flags.writeable
    assert blob.data.dtype == np.float32
    assert not blob.data.any()
    assert not blob.diff.any()
    assert blob.count == 30


def test_writes_through_any_view_reach_the_engine():
    blob = Blob((2, 3))
    blob.data.reshape(-1)[4] = 7
    assert blob.tensor()[1, 1] == 7
    view = blob.data
    view[0, 2] = -1
    assert blob.tensor()[0, 2] == -1


def test_a_view_taken_before_shows_what_the_engine_stores_later():
    blob = Blob((2, 3))
    view = blob.data
    blob.store(torch.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(view, [[0, 1, 2], [3, 4, 5]])
    view[0, 0] = 9
    assert blob.tensor()[0, 0] == 9
    assert blob.data is view


def test_view_of_a_transposed_tensor_is_contiguous_and_written_back():
    blob = Blob((3, 2))
    blob.store(torch.arange(6.0).reshape(2, 3).t())
    assert blob.data.flags.c_contiguous
    np.testing.assert_array_equal(blob.data, [[0, 3], [1, 4], [2, 5]])
    blob.data[2, 1] = 50
    assert blob.tensor()[2, 1] == 50


def test_reshape_keeps_numbers_of_the_same_count_only():
    blob = Blob((2, 3))
    blob.data[...] = np.arange(6).reshape(2, 3)
    blob.reshape(3, 2)
    np.testing.assert_array_equal(blob.data, [[0, 1], [2, 3], [4, 5]])
    blob.reshape(4, 5)
    assert blob.data.shape == (4, 5)
    assert blob.tensor().shape == (4, 5)


def test_store_takes_the_tensors_shape():
    blob = Blob((2, 3))
    blob.diff[...] = 1
    blob.store(torch.ones(4, 7))
    assert blob.shape == blob.diff.shape == (4, 7)


def test_diffs_add_up_until_cleared_whether_seen_or_not():
    blob = Blob((2,), learned=True)
    blob.add_diff(torch.tensor([1.0, 2.0]))
    blob.add_diff(torch.tensor([10.0, 20.0]))
    view = blob.diff
    np.testing.assert_array_equal(view, [11, 22])
    blob.clear_diff()
    assert not view.any()
    blob.add_diff(torch.tensor([5.0, 6.0]))
    np.testing.assert_array_equal(view, [5, 6])
    view[0] = 100
    blob.add_diff(torch.tensor([1.0, 1.0]))
    np.testing.assert_array_equal(blob.diff, [101, 7])


def test_learned_tensor_is_a_leaf_with_gradient_and_shares_the_view():
    blob = Blob((2,), learned=True)
    blob.data[...] = [3, 4]
    leaf = blob.tensor()
    assert leaf.requires_grad
    assert leaf.is_leaf
    with torch.no_grad():
        leaf += 1
    np.testing.assert_array_equal(blob.data, [4, 5])


def test_shared_blobs_see_each_others_numbers():
    mine, theirs = Blob((2,)), Blob((2,))
    mine.share(theirs)
    theirs.data[1] = 8
    assert mine.data[1] == 8


def test_legacy_axes():
    blob = Blob((2, 3, 5, 7))
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 5, 7)
    assert Blob((4,)).channels == 1


def test_a_deferred_diff_is_computed_when_somebody_looks():
    calls = []

    def compute():
        calls.append(1)
        return torch.full((2, 3), 7.0)

    blob = Blob((2, 3), learned=True)
    blob.defer_diff(compute)
    blob.clear_diff()
    assert not blob.diff.any()
    assert calls == []
    unseen = Blob((2, 3), learned=True)
    unseen.defer_diff(compute)
    unseen.add_diff(torch.ones(2, 3))
    assert calls == [1]
    np.testing.assert_array_equal(unseen.diff, np.full((2, 3), 8))
    seen = unseen.diff
    unseen.defer_diff(compute)  # at once, for the view must stay current
    np.testing.assert_array_equal(seen, np.full((2, 3), 7))


def test_a_preferred_layout_lasts_while_no_view_is_held():
    def fills(tensor):
        return tensor.is_contiguous(memory_format=torch.channels_last)

    blob = Blob((5, 3, 2, 4), learned=True)
    blob.store(torch.zeros(5, 3, 2, 4))
    blob.prefer(torch.channels_last)
    assert fills(blob.tensor())
    blob.data[...] = np.arange(120).reshape(5, 3, 2, 4)
    assert fills(blob.tensor())
    view = blob.data
    part = view[1:]
    del view
    assert blob.data.flags.c_contiguous
    assert not fills(blob.tensor())
    part[0, 0] = 7
    assert (blob.tensor()[1, 0] == 7).all()
    with torch.no_grad():
        blob.tensor().add_(1)
    assert (part[0, 0] == 8).all()
    assert blob.tensor()[4, 2, 1, 3] == 120


def test_a_view_is_brought_up_to_date_from_a_gpu_when_asked_for(gpu):
    blob = Blob((2, 3))
    view = blob.data
    blob.store(torch.arange(6.0, device=gpu).reshape(2, 3))
    assert not view.any()
    assert blob.data is view
    np.testing.assert_array_equal(view, [[0, 1, 2], [3, 4, 5]])
    view[1, 0] = 9
    assert blob.tensor(gpu).tolist() == [[0, 1, 2], [9, 4, 5]]
    blob.tensor(gpu).add_(1)  # as solvers do, who then say so
    blob.store(blob.tensor(gpu))
    assert blob.data.tolist() == [[1, 2, 3], [10, 5, 6]]


def test_a_view_handed_out_before_the_gpu_computed_is_the_blob_again_on_the_cpu(gpu):
    for store in (lambda blob: None, lambda blob: blob.store(torch.full((2, 3), 4.0))):
        blob = Blob((2, 3))
        view = blob.data
        blob.store(torch.full((2, 3), 4.0, device=gpu))
        store(blob)
        blob.tensor()
        assert (view == 4).all()
        view[0, 1] = 7
        assert blob.tensor().tolist() == [[4, 7, 4], [4, 4, 4]]
        assert blob.tensor(gpu).tolist() == [[4, 7, 4], [4, 4, 4]]


def test_diffs_of_both_devices_add_up(gpu):
    blob = Blob((2, 3), learned=True)
    blob.add_diff(torch.full((2, 3), 2.0))
    blob.add_diff(torch.full((2, 3), 3.0, device=gpu))
    assert blob.diff_tensor(gpu).device == gpu
    blob.diff[0, 0] += 10
    blob.add_diff(torch.ones(2, 3, device=gpu))
    assert blob.diff.tolist() == [[16, 6, 6], [6, 6, 6]]
    blob.clear_diff()
    assert not blob.diff_tensor(gpu).any()


def test_blobs_that_shared_memory_on_the_cpu_do_not_on_a_gpu(gpu):
    blobs = [Blob((2, 3)), Blob((2, 3))]
    for tensor in (torch.zeros(2, 3), torch.ones(2, 3, device=gpu)):
        for blob in blobs:
            blob.store(tensor)
            assert blob.data[0, 0] == tensor[0, 0]
    blobs[0].data[...] = 5
    assert blobs[1].data[0, 0] == 1
    assert blobs[0].tensor(gpu)[0, 0] == 5


def test_a_forgotten_diff_keeps_only_a_view_that_is_held():
    blob, held = Blob((2, 3)), Blob((2, 3))
    view = held.diff
    for each in (blob, held):
        each.store_diff(torch.full((2, 3), 4.0))
    freed = weakref.ref(blob.diff_tensor())
    for each in (blob, held):
        each.forget_diff()
    assert freed() is None
    assert not blob.diff.any()
    held.store_diff(torch.ones(2, 3))
    assert held.diff is view
    assert view.all()
