"""Download one file and go on where an earlier call was interrupted.

The unfinished file is FILE.part; FILE appears when it is complete and, with --sha256 or --md5,
right. Without a URL it is that of the ImageNet weights of VGG16, VGG_ILSVRC_16_layers.caffemodel.
"""

import argparse
import hashlib
import http.client
import os
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request

from prepared import full_disk_named, run_tool
from tqdm import tqdm

from python_layers.array_file import DataError, atomic_file
from python_layers.only_run import lock

VGG16 = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel"
DIGITS = {"sha256": 64, "md5": 32}
CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte


def open_url(url, have, version):
    """(response or None, first byte of what it brings, bytes in all or None).

    `have` bytes of the file's `version` (its ETag or date) are here already; None as response
    means that these are all. A server that has another version, or cannot go on, begins anew.
    """
    headers = {"User-Agent": "Mozilla/5.0", "Accept-Encoding": "identity"}
    if have and version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        with error:
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if error.code == 416 and whole and int(whole[1]) == have:
                return None, have, have
            remedy = "; delete the unfinished file FILE.part" if error.code == 416 else ""
            raise DataError(
                f"{url}: the server answers {error.code} {error.reason}{remedy}"
            ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{url}: {getattr(error, 'reason', error)}") from None
    if response.status == 206:
        part = re.match(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not part or int(part[1]) != have:
            raise DataError(f"{url}: the server sends another part than it was asked for")
        return response, have, int(part[2])
    length = response.headers.get("Content-Length")
    return response, 0, int(length) if length else None


def fetch(url, file):
    """Bring the open file to the whole length of that at `url`."""
    note = pathlib.Path(f"{file.name}.version")
    version = note.read_text() if note.exists() else None
    response, first, whole = open_url(url, file.seek(0, os.SEEK_END), version)
    if response is None:
        return
    with response:
        file.truncate(first)
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if version and not version.startswith("W/"):  # a weak tag says nothing about bytes
            with atomic_file(note) as other:
                other.write(version.encode())
        copy(response, file, first, whole, url)


def copy(response, file, first, whole, url):
    """Write what the response brings; DataError if the connection breaks before its end."""
    done = first
    with tqdm(total=whole, initial=first, unit="B", unit_scale=True, desc=file.name) as bar:
        try:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
        except (TimeoutError, ConnectionError, http.client.IncompleteRead) as error:
            raise broken(url, done, whole, error) from None
    if whole is not None and done != whole:
        raise broken(url, done, whole, "it ended")


def broken(url, done, whole, error):
    """The error of a connection that broke."""
    return DataError(
        f"{url}: the connection broke after {done:,} of {whole or 0:,} bytes ({error}); run the "
        "same command again: it goes on from there"
    )


def check(path, kind, wanted):
    """DataError unless the file has this checksum."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != wanted.lower():
        raise DataError(
            f"{path}: expected the {kind} {wanted.lower()}, got {found}; if the checksum given is "
            "right, delete the file and run the same command again"
        )


def download(url, path, kind=None, checksum=None):
    """Make `path` from `url`; False if it was there, which is not asked of the server."""
    path = pathlib.Path(path)
    if path.exists():
        if kind:
            check(path, kind, checksum)
        return False
    part = path.with_name(f"{path.name}.part")
    with full_disk_named(part), open(part, "ab") as file:
        lock(file, part)
        fetch(url, file)
        file.flush()
        if kind:
            check(part, kind, checksum)
        os.replace(part, path)
        part.with_name(f"{part.name}.version").unlink(missing_ok=True)
    return True


def parse(argv):
    """The options; a checksum of the wrong length ends the program."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python data/download.py --out VGG_ILSVRC_16_layers.caffemodel",
    )
    parser.add_argument("url", nargs="?", default=VGG16, help="(VGG16's ImageNet weights)")
    parser.add_argument("--out", help="the file (default: the last part of the URL)")
    checksums = parser.add_mutually_exclusive_group()
    for kind, digits in DIGITS.items():
        checksums.add_argument(f"--{kind}", metavar="HEX", help=f"its checksum, {digits} digits")
    options = parser.parse_args(argv)
    if urllib.parse.urlparse(options.url).scheme not in ("http", "https"):
        parser.error(f"expected a URL that begins with http:// or https://, got {options.url}")
    for kind, digits in DIGITS.items():
        given = getattr(options, kind)
        if given and not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", given):
            parser.error(f"--{kind}: expected {digits} hexadecimal digits, got {given!r}")
    return options


def main(argv):
    options = parse(argv)
    path = options.out or pathlib.PurePosixPath(urllib.parse.urlparse(options.url).path).name
    kind = next((kind for kind in DIGITS if getattr(options, kind)), None)
    made = download(options.url, path, kind, getattr(options, kind) if kind else None)
    checked = f", {kind} right" if kind else ""
    print(f"{path}: {'downloaded' if made else 'was there'}{checked}")


if __name__ == "__main__":
    run_tool(main)
