"""Python layers and training scripts need nothing that an original pycaffe does not have."""

import ast
import re
import sys
from pathlib import Path

import pytest
import vermin

import caffe
from caffe.proto import caffe_pb2

ROOT = Path(__file__).parents[2]
LAYERS = sorted((ROOT / "python_layers").glob("*.py"))
# Programs about this engine: they time it, measure its memory or compare it.
ABOUT_THIS_ENGINE = {
    "compare_caffe.py",
    "compared_net.py",
    "data_path_rivals.py",
    "roi_pooling_rivals.py",
    "training_memory.py",
    "vgg16_rivals.py",
}
SCRIPTS = sorted(
    path
    for folder in ("data", "tools")
    for path in (ROOT / folder).glob("*.py")
    if path.name not in ABOUT_THIS_ENGINE
)
PYCAFFE = {
    "Blob",
    "Layer",
    "Net",
    "SGDSolver",
    "TEST",
    "TRAIN",
    "__file__",
    "get_solver",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
}
# What an option asks for that only this engine has.
ON_REQUEST = {"train.py": {"set_precision"}}
# What objects of BVLC's pycaffe have, and what an expression that is one of them looks like.
MEMBERS = """
after_backward after_forward backward before_backward before_forward blob_loss_weights blobs
bottom_names clear_param_diffs copy_from forward forward_all forward_backward_all inputs layer_dict
layers load_hdf5 name outputs params reshape save save_hdf5 set_input_arrays share_with top_names
add_callback apply_update iter net param restore share_weights snapshot solve step test_nets
channels count data diff height num reshape shape width
""".split()  # noqa: SIM905
OBJECT = re.compile(r"(net|solver|blob|(tops?|bottoms?|blobs|params)\[.*\])$")
MEMBERS_ON_REQUEST = {"train.py": {"recompute"}}


def members_of_ours():
    """What a Solver, a Net and a Blob have here alone."""
    param = caffe_pb2.SolverParameter(net_param=caffe_pb2.NetParameter(), base_lr=1)
    param.lr_policy = "fixed"
    solver = caffe.SGDSolver(param)
    names = {name for each in (solver, solver.net, caffe.Blob()) for name in dir(each)}
    return {name for name in names - set(MEMBERS) if not name.startswith("_")}


OURS = members_of_ours()


def used(path):
    """(attributes of caffe, imports from it, members that only our objects have)."""
    attributes, imports, ours = set(), set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "caffe":
                attributes.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] == "caffe":
                imports |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names if alias.name.startswith("caffe.")}
        if isinstance(node, ast.Attribute) and OBJECT.search(ast.unparse(node.value)):
            ours |= {node.attr} & OURS
    return attributes, imports, ours


@pytest.mark.parametrize(
    "path", LAYERS + SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_uses_pycaffe_alone(path):
    attributes, imports, ours = used(path)
    assert attributes <= PYCAFFE | ON_REQUEST.get(path.name, set())
    assert imports <= {"caffe.proto.caffe_pb2"}
    assert ours <= MEMBERS_ON_REQUEST.get(path.name, set())


def test_what_counts_as_use(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "import caffe, caffe.io\nfrom caffe.proto import caffe_pb2\n"
        "caffe.Net(1).x = caffe.fast()\nsolver.net.recompute = 1\ntable.learned\n"
        "net.blobs[name].tensor()\nmy_solver.smoothed_loss\nbottom[0].diff_tensor, top[0].data\n"
    )
    ours = {"recompute", "tensor", "smoothed_loss", "diff_tensor"}
    assert used(path) == ({"Net", "fast"}, {"caffe.io", "caffe.proto.caffe_pb2"}, ours)


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.name)
def test_layers_run_in_python_3_8(path):
    """Which is as old as compare_caffe.py lets a Python be that imports them."""
    _, python3 = vermin.detect(path.read_text(encoding="utf-8"))
    assert python3 <= (3, 8)


def test_layers_do_not_import_us():
    """Only caffe, numpy, cv2, the standard library and one another."""
    known = {"caffe", "cv2", "numpy", "python_layers"}
    for path in LAYERS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert roots <= known | sys.stdlib_module_names, path
