"""A Hub on loopback: speaks the protocol of huggingface.co as far as reading goes, and misbehaves on request.

    with LoopbackHub() as hub:
        repository = hub.add("EleutherAI/pythia-70m", {"main": folder, "step0": {"config.json": b"{}"}})
        os.environ["HF_ENDPOINT"] = hub.endpoint
        hub.misbehave("truncate", r"model\\.safetensors", times=1)

Served are, for models and data sets: refs, the repository's and a revision's information, the file tree (with pages), information on
paths, and files, with HEAD, byte ranges, and a redirect to another host name for large ones, as on the real Hub. Every request is kept in
``hub.requests``. It needs the standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".idx", ".npy", ".parquet")
"""Files of these kinds are stored as the Hub stores large files: with a SHA-256, behind a redirect."""

Content = Mapping[str, "bytes | Path"]
Kind = Literal["status", "truncate", "drop", "corrupt", "slow", "no-range"]


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    source: bytes | Path
    size: int
    sha256: str
    blob: str
    large: bool

    @classmethod
    def of(cls, name: str, source: bytes | Path) -> Entry:
        if isinstance(source, Path):
            with open(source, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = source.stat().st_size
        else:
            sha256, size = hashlib.sha256(source).hexdigest(), len(source)
        large = name.endswith(LARGE)
        if large:
            stored = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        else:
            stored = source if isinstance(source, bytes) else source.read_bytes()
        return cls(source, size, sha256, hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest(), large)

    def chunks(self, start: int, stop: int, length: int = 1 << 16) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            for at in range(start, stop, length):
                yield self.source[at : min(at + length, stop)]
            return
        with open(self.source, "rb") as file:
            file.seek(start)
            while start < stop and (chunk := file.read(min(length, stop - start))):
                start += len(chunk)
                yield chunk

    def to_json(self, name: str) -> dict[str, Any]:
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 134}} if self.large else {}
        return {"type": "file", "path": name, "oid": self.blob, "size": self.size, **lfs}


@dataclass
class Repository:
    """A repository: commits, and the branches and tags that name them.

    Attributes:
        token: if set, whoever does not send it is told that there is no such repository, as the Hub does with private ones.
    """

    name: str
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def commit(self, branch: str, content: Path | Content, tag: bool = False) -> str:
        """Let a branch (or a tag) name a new commit with these files; returns the commit's id."""
        if isinstance(content, Path):
            content = {
                p.relative_to(content).as_posix(): p for p in sorted(content.rglob("*")) if p.is_file() and not p.name.startswith(".")
            }
        files = {name: Entry.of(name, source) for name, source in content.items()}
        state = json.dumps([branch, len(self.commits), {n: e.sha256 for n, e in files.items()}], sort_keys=True)
        sha = hashlib.sha1(state.encode()).hexdigest()
        self.commits[sha] = files
        (self.tags if tag else self.branches)[branch] = sha
        return sha

    def remove(self, branch: str) -> None:
        """Forget a branch; its commit stays reachable by its id."""
        del self.branches[branch]

    def resolve(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision) or revision
        return found if found in self.commits else None


@dataclass
class Fault:
    """A misbehaviour: applied to the next ``times`` requests whose path matches."""

    kind: Kind
    path: re.Pattern[str]
    times: float
    status: int = 500
    retry_after: str | None = None
    after: int = 0
    seconds: float = 0.0


@dataclass
class Request:
    """What was asked and what was sent."""

    method: str
    path: str
    host: str
    authorization: str | None
    range: str | None
    status: int = 0
    sent: int = 0


