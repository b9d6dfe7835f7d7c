"""A package index on this machine, with one package in it, that can be made to misbehave."""

import base64
import hashlib
import io
import random
import socket
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from transformer.pretrained.archives import Archive

BLOCK = 1 << 15
METADATA = b"Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\nRequires-Dist: never-installed\n"


def wheel(size: int = 3_000_000) -> bytes:
    """A wheel with ``size`` bytes of weights, a program that must not run, a dependency nobody must install."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("toy_weights/__init__.py", "raise SystemExit('this archive was executed')")
        archive.writestr("toy_weights/data/weights.bin", random.Random(0).randbytes(size))
        archive.writestr("toy_weights/data/notes/about.json", '{"a": 1}')
        archive.writestr("toy_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "toy_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_weights-1.0.dist-info/RECORD", "")
    return packed.getvalue()


def archive(data: bytes, **changes) -> Archive:
    row = dict(
        name="toy", title="Toy", package="toy-weights", version="1.0", sha256=hashlib.sha256(data).hexdigest(),
        size=len(data), unpacked=3_000_008, inside="toy_weights/data/", files=("weights.bin", "notes/about.json"),
        kind="model", parameters=1, licence="none", credit="nobody",
    )  # fmt: skip
    return Archive(**row | changes)


@dataclass
class FakeIndex:
    """How it behaves now, and what it was asked for."""

    data: bytes
    metadata: bool = True  # a metadata file beside the wheel (PEP 658)
    ranges: bool = True
    link_hash: str = ""  # the sha256 that the index page claims
    pause: float = 0.0  # seconds between blocks of the wheel
    break_after: int | None = None  # bytes after which the connection is dropped
    silent: str = ""  # a path that begins so is accepted and never answered
    login: str = ""  # "user:password" that every request must carry
    file_status: int = 200
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Range header) of wheel requests
    sent: int = 0  # bytes of the wheel

    def __post_init__(self):
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"index": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/simple"

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    index: FakeIndex

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        index = self.index
        if index.silent and self.path.startswith(index.silent):
            index.closing.wait(60)
            return
        if index.login:
            given = self.headers.get("Authorization", "")
            if given != "Basic " + base64.b64encode(index.login.encode()).decode():
                return self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="toys"'})
        name = "/files/toy_weights-1.0-py3-none-any.whl"
        if self.path == "/simple/toy-weights/":
            fragment = f"#sha256={index.link_hash}" if index.link_hash else ""
            mark = 'data-dist-info-metadata="true" data-core-metadata="true"' if index.metadata else ""
            page = f'<!DOCTYPE html><html><body><a href="{name}{fragment}" {mark}>{name[7:]}</a></body></html>'
            return self.answer(200, page.encode(), {"Content-Type": "text/html"})
        if self.path == name + ".metadata" and index.metadata:
            return self.answer(200, METADATA, {})
        if self.path == name:
            return self.send_wheel()
        self.answer(404, b"", {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_wheel(self) -> None:
        index, asked = self.index, self.headers.get("Range", "")
        start, end, status = 0, len(index.data), index.file_status
        if index.ranges and asked and status == 200:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else end - int(last)
            end, status = min(int(last) + 1, end) if first and last else end, 206
        self.send_response(status)
        self.send_header("Content-Length", str(end - start))
        if index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(index.data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        index.requests.append((self.path, asked))
        gone = 0
        try:
            for at in range(start, end, BLOCK):
                block = index.data[at : min(at + BLOCK, end)]
                if index.break_after is not None and gone + len(block) > index.break_after:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(block)
                gone += len(block)
                index.sent += len(block)
                time.sleep(index.pause)
        except OSError:
            return  # the other side hung up, as it may
