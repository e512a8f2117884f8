"""내려받기: 나쁜 서버, 디스크, 설정에서 오류 하나만 내고 아무것도 망치지 않는지 봅니다."""

import builtins
import errno
import random
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from course_lib.datasets import _download
from course_lib.datasets._download import DataError, obtain

BODY = random.Random(0).randbytes(200_000)
HALF = len(BODY) // 2
NAMES = ("set/file.bin",)
TIMEOUT = 0.5  # 멈춘 서버를 기다리는 시간


def read(path):
    data = path.read_bytes()
    if data != BODY:
        raise DataError("내용이 원본과 다릅니다.")
    return data


def get(*hosts, timeout=10):
    return obtain(NAMES, [host.url for host in hosts], read, timeout=timeout)


def files(folder):
    """잠금 파일을 뺀 파일의 이름."""
    found = folder.rglob("*") if folder.exists() else []
    return sorted(path.name for path in found if path.is_file() and path.suffix != ".lock")


@pytest.fixture(autouse=True)
def body(host, second_host):
    host.body = second_host.body = BODY


def check_korean(message):
    assert re.search("[가-힣]", message)
    assert "Traceback" not in message


def test_download_then_cache(host, cache):
    assert get(host) == BODY
    assert files(cache) == ["file.bin"]
    assert get(host) == BODY
    assert len(host.ranges) == 1  # 두 번째에는 캐시만 읽습니다.


@pytest.mark.parametrize("code", [403, 404, 429, 500, 503])
def test_refused(host, second_host, cache, code):
    host.plan = [host.status(code)]
    with pytest.raises(DataError, match=f"HTTP {code}") as info:
        get(host)
    check_korean(str(info.value))
    assert files(cache) == []
    assert len(host.ranges) == 1  # 거절한 서버를 거듭 부르지 않습니다.
    assert get(host, second_host) == BODY


def test_all_homes_down_names_every_way_out(host, second_host, cache):
    host.plan = [host.status(403)]
    second_host.plan = [second_host.status(404)]
    with pytest.raises(DataError) as info:
        get(host, second_host)
    message = str(info.value)
    check_korean(message)
    for part in (host.url, second_host.url, "403", "404", "COURSE_DATA", str(cache / "set")):
        assert part in message
    assert info.value.__cause__ is None and info.value.__context__ is None  # 오류는 하나뿐입니다.
    assert files(cache) == []