class LoopbackHub:
    """The server; use it as a context manager."""

    def __init__(self, page_size: int = 1000):
        self.page_size = page_size
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT should be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """Where large files are redirected to: another host to a client, which must not be shown its token."""
        return f"http://localhost:{self.port}/storage"

    def add(self, name: str, branches: Mapping[str, Path | Content], kind: Literal["models", "datasets"] = "models") -> Repository:
        """Serve a repository whose branches hold these files."""
        repository = Repository(name)
        for branch, content in branches.items():
            repository.commit(branch, content)
        self.repositories[kind, name] = repository
        return repository

    def add_checkpoints(self, name: str, folder: Path, last: int | None = None) -> Repository:
        """Serve the checkpoint folders ``step<step>`` below a folder as a model's branches; ``main`` is the last step (or another)."""
        found = {int(p.name[4:]): p for p in folder.glob("step*") if p.name[4:].isdigit()}
        contents = {s: {f.name: f for f in sorted(p.iterdir()) if f.is_file() and f.name != "checkpoint.json"} for s, p in found.items()}
        contents = {s: {n: f for n, f in c.items() if not n.startswith(".")} for s, c in contents.items()}
        branches = {f"step{s}": contents[s] for s in sorted(contents)}
        return self.add(name, {"main": contents[max(contents) if last is None else last], **branches})

    def misbehave(self, kind: Kind, path: str = "", times: float = 1, **options: Any) -> Fault:
        """Answer the next requests for matching paths wrongly.

        Args:
            kind: ``status`` (answer ``status``, with ``retry_after`` if given), ``truncate`` (end the body ``after`` bytes too early, in a
                connection that closes as if all were well), ``drop`` (reset the connection ``after`` bytes into the body), ``corrupt``
                (flip the bits of the byte in the middle), ``slow`` (wait ``seconds`` before each chunk), ``no-range`` (send all whatever
                is asked for).
            path: regular expression to be found in the request's path; large files are sent from ``/storage/<sha256>/<name>``.
            times: how many requests; ``float("inf")`` for all.
        """
        fault = Fault(kind, re.compile(path), times, **options)
        self.faults.append(fault)
        return fault

    def fault(self, path: str, *kinds: Kind) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.kind in kinds and fault.times > 0 and fault.path.search(path):
                    fault.times -= 1
                    return fault
        return None

    def asked(self, path: str = "", method: str | None = None) -> list[Request]:
        """The requests so far whose path has a match for the regular expression."""
        return [r for r in self.requests if re.search(path, r.path) and method in (None, r.method)]

    def sent(self, path: str = "") -> int:
        """Bytes of bodies sent for such requests."""
        return sum(r.sent for r in self.asked(path))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def hub(self) -> LoopbackHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        get = self.headers.get
        self.record = Request(self.command, path, get("Host", ""), get("Authorization"), get("Range"))
        self.hub.requests.append(self.record)
        body = self.rfile.read(int(get("Content-Length") or 0))
        fault = self.hub.fault(path, "status")
        if fault is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            self._send(fault.status, json.dumps({"error": "as asked for"}).encode(), headers)
        elif path.startswith("/storage/"):
            self._storage(path)
        elif match := re.fullmatch(
            r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(refs|revision|tree|paths-info)(?:/([^/]+))?(?:/(.*))?)?", url.path
        ):
            self._api(*(unquote(g) if g else "" for g in match.groups()), parse_qs(url.query), body)  # type: ignore[misc]
        elif match := re.fullmatch(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url.path):
            kind, name, revision, file = (unquote(g) if g else "" for g in match.groups())
            self._resolve(kind or "models", name, revision, file)
        else:
            self._send(404, b"{}")

    def _repository(self, kind: str, name: str) -> Repository | None:
        found = self.hub.repositories.get((kind, name))
        if found is None or found.token not in (None, (self.headers.get("Authorization") or "").removeprefix("Bearer ")):
            self._send(
                401, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            )
            return None
        return found

    def _files(self, repository: Repository, revision: str) -> tuple[str, dict[str, Entry]] | None:
        sha = repository.resolve(revision)
        if sha is None:
            message = f"Invalid rev id: {revision}"
            self._send(404, json.dumps({"error": message}).encode(), {"X-Error-Code": "RevisionNotFound", "X-Error-Message": message})
            return None
        return sha, repository.commits[sha]

    def _api(self, kind: str, name: str, what: str, revision: str, folder: str, query: dict[str, list[str]], body: bytes) -> None:
        repository = self._repository(kind, name)
        if repository is None:
            return
        if what == "refs":
            named = {"branches": ("heads", repository.branches), "tags": ("tags", repository.tags)}
            refs: dict[str, Any] = {"converts": []}
            for key, (place, names) in named.items():
                refs[key] = [{"name": n, "ref": f"refs/{place}/{n}", "targetCommit": c} for n, c in names.items()]
            self._json(refs)
            return
        found = self._files(repository, revision or "main")
        if found is None:
            return
        sha, files = found
        if what in ("", "revision"):
            siblings = [{"rfilename": n, "size": e.size, "blobId": e.blob} for n, e in files.items()]
            self._json({"id": name, "modelId": name, "sha": sha, "private": False, "tags": [], "downloads": 0, "siblings": siblings})
        elif what == "paths-info":
            asked = (
                json.loads(body)["paths"]
                if self.headers.get("Content-Type", "").startswith("application/json")
                else parse_qs(body.decode())["paths"]
            )
            self._json([files[p].to_json(p) for p in asked if p in files])
        else:
            self._tree(files, folder, query)

    def _tree(self, files: dict[str, Entry], folder: str, query: dict[str, list[str]]) -> None:
        recursive = query.get("recursive", ["false"])[0].lower() in ("1", "true")
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for name, entry in sorted(files.items()):
            if name.startswith(prefix):
                rest = name[len(prefix) :]
                if "/" in rest and not recursive and not rest.startswith(".."):
                    path = prefix + rest.split("/")[0]
                    entries[path] = {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
                else:
                    entries[name] = entry.to_json(name)
        start, size = int(query.get("cursor", ["0"])[0]), self.hub.page_size
        headers = {}
        if start + size < len(entries):
            link = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive={str(recursive).lower()}&cursor={start + size}"
            headers["Link"] = f'<{link}>; rel="next"'
        self._json(list(entries.values())[start : start + size], headers)

    def _resolve(self, kind: str, name: str, revision: str, file: str) -> None:
        repository = self._repository(kind, name)
        found = None if repository is None else self._files(repository, revision)
        if found is None:
            return
        sha, files = found
        if file not in files:
            self._send(
                404, b"Entry not found", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": sha}
            )
            return
        entry = files[file]
        if entry.large:
            headers = {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size), "X-Repo-Commit": sha}
            self._send(302, b"", {**headers, "Location": f"{self.hub.storage}/{entry.sha256}/{file}?signature=0"})
        else:
            self._body(entry, {"ETag": f'"{entry.blob}"', "X-Repo-Commit": sha})

    def _storage(self, path: str) -> None:
        sha256 = path.split("/")[2]
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for entry in files.values():
                    if entry.sha256 == sha256:
                        self._body(entry, {"ETag": f'"{sha256}"'})
                        return
        self._send(404, b"")

    def _body(self, entry: Entry, headers: dict[str, str]) -> None:
        """Send a file or the range asked for, with the misbehaviour that is due."""
        path, start, stop = self.record.path, 0, entry.size
        fault = self.hub.fault(path, "truncate", "drop", "corrupt", "slow", "no-range") if self.command == "GET" else None
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        status = 200
        if match and (fault is None or fault.kind != "no-range"):
            start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else entry.size, entry.size)
            if start >= entry.size:
                self._send(416, b"", {"Content-Range": f"bytes */{entry.size}"})
                return
            status, headers = 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{entry.size}"}
        self._head(status, {**headers, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}, stop - start)
        if self.command == "HEAD":
            return
        kind = None if fault is None else fault.kind
        end = (
            max(stop - fault.after, start)
            if fault and kind == "truncate"
            else min(start + fault.after, stop)
            if fault and kind == "drop"
            else stop
        )
        at = start
        try:
            for chunk in entry.chunks(start, end):
                if fault and kind == "slow":
                    time.sleep(fault.seconds)
                self.wfile.write(_flipped(chunk, entry.size // 2 - at) if kind == "corrupt" else chunk)
                self.record.sent += len(chunk)
                at += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            return
        if kind == "drop":
            time.sleep(0.1)  # a reset discards what the client has not read yet, so let it read
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        if end < stop:
            self.close_connection = True

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.record.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, headers or {}, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)
            self.record.sent += len(body)


def _flipped(chunk: bytes, at: int) -> bytes:
    """The chunk with the bits of one byte flipped, if it holds that byte."""
    return chunk[:at] + bytes([chunk[at] ^ 255]) + chunk[at + 1 :] if 0 <= at < len(chunk) else chunk
