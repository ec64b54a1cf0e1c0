"""MatWrite: a file per item and bottom, names from a list or counted; errors."""

import numpy as np
import pytest
import scipy.io

import caffe
from tests.layer_checks import net_from_text

TEXT = (
    'layer{name:"in" type:"Input" top:"a" top:"b"'
    " input_param{shape{dim:2 dim:3 dim:7 dim:5} shape{dim:%d dim:4}}}"
    'layer{name:"w" type:"MatWrite" bottom:"a" bottom:"b" mat_write_param{prefix:"%s" %s}}'
)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """write(param, passes): run the net that often, everything in pass k being k."""
    monkeypatch.chdir(tmp_path)
    names = [f"{i}.png other" for i in range(6)]
    (tmp_path / "list.txt").write_text("\n".join(names), encoding="utf-8")

    def run(param: str, passes: int, items: int = 2) -> list[str]:
        net = net_from_text(tmp_path, TEXT % (items, "out/m_", param), caffe.TEST)
        net.blobs["a"].data[1] = 0.5
        for k in range(passes):
            net.blobs["a"].data[0] = k
            net.blobs["b"].data[...] = 10 * k
            assert net.forward() == {}
        return sorted(path.name for path in (tmp_path / "out").iterdir())

    return run


def _read(name: str) -> np.ndarray:
    return scipy.io.loadmat(f"out/m_{name}.mat")["data"]


def test_a_file_for_each_item_and_bottom(write):
    found = write('source:"list.txt" strip:4', 3)
    assert found == [f"m_{item}_blob_{i}.mat" for item in range(6) for i in (0, 1)]
    for k in range(3):
        np.testing.assert_array_equal(_read(f"{2 * k}_blob_0"), np.full((5, 7, 3, 1), k))
        np.testing.assert_array_equal(_read(f"{2 * k + 1}_blob_0"), np.full((5, 7, 3, 1), 0.5))
        np.testing.assert_array_equal(_read(f"{2 * k + 1}_blob_1"), np.full((1, 1, 4, 1), 10 * k))


def test_period_leaves_out_passes_and_their_names(write):
    found = write('source:"list.txt" strip:4 period:2', 3)
    assert found == [f"m_{item}_blob_{i}.mat" for item in (0, 1, 4, 5) for i in (0, 1)]
    np.testing.assert_array_equal(_read("4_blob_0"), np.full((5, 7, 3, 1), 2))


def test_without_a_list_the_passes_are_counted(write):
    found = write("period:2", 4, items=3)
    assert found == [f"m_iter_{k}_blob_{i}.mat" for k in (0, 2) for i in (0, 1)]
    data = _read("iter_2_blob_0")
    np.testing.assert_array_equal(data[..., 0], np.full((5, 7, 3), 2))
    np.testing.assert_array_equal(data[..., 1], np.full((5, 7, 3), 0.5))
    assert _read("iter_2_blob_1").shape == (1, 1, 4, 3)


@pytest.mark.parametrize(
    ("param", "passes", "items", "message"),
    [
        (
            'source:"list.txt"',
            4,
            2,
            "list.txt: expected 8 names or more for the items so far, got 6",
        ),
        ('source:"list.txt"', 1, 3, "expected 2 items in every bottom, got 3 in number 1"),
        ("period:0", 1, 2, "expected a period of at least 1, got 0"),
    ],
)
def test_names_what_does_not_fit(write, param, passes, items, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "w" \(MatWrite\): .*{message}'):
        write(param, passes, items)


def test_names_the_list(write):
    with pytest.raises(caffe.CaffeError, match=r"no.txt: cannot read: No such file"):
        write('source:"no.txt"', 1)
    with pytest.raises(caffe.CaffeError, match=r"list.txt:1: expected strip to be 0 to 4.*got 5"):
        write('source:"list.txt" strip:5', 1)
