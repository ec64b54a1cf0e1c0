"""MatRead: what MatWrite wrote comes back, in the order of the list; errors."""

import numpy as np
import pytest
import scipy.io

import caffe
from caffe.data import mat_file
from tests.layer_checks import net_from_text

TEXT = 'layer{name:"r" type:"MatRead" top:"a" top:"b" mat_read_param{prefix:"m_" %s}}'
WRITE = (
    'layer{name:"in" type:"Input" top:"a" top:"b"'
    " input_param{shape{dim:2 dim:3 dim:7 dim:5} shape{dim:2 dim:4 dim:1 dim:1}}}"
    'layer{name:"w" type:"MatWrite" bottom:"a" bottom:"b" mat_write_param{prefix:"m_" %s}}'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Now the current folder, with a list of four names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("x.jpg\ny.jpg\n\nz.jpg\nlast.jpg\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("param", ['source:"list.txt" strip:4', ""])
def test_what_was_written_comes_back(folder, param):
    rng, net = np.random.default_rng(0), net_from_text(folder, WRITE % param)
    want = []
    for _ in range(2):
        for blob in net.blobs.values():
            blob.data[...] = rng.standard_normal(blob.shape)
        want.append({name: blob.data.copy() for name, blob in net.blobs.items()})
        net.forward()
    files = 2 if param else 1
    reader = net_from_text(folder, TEXT % f"{param} batch_size:{files}")
    assert [blob.shape for blob in reader.blobs.values()] == [(2, 3, 7, 5), (2, 4, 1, 1)]
    for arrays in want:
        for name, array in reader.forward().items():
            np.testing.assert_array_equal(array, arrays[name])


def test_goes_round_the_list_and_follows_the_files_sizes(folder):
    for i, name in enumerate(("x.jpg", "y.jpg", "z.jpg", "last.jpg")):
        for k, shape in enumerate([(1, 1, 7, 5 + i // 2), (1, 2, 3, 1)]):
            mat_file.write(f"m_{name}_blob_{k}.mat", np.full(shape, 10 * k + i))
    net = net_from_text(folder, TEXT % 'source:"list.txt" batch_size:2')
    for i in (0, 2, 0):
        net.forward()
        items = np.array([i, i + 1]).reshape(2, 1, 1, 1)
        width = 5 + i // 2
        np.testing.assert_array_equal(net.blobs["a"].data, items + np.zeros((2, 1, 7, width)))
        np.testing.assert_array_equal(net.blobs["b"].data, 10 + items + np.zeros((2, 2, 3, 1)))
    match = r'layer "r" \(MatRead\): .*m_last.jpg_blob_0.mat: .*\(1, 7, 6\) like .*\(1, 7, 5\)'
    net = net_from_text(folder, TEXT % 'source:"list.txt" batch_size:2')
    mat_file.write("m_last.jpg_blob_0.mat", np.zeros((1, 1, 7, 5)))
    net.forward()
    with pytest.raises(caffe.CaffeError, match=match):
        net.forward()


def test_reads_what_matlab_saves_of_one_image(folder):
    scores = np.random.default_rng(0).standard_normal((5, 7, 3))
    for k in range(2):
        scipy.io.savemat(f"m_iter_0_blob_{k}.mat", {"data": scores})
    net = net_from_text(folder, TEXT % "")
    assert net.blobs["a"].shape == (1, 3, 7, 5)
    np.testing.assert_array_equal(net.forward()["a"][0], np.float32(scores.transpose(2, 1, 0)))
    with pytest.raises(caffe.CaffeError, match=r"m_iter_1_blob_0.mat: cannot read: No such file"):
        net.forward()


def test_names_what_does_not_fit(folder):
    match = r'layer "r" \(MatRead\): expected a batch_size of at least 1, got 0'
    with pytest.raises(caffe.CaffeError, match=match):
        net_from_text(folder, TEXT % "batch_size:0")
    with pytest.raises(caffe.CaffeError, match=r"m_x.jpg_blob_0.mat: cannot read"):
        net_from_text(folder, TEXT % 'source:"list.txt"')
