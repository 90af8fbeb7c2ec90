"""A server on loopback that hands out repositories' archives, and misbehaves on demand."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from trajectories import download

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def archive(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """A repository's archive: one top folder, then the files; ``more`` are members without content (links, devices)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"name-{COMMIT}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return out.getvalue()


@dataclass
class Archives:
    """What the server answers: ``body`` for the archive of ``owner/name``; first the ``failures``, one per request."""

    url: str
    body: bytes = b""
    failures: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    redirect: bool = False
    requests: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Archives]:
    """Serve archives at ``url`` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            if state.failures:
                status, headers, body = state.failures.pop(0)
            elif self.path != f"/owner/name/tar.gz/{COMMIT}" and not self.path.startswith("/moved/"):
                status, headers, body = 404, {}, b"Not Found"
            elif state.redirect and not self.path.startswith("/moved/"):
                status, headers, body = 302, {"Location": f"/moved{self.path}"}, b""
            else:
                status, headers, body = 200, {}, state.body
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Archives(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    """Archives on loopback, and a cache of the test's own."""
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(download, "WAIT", 0.0)
    with serving() as state:
        monkeypatch.setenv(download.HOST_VARIABLE, state.url)
        yield state
