"""Downloads from a server of our own: resumed, checked, refused."""

import hashlib
import http.server
import re
import threading

import download
import numpy as np
import pytest

from python_layers.array_file import DataError

CONTENT = np.random.default_rng(0).bytes(300_001)
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.content under /file with its tag; breaks off after server.stop_after bytes."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path != "/file":
            self.send_error(404)
            return
        first, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers["If-Range"] == server.tag:
            first, status = int(asked[1]), 206
        total = len(server.content)
        self.send_response(416 if first >= total else status)
        self.send_header("ETag", server.tag)
        if first >= total:
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
        else:
            self.send_header("Content-Length", str(total - first))
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(server.content[first:][: server.stop_after])

    def log_message(self, *args):
        """Nothing: pytest's output is no server's log."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.tag, server.stop_after, server.asked = CONTENT, '"one"', None, []
        server.url = f"http://127.0.0.1:{server.server_port}/file"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def break_off(server, path):
    """Download with a connection that breaks after 100,000 bytes."""
    server.stop_after = 100_000
    with pytest.raises(DataError, match=r"broke after 100,000 of 300,001 bytes .* goes on from"):
        download.download(server.url, path)
    server.stop_after = None
    assert path.with_name("x.bin.part").stat().st_size == 100_000
    assert not path.exists()


@pytest.mark.parametrize(("kind", "checksum"), [("sha256", SHA256), ("md5", MD5.upper())])
def test_a_file_comes_whole_and_once(tmp_path, server, capsys, kind, checksum):
    words = [server.url, "--out", str(tmp_path / "x.bin"), f"--{kind}", checksum]
    download.main(words)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]
    download.main(words)
    assert len(server.asked) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/x.bin: downloaded, {kind} right",
        f"{tmp_path}/x.bin: was there, {kind} right",
    ]


def test_a_broken_connection_is_gone_on_with(tmp_path, server):
    break_off(server, tmp_path / "x.bin")
    assert download.download(server.url, tmp_path / "x.bin", "sha256", SHA256)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=100000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_a_file_that_has_changed_meanwhile_is_begun_anew(tmp_path, server):
    break_off(server, tmp_path / "x.bin")
    server.content, server.tag = CONTENT[::-1], '"two"'
    assert download.download(server.url, tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT[::-1]


def test_a_wrong_checksum_keeps_the_file_back(tmp_path, server):
    path, wrong = tmp_path / "x.bin", "0" * 64
    for _ in range(2):  # the second time the server has nothing to add
        with pytest.raises(
            DataError, match=rf"x\.bin\.part: expected the sha256 {wrong}, got {SHA256}"
        ):
            download.download(server.url, path, "sha256", wrong)
        assert not path.exists()
    assert download.download(server.url, path, "sha256", SHA256), "the checksum was wrong"
    assert path.read_bytes() == CONTENT
    with pytest.raises(DataError, match=r"x\.bin: expected the md5 0{32}, got"):
        download.download(server.url, path, "md5", "0" * 32)


def test_servers_that_do_not_have_it_are_named(tmp_path, server):
    missing = server.url.replace("file", "nothing")
    with pytest.raises(DataError, match="/nothing: the server answers 404 Not Found"):
        download.download(missing, tmp_path / "x.bin")
    nobody = "http://127.0.0.1:1/file"
    with pytest.raises(DataError, match=r"127\.0\.0\.1:1/file: .*Connection refused"):
        download.download(nobody, tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()


def test_more_than_the_server_has_is_not_taken_for_the_file(tmp_path, server):
    (tmp_path / "x.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "x.bin.part.version").write_text(server.tag)
    with pytest.raises(DataError, match=r"/file: the server answers 416 .*; delete .*part"):
        download.download(server.url, tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()


def test_two_downloads_of_one_file_do_not_mix(tmp_path, server):
    part = tmp_path / "x.bin.part"
    with open(part, "ab") as file:
        download.lock(file, part)
        with pytest.raises(DataError, match=r"x\.bin\.part: another run is writing here"):
            download.download(server.url, tmp_path / "x.bin")
    assert download.download(server.url, tmp_path / "x.bin")


def test_options_that_cannot_work(capsys):
    for words, message in (
        (["ftp://a/b"], "expected a URL that begins with http:// or https://, got ftp://a/b"),
        (["http://a/b", "--md5", "12"], "--md5: expected 32 hexadecimal digits, got '12'"),
    ):
        with pytest.raises(SystemExit):
            download.parse(words)
        assert message in capsys.readouterr().err
    assert download.parse([]).url.endswith("/VGG_ILSVRC_16_layers.caffemodel")
