"""What a sample of rows costs out of an order of 600 GB that stays on the Hub: bytes, requests, time and memory.

    python benchmarks/ranges.py --rows 100000 --latency 0.03 --expire 60

serves a made-up order in the shape of Pythia's (146,432,000 rows of 2,049 tokens in 21 shards, the last one short; every token follows
from its place, nothing is stored) on loopback, as the Hub does: addresses of the storage are asked for, signed, and expire. Rows are
drawn as memorization's sampler draws them, uniformly, and in clusters; each sample is read twice by processes of their own, the second time
from what the first one kept. Every token that is read is compared with the one that stands there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROW_TOKENS, ROWS, PER_STEP = 2049, 146_432_000, 1024
WIDTH, SHARD = ROW_TOKENS * 2, 30_000_000_001
NAME, COMMIT = "EleutherAI/made-up", "0123456789abcdef" * 2 + "01234567"
SIZES = [SHARD] * (ROWS * WIDTH // SHARD) + [ROWS * WIDTH % SHARD]
NAMES = [f"document-{i:05d}-of-{len(SIZES) - 1:05d}.bin" for i in range(len(SIZES))]


def tokens(first: int, stop: int) -> np.ndarray:
    """The tokens [first, stop) of the order: a hash of their places."""
    value = np.arange(first, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((value ^ (value >> np.uint64(29))) >> np.uint64(7)).astype("<u2")


def content(start: int, stop: int) -> bytes:
    """The bytes [start, stop) of the concatenated shards."""
    data = tokens(start // 2, (stop + 1) // 2).tobytes()
    return data[start % 2 : start % 2 + stop - start]


class Server:
    """The Hub and its storage, each under a host name of its own."""

    def __init__(self, latency: float, expire: float):
        self.latency, self.expire = latency, expire
        self.counts = {"resolve": 0, "storage": 0, "refused": 0, "bytes": 0, "tokens_shown": 0, "largest": 0}

    async def start(self, port: Any) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        port.send(self.port)
        await server.serve_forever()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                status, headers, body = self.answer(head)
                length = {} if "Content-Length" in headers else {"Content-Length": str(len(body))}
                lines = "".join(f"{k}: {v}\r\n" for k, v in {**headers, **length}.items())
                if "/storage/" in head.split("\r\n", 1)[0]:
                    await asyncio.sleep(self.latency)
                writer.write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, head: str) -> tuple[int, dict[str, str], bytes]:
        method, path = head.split(" ", 2)[:2]
        if path.startswith("/storage/"):
            return self.storage(path, head)
        if "/resolve/" in path:
            self.counts["resolve"] += 1
            shard = NAMES.index(path.rpartition("/")[2])
            location = f"http://localhost:{self.port}/storage/{shard}?until={time.time() + self.expire}"
            return 302, {"Location": location, "X-Linked-Size": str(SIZES[shard]), "ETag": '"0"', "X-Repo-Commit": COMMIT}, b""
        if path.endswith("/counts"):
            return 200, {}, json.dumps(self.counts).encode()
        if path.endswith("/refs"):
            value: Any = {"branches": [{"name": "main", "targetCommit": COMMIT}], "tags": []}
        elif "/tree/" not in path:
            return 404, {}, b""
        else:
            files = [("document.idx", 1), *zip(NAMES, SIZES, strict=True)]
            value = [
                {"type": "file", "path": n, "oid": "0", "size": s, "lfs": {"oid": f"{i:064d}", "size": s}} for i, (n, s) in enumerate(files)
            ]
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode() if method == "GET" else b""

    def storage(self, path: str, head: str) -> tuple[int, dict[str, str], bytes]:
        self.counts["storage"] += 1
        self.counts["tokens_shown"] += "authorization:" in head.lower()
        shard, until = path.removeprefix("/storage/").split("?until=")
        asked = re.search(r"range: bytes=(\d+)-(\d+)\r", head, re.IGNORECASE)
        if float(until) < time.time() or asked is None:
            self.counts["refused"] += 1
            return 403, {}, b"expired"
        first, last = int(asked[1]), int(asked[2])
        before = int(shard) * SHARD
        body = content(before + first, before + last + 1)
        self.counts["bytes"] += len(body)
        self.counts["largest"] = max(self.counts["largest"], len(body))
        return 206, {"Content-Range": f"bytes {first}-{last}/{SIZES[int(shard)]}"}, body


def _serve(port: Any, latency: float, expire: float) -> None:
    asyncio.run(Server(latency, expire).start(port))


def sample(kind: str, n: int) -> np.ndarray:
    """Numbers of rows, ascending."""
    from trajectories.experiments.memorization.sample import sample_rows

    random = np.random.default_rng(1)
    if kind == "stratified":
        return sample_rows(ROWS, PER_STEP, n, 20, random)
    if kind == "uniform":
        return np.sort(random.choice(ROWS, n, replace=False))
    # a hundred rows out of each of some batches, as where a batch and its neighbours are looked at
    batches = np.sort(random.choice(ROWS // PER_STEP, n // 100, replace=False))
    return np.concatenate([b * PER_STEP + np.sort(random.choice(PER_STEP, 100, replace=False)) for b in batches])


def read(folder: str, rows: np.ndarray, answer: Any) -> None:
    """Read a sample, compare every token, and answer with seconds and peak memory (bytes) without the comparison's."""
    from trajectories.orders import open_order

    order = open_order(Path(folder))
    start = time.perf_counter()
    found = order[rows]
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for row, ids in zip(rows.tolist(), found, strict=True):
        if not np.array_equal(ids, tokens(row * ROW_TOKENS, (row + 1) * ROW_TOKENS)):
            raise SystemExit(f"row {row} is wrong")
    answer.send((seconds, peak))


