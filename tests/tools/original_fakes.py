"""Programs that stand in for an original Caffe: each is a package `caffe` on a path of its own."""

import os
import sys
import sysconfig
from pathlib import Path

from google.protobuf import descriptor_pb2

from caffe.proto import caffe_pb2

REPOSITORY = Path(__file__).parents[2]

# A pycaffe without a line of ours, whose nets do what `body` says.
STUB = """
import os, sys, time
TEST = 1
class Layer: pass
class Net:
    def __init__(self, *arguments):
        sys.stderr.write("I1121 02:30:00.000000  7 net.cpp:84] Creating Layer conv\\n")
        sys.stderr.flush()
        {body}
def get_solver(path): pass
def set_mode_cpu(): pass
def layer_type_list(): return {types}
"""
# This engine under another name, changed by `body`.
ENGINE = """
import os, sys
sys.path.remove(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
del sys.modules["caffe"]
import caffe
from caffe import lr_policy, registry
caffe.__file__ = __file__
caffe.layer_type_list()
types = registry._TYPES
{body}
"""
# The caffe_pb2 of the description in a file, which comes before the engine's own.
SCHEMA = """
import sys, types
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
with open({file!r}, "rb") as stream:
    described = descriptor_pb2.FileDescriptorProto.FromString(stream.read())
pool = descriptor_pool.DescriptorPool()
pool.Add(described)
pb2 = types.ModuleType("caffe.proto.caffe_pb2")
pb2.DESCRIPTOR = pool.FindFileByName(described.name)
for name, message in pb2.DESCRIPTOR.message_types_by_name.items():
    setattr(pb2, name, message_factory.GetMessageClass(message))
for name, enum in pb2.DESCRIPTOR.enum_types_by_name.items():
    setattr(pb2, name, EnumTypeWrapper(enum))
    vars(pb2).update(getattr(pb2, name).items())
sys.modules[pb2.__name__] = pb2
"""
# Takes away what this engine has beyond BVLC's pycaffe.
LESS = """
for name in set(types) - set({types}):
    del types[name]
for name in {names}:
    delattr(caffe, name)
"""
FATAL = (
    "F1121 02:30:00.000000  7 pooling_layer.cpp:44] Check failed: pad_h_ < kernel_h_ (2 vs. 2) \n"
    "*** Check failure stack trace: ***\n    @ 0x7f0000000000 google::LogMessage::Fail()\n"
)
# The layer types of BVLC Caffe, and its fields of LayerParameter beyond those that all trees have.
BVLC = """
AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop
Data Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data
HDF5Output HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN
MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape
SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH
Threshold Tile WindowData
""".split()  # noqa: SIM905
BVLC_FIELDS = ("input", "crop", "parameter", "recurrent", "swish", "clip")
COMMON_FIELDS = 142  # the last number that all trees give to the same field
OURS = ("CaffeError", "Module", "get_precision", "set_precision")
TYPES = ["Convolution", "InnerProduct", "Pooling", "ReLU", "Sigmoid", "Split"]


def python_without_site(folder: Path) -> str:
    """This Python, but its installed packages; this engine's installation would come first."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def _package(folder: Path, text: str) -> str:
    package = folder / "fake" / "caffe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    return str(package.parent)


def stub(folder: Path, body: str = "pass", types=TYPES) -> list[str]:
    """The options for a pycaffe whose Net does this; `types` are what it claims to have."""
    path = _package(folder, STUB.format(body=body, types=types))
    (folder / "fake/caffe/proto").symlink_to(REPOSITORY / "caffe/proto")
    return nothing(folder, path)


def engine(folder: Path, body: str = "") -> list[str]:
    """The options for this engine with a change."""
    return nothing(folder, f"{_package(folder, ENGINE.format(body=body))}:{REPOSITORY}")


def bvlc(folder: Path) -> list[str]:
    """The options for this engine with no more names, layer types and layer fields than BVLC's."""
    described = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(described)
    layer = next(message for message in described.message_type if message.name == "LayerParameter")
    known = {f"{field}_param" for field in BVLC_FIELDS}
    kept = [field for field in layer.field if field.number <= COMMON_FIELDS or field.name in known]
    del layer.field[:]
    layer.field.extend(kept)
    file = folder / "bvlc_caffe.proto.bin"
    file.write_bytes(described.SerializeToString())
    less = LESS.format(types=BVLC, names=OURS)
    text = SCHEMA.format(file=str(file)) + ENGINE.format(body=less)
    return nothing(folder, f"{_package(folder, text)}:{REPOSITORY}")


def module(folder: Path, text: str) -> list[str]:
    """The options for a module `caffe` of this text."""
    return nothing(folder, _package(folder, text))


def nothing(folder: Path, path: str) -> list[str]:
    """The options for a Python that finds numpy, and on `path` what is there."""
    path = os.pathsep.join([path, sysconfig.get_path("purelib")])
    return ["--python", python_without_site(folder), "--pythonpath", path]
