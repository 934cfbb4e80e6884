"""Downloading, by pooch, over HTTP, from a server on this machine."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from omniglot_drawings import SmallOmniglot, area_average

from minimeta.errors import DataError, MissingDataError
from minimeta.tasks import omniglot
from minimeta.tasks.omniglot_archives import OFFICIAL, Edition, download

pytest_plugins = ["omniglot_files"]

NAMES = ["images_background.zip", "images_evaluation.zip"]


class Server(ThreadingHTTPServer):
    """Serves a folder, and can do it badly."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.served: list[str] = []
        self.cut: set[str] = set()
        """Names of files of which only half is sent."""
        self.stalled: threading.Event | None = None
        """Where the second half is to be waited for: set when the first has been sent."""
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.server.served.append(name)
        if not (self.server.folder / name).is_file():
            self.send_error(404)
            return
        content = (self.server.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if name not in self.server.cut:
            self.wfile.write(content)
            return
        self.wfile.write(content[: len(content) // 2])
        if self.server.stalled is not None:
            self.server.stalled.set()
            self.server.closing.wait()

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(small_omniglot: SmallOmniglot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(small_omniglot.folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def edition(small: SmallOmniglot, server: Server) -> Edition:
    return small.edition._replace(address=server.address)


def test_fetch_downloads_once_and_packs(small_omniglot: SmallOmniglot, server: Server, tmp_path: Path) -> None:
    home = tmp_path / "data"

    packed = omniglot.fetch(home, edition=edition(small_omniglot, server))

    assert server.served == NAMES
    np.testing.assert_array_equal(omniglot.load(home, small_omniglot.edition), area_average(small_omniglot.paper))
    packed.unlink()
    omniglot.fetch(home, edition=edition(small_omniglot, server))
    assert server.served == NAMES  # the archives were still there
    assert sorted(path.name for path in packed.parent.iterdir()) == [*NAMES, packed.name]


def test_another_file_is_refused_and_not_kept(small_omniglot: SmallOmniglot, server: Server, tmp_path: Path) -> None:
    expected = small_omniglot.edition.archives[1].sha256
    (server.folder / NAMES[1]).write_bytes(b"not an archive")

    with pytest.raises(DataError) as caught:
        download(tmp_path / "data", edition(small_omniglot, server))

    message = str(caught.value)
    assert f"{server.address}/{NAMES[1]}" in message and expected in message
    assert len(set(re.findall("[0-9a-f]{64}", message))) == 2  # expected and found
    assert [path.name for path in (tmp_path / "data").iterdir()] == NAMES[:1]


def test_a_broken_connection_leaves_nothing(small_omniglot: SmallOmniglot, server: Server, tmp_path: Path) -> None:
    server.cut = {NAMES[0]}

    with pytest.raises(MissingDataError, match=f"{NAMES[0]} could not be downloaded .* --from FOLDER"):
        download(tmp_path / "data", edition(small_omniglot, server))
    assert list((tmp_path / "data").iterdir()) == []

    server.cut = set()
    assert [path.name for path in download(tmp_path / "data", edition(small_omniglot, server))] == NAMES


def test_an_archive_that_is_not_there(small_omniglot: SmallOmniglot, server: Server, tmp_path: Path) -> None:
    (server.folder / NAMES[1]).unlink()

    with pytest.raises(MissingDataError, match=rf"{NAMES[1]} could not be downloaded .*404"):
        download(tmp_path / "data", edition(small_omniglot, server))


def test_an_interrupted_download_leaves_nothing(small_omniglot: SmallOmniglot, server: Server, tmp_path: Path) -> None:
    server.cut, server.stalled = {NAMES[0]}, threading.Event()
    folder = tmp_path / "data"
    program = (
        "import signal\n"
        "from minimeta.tasks.omniglot_archives import Archive, Edition, download\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a shell's background jobs do without
        f"download({str(folder)!r}, {edition(small_omniglot, server)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    assert server.stalled.wait(60)
    assert list(folder.iterdir()) != []  # half of it, under another name

    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors and process.returncode != 0
    assert list(folder.iterdir()) == []


def test_the_official_archives_are_all_of_omniglot() -> None:
    background, evaluation = OFFICIAL.archives
    assert (background.first, background.characters, evaluation.characters) == (1, 964, 659)
    assert evaluation.first == background.first + background.characters
    assert OFFICIAL.characters == 1623