def counts(port: int) -> dict[str, int]:
    """What the server has counted."""
    import httpx2

    found: dict[str, int] = httpx2.get(f"http://127.0.0.1:{port}/counts").json()
    return found


def main() -> int:
    """Print a line of a table for each sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=0.03, help="seconds from a request to the storage to its answer")
    parser.add_argument("--expire", type=float, default=60, help="seconds after which an address of the storage is refused")
    parser.add_argument("--samples", nargs="+", default=["stratified", "uniform", "clustered"])
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=_serve, args=(there, args.latency, args.expire), daemon=True)
    server.start()
    port = here.recv()
    print("| sample | rows | own bytes (MB) | moved / own | requests | of them for addresses | seconds | peak memory (MB) | again (s) |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        # HF_HOME: what the client's library keeps of this server is not for other programs
        os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_TOKEN": "hf_" + "x" * 30, "HF_HUB_OFFLINE": "0", "HF_HOME": folder}
        from trajectories.orders.remote import write_remote
        from trajectories.suites import Order

        order = Order(row_tokens=ROW_TOKENS, rows=ROWS, repository=NAME, index="document.idx", shards=NAMES)
        write_remote(Path(folder) / "order", "made-up", order, PER_STEP, {})
        for kind in args.samples:
            os.environ["TRAJECTORIES_CACHE"] = f"{folder}/{kind}"
            rows, before, runs = sample(kind, args.rows), counts(port), []
            for _ in range(2):
                reading = spawn.Process(target=read, args=(f"{folder}/order", rows, there))
                reading.start()
                reading.join()
                if reading.exitcode:
                    return 1
                runs.append((*here.recv(), counts(port)))
            (seconds, peak, first), (again, _, second) = runs
            if second != first or first["tokens_shown"]:
                raise SystemExit("the second reading asked the server again, or the token was shown to the storage")
            spent = {key: first[key] - before[key] for key in first}
            own = len(rows) * WIDTH
            print(
                f"| {kind} | {len(rows):,} | {own / 1e6:.0f} | {spent['bytes'] / own:.3f} | {spent['storage'] + spent['resolve']:,} | "
                f"{spent['resolve']:,} | {seconds:.0f} | {peak / 1e6:.0f} | {again:.1f} |",
                flush=True,
            )
    server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
