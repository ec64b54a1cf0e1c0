"""Prepare NUS-WIDE's training and test set from its text files or .mat, and the images one has.

Many of the images can no longer be fetched: those that are missing or unreadable are left out
and listed, and the counts are compared with the splits in the literature. See data/README.md.
"""

import argparse
import pathlib

import numpy as np
from mat_cells import read_variables
from prepared import Sample, add_preparation, prepare_set, print_counts, read_names, run_tool
from tqdm import tqdm

from python_layers.array_file import DataError

SPLITS = ("train", "test")
# Images (training, test), and what is known about them.
PUBLISHED = {
    (161_789, 107_859): "the official split, whole",
    (125_449, 83_898): "the official split, images with a label",
    (119_986, 80_283): "used in several papers",
    (150_000, 60_260): "used in several papers",
    (150_000, 59_347): "150,000 of the 209,347 images with a label, and the rest",
}


def find(root, name, archive):
    """The file or folder `name` in `root` or one folder below it; DataError naming the archive."""
    for path in (pathlib.Path(root, name), *sorted(pathlib.Path(root).glob(f"*/{name}"))):
        if path.exists():
            return path
    raise DataError(f"{root}: expected {name} here or one folder below; unpack {archive}")


def read_image_list(root, split):
    """(the file, its paths): sub-folder/name, with slashes instead of the original's \\."""
    name = f"{split.capitalize()}Imagelist.txt"
    path = find(root, f"ImageList/{name}", "the image list (ImageList.zip)")
    return path, [line.replace("\\", "/") for line in read_names(path)]


def read_column(path, count):
    """The 0/1 labels (count,) of one concept, a line each."""
    values = path.read_bytes().split()
    if not set(values) <= {b"0", b"1"}:
        line = next(n for n, value in enumerate(values, 1) if value not in (b"0", b"1"))
        got = values[line - 1].decode("ascii", "replace")
        raise DataError(f"{path}:{line}: expected 0 or 1, got {got}; fetch the file again")
    if len(values) != count:
        raise DataError(
            f"{path}: expected {count:,} labels, one per line of the image list, got "
            f"{len(values):,}; is it of another split, or cut short?"
        )
    return np.frombuffer(b"".join(values), np.uint8) - ord("0")


def read_text_labels(root, split, classes, count):
    """Labels (count,K) uint8 from TrainTestLabels/Labels_<concept>_<Split>.txt."""
    folder = find(root, "TrainTestLabels", "the ground truth (Groundtruth.zip)")
    labels = np.empty((count, len(classes)), np.uint8)
    for number, name in enumerate(tqdm(classes, f"{split} labels", unit="file")):
        path = folder / f"Labels_{name}_{split.capitalize()}.txt"
        if not path.is_file():
            raise DataError(f"{path}: no such file: expected the labels of {name}; unpack it again")
        labels[:, number] = read_column(path, count)
    return labels


def read_mat_labels(path, split, classes, count):
    """Labels (count,K) uint8 from the one .mat variable named after the split, N x K or K x N."""
    wanted = count, len(classes)
    arrays = read_variables(path)
    found = {name: array for name, array in arrays.items() if split in name.lower()}
    fitting = [
        array if array.shape == wanted else array.T
        for array in found.values()
        if array.shape in (wanted, wanted[::-1])
    ]
    if len(fitting) != 1:
        there = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(
            f"{path}: expected one variable with {split!r} in its name, of shape {wanted} or "
            f"{wanted[::-1]}, got: {there}; rename it or leave the other out"
        )
    if not np.isin(fitting[0], (0, 1)).all():
        raise DataError(f"{path}: {split}: expected labels 0 and 1 alone; correct the file")
    return np.asarray(fitting[0], np.uint8)


def index_by_name(folder):
    """{file name: path relative to `folder`} of everything in it, sub-folders included."""
    files = (path for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file())
    return {path.name: path.relative_to(folder).as_posix() for path in files}


def locate(images, folder):
    """The paths of those images under `folder`, each file used once.

    That is the path of the list, or, for downloads that keep other sub-folders or none, the file
    of the same name; an image that is not there keeps the list's path.
    """
    by_name, used, found = None, set(images), []
    for image in images:
        path = image
        if not pathlib.Path(folder, image).is_file():
            by_name = index_by_name(folder) if by_name is None else by_name
            path = by_name.get(pathlib.PurePosixPath(image).name, image)
            path = image if path in used else path
        used.add(path)
        found.append(path)
    return found


def nearest_split(kept):
    """A sentence: which published split {split: images kept} comes nearest to."""

    def distance(sizes):
        return sum(abs(kept[s] - n) for s, n in zip(SPLITS, sizes, strict=True) if s in kept)

    best = min(PUBLISHED, key=distance)
    counts = " and ".join(f"{kept[split]:,} {split}" for split in SPLITS if split in kept)
    return (
        f"kept {counts} images; the nearest published split has {best[0]:,} train and {best[1]:,} "
        f"test images ({PUBLISHED[best]}): {distance(best):,} images apart"
    )


def prepare_split(root, split, images, labels, out, **options):
    """Write the prepared set `out`/<split> and return its counts."""
    concepts = find(root, "Concepts81.txt", "the concept list (ConceptsList.zip)")
    classes = read_names(concepts)
    path, names = read_image_list(root, split)
    if labels:
        table = read_mat_labels(labels, split, classes, len(names))
    else:
        table = read_text_labels(root, split, classes, len(names))
    samples = [Sample(*row) for row in zip(locate(names, images), table, strict=True)]
    return prepare_set(pathlib.Path(out, split), images, samples, classes, path, **options)


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python data/prepare_nuswide.py --root data/nuswide "
        "--images data/nuswide/Flickr --out data/nuswide",
    )
    parser.add_argument("--root", required=True, help="folder of Concepts81.txt, ImageList, ...")
    parser.add_argument("--images", required=True, help="folder of the images, with sub-folders")
    parser.add_argument("--labels", help=".mat with the labels, instead of TrainTestLabels")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="(both)")
    add_preparation(parser, skip_unreadable=False)
    options = vars(parser.parse_args(argv))
    kept = {}
    for split in options.pop("splits"):
        counts = prepare_split(split=split, skip_unreadable=True, **options)
        print_counts(pathlib.Path(options["out"], split), counts)
        kept[split] = counts["kept"]
    print(nearest_split(kept))


if __name__ == "__main__":
    run_tool(main)
