"""루프백에서 나쁜 서버를 흉내 내는 픽스처. 이 폴더의 시험은 바깥 네트워크에 닿지 않습니다."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from course_lib.datasets import _download


@pytest.fixture(autouse=True)
def cache(request, tmp_path, monkeypatch):
    """빈 캐시. ``data`` 표시가 없는 시험에서는 ``COURSE_DATA``도 지웁니다."""
    folder = tmp_path / "캐시 폴더"
    monkeypatch.setattr(_download, "cache_folders", lambda: [folder])
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("COURSE_DATA", raising=False)
    return folder


class Host:
    """``plan``의 동작을 요청마다 하나씩 꺼내 쓰고, 마지막 것은 되풀이합니다."""

    def __init__(self):
        self.body = b""
        self.plan = [self.serve]
        self.ranges = []  # 요청마다 받은 Range 헤더
        self.released = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                host.ranges.append(self.headers.get("Range"))
                act = host.plan.pop(0) if len(host.plan) > 1 else host.plan[0]
                try:
                    act(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # 받는 쪽이 먼저 끊었습니다.
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/file"

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def head(self, handler, status, length=None, content_range=None):
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        if content_range:
            handler.send_header("Content-Range", content_range)
        handler.end_headers()

    def start(self, handler):
        """Range 헤더의 시작 위치에 맞는 머리를 보내고 남은 내용을 돌려줍니다."""
        asked, size = handler.headers.get("Range"), len(self.body)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and first >= size:
            self.head(handler, 416, 0, f"bytes */{size}")
            return b""
        rest = self.body[first:]
        part = f"bytes {first}-{size - 1}/{size}" if asked else None
        self.head(handler, 206 if asked else 200, len(rest), part)
        return rest

    def serve(self, handler):
        handler.wfile.write(self.start(handler))

    def ignore_range(self, handler):
        self.head(handler, 200, len(self.body))
        handler.wfile.write(self.body)

    def wrong_range(self, handler):
        """요청한 곳이 아니라 처음부터 206으로 보냅니다."""
        self.head(handler, 206, len(self.body), f"bytes 0-{len(self.body) - 1}/{len(self.body)}")
        handler.wfile.write(self.body)

    def slow_then_serve(self, handler):
        time.sleep(0.1)
        self.serve(handler)

    def status(self, code):
        return lambda handler: self.head(handler, code, 0)

    def cut(self, count):
        """남은 내용의 길이를 알린 뒤 count byte만 보내고 끊습니다."""
        return lambda handler: handler.wfile.write(self.start(handler)[:count])

    def cut_ignoring_range(self, count):
        def act(handler):
            self.head(handler, 200, len(self.body))
            handler.wfile.write(self.body[:count])

        return act

    def truncated(self, count):
        """길이를 알리지 않고 count byte만 보냅니다. 받는 쪽은 내용으로만 알 수 있습니다."""

        def act(handler):
            self.head(handler, 200)
            handler.wfile.write(self.body[:count])

        return act

    def stall(self, count):
        def act(handler):
            handler.wfile.write(self.start(handler)[:count])
            handler.wfile.flush()
            self.released.wait(10)

        return act

    def trickle(self, handler):
        for byte in self.start(handler)[:100]:
            handler.wfile.write(bytes([byte]))
            if self.released.wait(0.02):
                return

    def reply(self, body):
        def act(handler):
            self.head(handler, 200, len(body))
            handler.wfile.write(body)

        return act


@pytest.fixture
def host():
    """서버 하나. ``make_host``로 더 만들 수 있습니다."""
    server = Host()
    yield server
    server.close()


@pytest.fixture
def second_host():
    server = Host()
    yield server
    server.close()


@pytest.fixture
def course_data():
    """진짜 자료가 든 ``COURSE_DATA``. 정하지 않았으면 시험을 건너뜁니다."""
    if "COURSE_DATA" not in os.environ:
        pytest.skip("COURSE_DATA를 정하지 않아 진짜 자료로 하는 시험을 건너뜁니다.")