def test_nobody_listens(cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    with pytest.raises(DataError, match="서버가 연결을 받지 않습니다"):
        obtain(NAMES, [url], read, timeout=TIMEOUT)
    assert files(cache) == []


def test_unknown_address(cache, monkeypatch):
    def no_network(*_, **__):
        raise _download.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(_download.socket, "getaddrinfo", no_network)
    with pytest.raises(DataError, match="인터넷에 연결되어 있지 않은"):
        obtain(NAMES, ["http://example.invalid/file"], read, timeout=TIMEOUT)


@pytest.mark.parametrize("count", [0, HALF])
def test_stall(host, second_host, cache, count):
    host.plan = [host.stall(count)]
    start = time.monotonic()
    assert get(host, second_host, timeout=TIMEOUT) == BODY
    assert time.monotonic() - start < 10 * TIMEOUT
    assert files(cache) == ["file.bin"]  # 첫 주소에서 받다 만 조각도 치웁니다.


def test_stall_is_reported(host):
    host.plan = [host.stall(0)]
    with pytest.raises(DataError, match="0.5초 동안 응답이 없습니다"):
        get(host, timeout=TIMEOUT)


def test_trickle(host, monkeypatch):
    """timeout보다 짧은 간격으로 조금씩만 보내는 서버에도 붙잡히지 않습니다."""
    monkeypatch.setattr(_download, "TRIES", 1)
    host.plan = [host.trickle]
    start = time.monotonic()
    with pytest.raises(DataError, match="너무 느려"):
        get(host, timeout=TIMEOUT)
    assert time.monotonic() - start < 10 * TIMEOUT


def test_cut_then_resumed_in_the_same_run(host, cache):
    host.plan = [host.cut(HALF), host.serve]
    assert get(host) == BODY
    assert host.ranges == [None, f"bytes={HALF}-"]
    assert files(cache) == ["file.bin"]


def test_cut_then_resumed_in_the_next_run(host, cache):
    host.plan = [host.cut(HALF), host.status(503)]
    with pytest.raises(DataError, match="503"):
        get(host)
    assert [name for name in files(cache) if not name.endswith(".part")] == []
    host.plan = [host.serve]
    assert get(host) == BODY
    assert host.ranges[-1] == f"bytes={HALF}-"
    assert files(cache) == ["file.bin"]


def test_cut_again_and_again(host):
    """조금씩이라도 나아가면 이어받되, 끝없이 되풀이하지는 않습니다."""
    host.plan = [host.cut(len(BODY) // 4)]
    assert get(host) == BODY
    host.ranges.clear()
    host.plan = [host.cut(10)]
    for path in _download.cache_folders()[0].rglob("file.bin"):
        path.unlink()
    with pytest.raises(DataError, match="끊겼습니다"):
        get(host)
    assert len(host.ranges) == _download.TRIES


def test_server_ignores_range(host, cache):
    host.plan = [host.cut(HALF), host.ignore_range]
    assert get(host) == BODY
    assert host.ranges == [None, f"bytes={HALF}-"]


def test_server_ignores_range_and_keeps_cutting(host, second_host):
    host.plan = [host.cut_ignoring_range(HALF)]
    assert get(host, second_host) == BODY
    assert len(host.ranges) <= _download.TRIES


def test_server_sends_another_range(host, cache):
    host.plan = [host.cut(HALF), host.wrong_range, host.serve]
    assert get(host) == BODY
    assert host.ranges == [None, f"bytes={HALF}-", None]


def test_part_longer_than_the_file(host, cache):
    """서버의 파일보다 긴 조각이 남아 있으면(416) 처음부터 받습니다."""
    host.body = BODY + b"x"
    host.plan = [host.cut(len(BODY)), host.status(503)]
    with pytest.raises(DataError):
        get(host)
    host.body = BODY
    host.plan = [host.serve]
    assert get(host) == BODY
    assert host.ranges[-2:] == [f"bytes={len(BODY)}-", None]


def test_file_changed_between_the_two_halves(host, cache):
    """이어 붙인 결과가 틀리면 같은 주소에서 처음부터 다시 받습니다."""
    host.body = bytes(len(BODY))
    host.plan = [host.cut(HALF), host.status(503)]
    with pytest.raises(DataError):
        get(host)
    host.body = BODY
    host.plan = [host.serve]
    assert get(host) == BODY
    assert host.ranges[-2:] == [f"bytes={HALF}-", None]


def test_parts_of_two_homes_are_never_joined(host, second_host, cache):
    """압축 결과가 다른 두 미러의 조각을 이어 붙이지 않습니다."""
    host.plan = [host.cut(HALF), host.status(503)]
    assert get(host, second_host) == BODY
    assert second_host.ranges == [None]


@pytest.mark.parametrize("count", [0, 1, HALF, len(BODY) - 1])
def test_truncated_without_a_length(host, second_host, cache, count):
    host.plan = [host.truncated(count)]
    with pytest.raises(DataError, match="받은 내용이 틀립니다"):
        get(host)
    assert files(cache) == []
    assert get(host, second_host) == BODY


def test_wrong_content(host, second_host, cache):
    host.plan = [host.reply(b"<html>Please log in</html>")]
    with pytest.raises(DataError, match="받은 내용이 틀립니다"):
        get(host)
    assert files(cache) == []
    assert len(host.ranges) == 1
    assert get(host, second_host) == BODY


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("after", [0, HALF])
def test_disk_full(host, cache, monkeypatch, number, after):
    class Full:
        def __init__(self, file):
            self.file, self.left = file, after

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(number, "disk")
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(
        _download, "open", lambda *a, **k: Full(builtins.open(*a, **k)), raising=False
    )
    with pytest.raises(DataError) as info:
        get(host)
    message = str(info.value)
    check_korean(message)
    assert str(cache / "set") in message and "COURSE_DATA" in message
    assert ("남은 공간이 없습니다" in message) == (number != errno.EIO)
    assert files(cache) == []
    assert len(host.ranges) == 1  # 디스크 탓을 서버에 돌려 다른 주소로 넘어가지 않습니다.


def test_rename_fails(host, cache, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(_download.os, "replace", refuse)
    with pytest.raises(DataError, match="저장하지 못했습니다"):
        get(host)
    assert files(cache) == []


def test_interrupt_keeps_the_part_and_the_next_run_resumes(host, cache, monkeypatch):
    host.plan = [host.stall(HALF)]
    receive = _download._receive
    got = []

    def interrupted(response, timeout):
        if sum(got) >= HALF:
            raise KeyboardInterrupt
        chunk = receive(response, timeout)
        got.append(len(chunk))
        return chunk

    monkeypatch.setattr(_download, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get(host)
    monkeypatch.undo()
    monkeypatch.setattr(_download, "cache_folders", lambda: [cache])
    monkeypatch.delenv("COURSE_DATA", raising=False)
    host.plan = [host.serve]
    assert get(host) == BODY
    assert host.ranges[-1] == f"bytes={HALF}-"


def test_two_at_once_download_once(host):
    host.plan = [host.slow_then_serve]
    results = []
    threads = [threading.Thread(target=lambda: results.append(get(host))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [BODY] * 3
    assert len(host.ranges) == 1


@pytest.mark.parametrize("names", [NAMES, ("other.bin", *NAMES)])
def test_course_data_comes_first(tmp_path, monkeypatch, host, cache, names):
    folder = tmp_path / "강의 자료"
    (folder / "set").mkdir(parents=True)
    (folder / NAMES[0]).write_bytes(BODY)
    (cache / "set").mkdir(parents=True)
    (cache / NAMES[0]).write_bytes(b"wrong")
    monkeypatch.setenv("COURSE_DATA", str(folder))
    assert obtain(names, [host.url], read) == BODY
    assert host.ranges == []


def test_course_data_is_never_passed_over(tmp_path, monkeypatch, host, cache):
    """정해 둔 폴더가 틀리면 캐시나 서버에 바른 파일이 있어도 오류입니다."""
    assert get(host) == BODY
    folder = tmp_path / "data"
    for value in ("", " ", str(folder), str(cache / NAMES[0])):
        monkeypatch.setenv("COURSE_DATA", value)
        with pytest.raises(DataError, match="COURSE_DATA의 값 .* 폴더가 없습니다"):
            get(host)
    (folder / "set").mkdir(parents=True)
    monkeypatch.setenv("COURSE_DATA", str(folder))
    with pytest.raises(DataError, match="set/file.bin 파일이 없습니다"):
        get(host)
    (folder / NAMES[0]).write_bytes(BODY[:-1])
    with pytest.raises(DataError, match="COURSE_DATA를 지우십시오") as info:
        get(host)
    assert str(folder / NAMES[0]) in str(info.value)
    assert len(host.ranges) == 1


def test_relative_course_data_is_reported_as_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", ".")
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        obtain(NAMES, [], read)


def test_damaged_cache_is_an_error(host, cache):
    (cache / "set").mkdir(parents=True)
    (cache / NAMES[0]).write_bytes(BODY[1:])
    with pytest.raises(DataError, match="지우고 다시 실행하면") as info:
        get(host)
    assert str(cache / NAMES[0]) in str(info.value)
    assert host.ranges == []


def test_unwritable_cache_gives_way_to_the_user_cache(host, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")  # 폴더가 아니므로 그 아래에 쓸 수 없습니다.
    user = tmp_path / "user"
    monkeypatch.setattr(_download, "cache_folders", lambda: [blocked, user])
    assert get(host) == BODY
    assert files(user) == ["file.bin"]
    monkeypatch.setattr(_download, "cache_folders", lambda: [blocked])
    with pytest.raises(DataError, match="쓰기 권한"):
        get(host)


def test_cache_folders(monkeypatch, tmp_path):
    monkeypatch.undo()
    repository = Path(_download.__file__).resolve().parents[2]
    folders = _download.cache_folders()
    assert folders[0] == repository / "data" / "cache"
    assert folders[1].is_absolute() and repository not in folders[1].parents
    # 저장소 밖에 설치하면 저장소의 캐시는 쓰지 않습니다.
    monkeypatch.setattr(_download, "__file__", str(tmp_path / "a" / "b" / "_download.py"))
    assert _download.cache_folders() == folders[1:]
