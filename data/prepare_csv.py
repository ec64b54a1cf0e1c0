"""Prepare training and test set of your own images: a folder of them and a CSV file.

    python data/prepare_csv.py --csv labels.csv --images photos --out data/mine

The CSV file has one row per image, in one of two forms. Labels in one column, joined by ";":

    file,labels
    kitchen/1.jpg,cup;spoon
    kitchen/2.jpg,

or a column per class, 0 or 1:

    file,cup,spoon
    kitchen/1.jpg,1,1
    kitchen/2.jpg,0,0

The first column is the path below --images. Its title is file, filename or image; without titles
the first form is meant. A column titled split says train or test; without it the images' names and
--seed choose --test-share of them for the test, and rows added later move no image from one set to
the other. Writes the prepared sets OUT/train and OUT/test.
"""

import argparse
import csv
import hashlib
import pathlib

import numpy as np
from prepared import Sample, add_preparation, prepare_set, print_counts, read_lines, run_tool

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet

SPLITS = ("train", "test")
FILE_TITLES = ("file", "filename", "image")
LABEL_TITLES = ("label", "labels")
SEPARATOR = ";"
TEST_SHARE = 0.2


def read_rows(path):
    """(line, cells) of each row of the CSV file that is not empty, blanks around cells cut off."""
    texts = (text.removeprefix("\ufeff") for _, text in read_lines(path))  # Excel's first mark
    reader = csv.reader(texts, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}; correct the quotes") from None


def read_table(path):
    """(titles, rows) of the CSV file; rows are (line, cells), as many cells as titles."""
    rows = list(read_rows(path))
    if not rows:
        raise DataError(f"{path}:1: expected rows such as photo.jpg,cat;dog, got none")
    line, first = rows[0]
    titles = ["file", "labels"]
    if first[0].lower() in FILE_TITLES:
        titles, rows = first, rows[1:]
        check_titles(titles, f"{path}:{line}")
    for line, cells in rows:
        if len(cells) != len(titles):
            raise DataError(
                f"{path}:{line}: expected {len(titles)} columns ({','.join(titles)}), got "
                f"{len(cells)}; a file of other columns needs a first row of titles: file,..."
            )
    return titles, rows


def check_titles(titles, where):
    """DataError for a title that is empty or there twice, or no column with labels."""
    known = [title.lower() for title in titles]
    twice = {title for title in titles if titles.count(title) > 1}
    if "" in titles or twice or known.count("split") > 1:
        raise DataError(
            f"{where}: expected a different title for each column, got {','.join(titles)}"
        )
    if set(known[1:]) <= {"split"}:
        raise DataError(f"{where}: expected a column labels or one per class, got no such column")


def joined_labels(rows, column):
    """(class names by alphabet, labels (N,K) uint8) of cells such as "cat;dog"."""
    found = [
        {label.strip() for label in cells[column].split(SEPARATOR)} - {""} for _, cells in rows
    ]
    classes = sorted(set().union(*found))
    labels = [[name in names for name in classes] for names in found]
    return classes, np.array(labels, np.uint8).reshape(len(rows), len(classes))


def column_labels(rows, titles, columns, path):
    """(class names in the columns' order, labels (N,K) uint8) of cells 0 and 1."""
    for line, cells in rows:
        for column in columns:
            if cells[column] not in ("0", "1"):
                raise DataError(
                    f"{path}:{line}: column {titles[column]}: expected 0 or 1, got "
                    f"{cells[column]!r}; names of classes belong into one column titled labels"
                )
    labels = [[cells[column] == "1" for column in columns] for _, cells in rows]
    return [titles[column] for column in columns], np.array(labels, np.uint8)


def read_labels(titles, rows, path):
    """(class names, labels (N,K) uint8), whichever form the CSV file has."""
    columns = [n for n, title in enumerate(titles) if n and title.lower() != "split"]
    if len(columns) == 1 and titles[columns[0]].lower() in LABEL_TITLES:
        classes, labels = joined_labels(rows, columns[0])
        if not classes:
            raise DataError(f"{path}: expected labels in the column {titles[columns[0]]}, got none")
        return classes, labels
    return column_labels(rows, titles, columns, path)


def chosen_for_test(image, share, seed):
    """Whether the image is one of the share that is tested on: its name and the seed decide."""
    number = int.from_bytes(hashlib.sha256(f"{seed} {image}".encode()).digest()[:8], "big")
    return number < share * 2**64


def read_splits(titles, rows, share, seed, path):
    """Per row "train" or "test": from the column split, else by `chosen_for_test`."""
    column = [title.lower() for title in titles].index("split") if has_split(titles) else None
    if column is None:
        share = TEST_SHARE if share is None else share
        return [SPLITS[chosen_for_test(cells[0], share, seed)] for _, cells in rows]
    if share is not None:
        raise DataError(f"{path}: has a column split: leave --test-share away, or the column")
    for line, cells in rows:
        if cells[column].lower() not in SPLITS:
            raise DataError(
                f"{path}:{line}: column split: expected train or test, got {cells[column]!r}"
            )
    return [cells[column].lower() for _, cells in rows]


def has_split(titles):
    return "split" in map(str.lower, titles)


def check_images(rows, path):
    """DataError for a row without an image, and naming both lines for an image with two rows."""
    lines = {}
    for line, cells in rows:
        if not cells[0]:
            raise DataError(f"{path}:{line}: expected an image in the first column, got none")
        if cells[0] in lines:
            raise DataError(
                f"{path}:{line}: {cells[0]} is in line {lines[cells[0]]} already; give all its "
                "labels in one row"
            )
        lines[cells[0]] = line


def print_classes(folders, classes):
    """How many images of each set have each label."""
    labels = [PreparedSet(folder).labels.sum(axis=0) for folder in folders]
    width = max(5, *map(len, classes))
    print(f"{'class':{width}} {'train':>7} {'test':>7}")
    for name, train, test in zip(classes, *labels, strict=True):
        print(f"{name:{width}} {train:7,} {test:7,}")


def prepare_csv(path, images, out, test_share=None, seed=1, **options):
    """Write `out`/train and `out`/test; {split: counts}. Options as in prepared.prepare_set."""
    titles, rows = read_table(path)
    check_images(rows, path)
    classes, labels = read_labels(titles, rows, path)
    splits = read_splits(titles, rows, test_share, seed, path)
    absent = set(SPLITS) - set(splits)
    if absent:
        raise DataError(
            f"{path}: expected images for train and test, got none for {absent.pop()}; change the "
            "column split, or --test-share or --seed"
        )
    counts = {}
    for split in SPLITS:
        samples = [
            Sample(cells[0], row)
            for (_, cells), row, chosen in zip(rows, labels, splits, strict=True)
            if chosen == split
        ]
        folder = pathlib.Path(out, split)
        counts[split] = prepare_set(folder, images, samples, classes, path, **options)
        print_counts(folder, counts[split])
    print_classes([pathlib.Path(out, split) for split in SPLITS], classes)
    return counts


def share_of_images(text):
    """An argparse type: a number between 0 and 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return share


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", required=True, metavar="FILE", dest="path", help="see above")
    parser.add_argument("--images", required=True, help="folder that the CSV's paths start from")
    parser.add_argument(
        "--test-share", type=share_of_images, metavar="S", help=f"of all images ({TEST_SHARE})"
    )
    parser.add_argument("--seed", type=int, default=1, help="of that choice (1)")
    add_preparation(parser)
    prepare_csv(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    run_tool(main)
