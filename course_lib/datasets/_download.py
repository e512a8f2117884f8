"""큰 데이터 파일을 찾고, 없으면 내려받습니다.

찾는 순서는 ``$COURSE_DATA``, 캐시, 내려받기입니다. ``COURSE_DATA``를 정해 두었는데 그 안의
파일이 없거나 틀리면 다른 곳으로 넘어가지 않고 오류를 냅니다.

pooch를 쓰지 않은 까닭: 끊긴 곳부터 이어받지 못하고(HTTP Range), 압축 파일 자체의 체크섬만
확인합니다. 여기서는 압축을 푼 내용의 체크섬을 보므로 어느 미러에서 받은 파일이든 쓸 수 있습니다.
"""

import errno
import hashlib
import http.client
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import platformdirs
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

T = TypeVar("T")
TRIES = 5  # 한 주소에서 이어받기를 다시 시도하는 횟수
MIN_RATE = 1024  # byte/s. 이보다 느린 상태가 timeout초 이어지면 멈춘 것으로 봅니다.


class DataError(RuntimeError):
    """데이터를 찾거나 받거나 읽지 못했습니다. 메시지에 할 수 있는 일이 적혀 있습니다."""


class _HomeFailed(Exception):
    """한 주소에서 받지 못한 까닭. ``again``이 참이면 같은 주소에서 더 해 볼 만합니다."""

    def __init__(self, reason: str, again: bool = False):
        super().__init__(reason)
        self.again = again


def course_data() -> Path | None:
    """``COURSE_DATA``가 가리키는 폴더. 정하지 않았으면 ``None``, 틀렸으면 ``DataError``입니다."""
    value = os.environ.get("COURSE_DATA")
    if value is None:
        return None
    folder = Path(value).expanduser().absolute()
    if not value.strip() or not folder.is_dir():
        raise DataError(
            f"환경 변수 COURSE_DATA의 값 {value!r}에 해당하는 폴더가 없습니다. "
            "데이터 폴더의 경로로 고치거나, 내려받아 쓰려면 COURSE_DATA를 지우십시오."
        )
    return folder


def cache_folders() -> list[Path]:
    """캐시로 쓸 수 있는 폴더를 우선순위대로 돌려줍니다: 저장소의 ``data/cache``, 사용자 캐시."""
    repository = Path(__file__).resolve().parents[2]
    inside = [repository / "data" / "cache"] if (repository / "data" / "README.md").exists() else []
    return [*inside, platformdirs.user_cache_path("course_lib", appauthor=False)]


def obtain(
    names: Sequence[str],
    homes: Sequence[str],
    read: Callable[[Path], T],
    *,
    timeout: float = 15.0,
) -> T:
    """파일을 찾거나 받아 ``read(path)``의 결과를 돌려줍니다.

    names: 데이터 폴더 안의 상대 경로. 앞의 것부터 찾고, 내려받으면 첫 이름으로 저장합니다.
    homes: 차례로 시도할 주소.
    read: 파일을 읽고 내용까지 검사하는 함수. 틀리면 ``DataError``를 냅니다.
    timeout: 초. 이 시간 동안 응답이 없으면 다음 주소로 넘어갑니다.

    검사를 통과한 파일만 제 이름을 얻으므로, 받다 만 파일을 다 받은 것으로 쓰는 일은 없습니다.
    ``DataError``: ``COURSE_DATA``나 캐시의 파일이 틀렸을 때, 어느 주소에서도 받지 못했을 때,
    저장할 수 없을 때.
    """
    folder = course_data()
    if folder is not None:
        for name in names:
            if (folder / name).is_file():
                return _read_local(
                    folder / name, read, "바른 파일로 바꾸거나 COURSE_DATA를 지우십시오."
                )
        raise DataError(
            f"COURSE_DATA로 정한 폴더 {folder}에 {' 또는 '.join(names)} 파일이 없습니다. "
            "파일을 그 자리에 넣거나, 내려받아 쓰려면 COURSE_DATA를 지우십시오."
        )
    for cache in cache_folders():
        for name in names:
            if (cache / name).is_file():
                return _read_local(
                    cache / name, read, "이 파일을 지우고 다시 실행하면 새로 받습니다."
                )
    return _fetch(homes, _writable_cache() / names[0], read, timeout)


def _read_local(path: Path, read: Callable[[Path], T], advice: str) -> T:
    try:
        return read(path)
    except (DataError, OSError) as error:
        raise DataError(f"{path} 파일을 쓸 수 없습니다: {error} {advice}") from None


def _writable_cache() -> Path:
    for folder in cache_folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    tried = ", ".join(str(folder) for folder in cache_folders())
    raise DataError(
        f"받은 파일을 저장할 폴더가 없습니다. 다음 폴더에 쓸 수 없습니다: {tried}. "
        "쓰기 권한을 주거나, 데이터가 있는 폴더를 환경 변수 COURSE_DATA에 적으십시오."
    )


def _fetch(homes: Sequence[str], target: Path, read: Callable[[Path], T], timeout: float) -> T:
    """``homes``를 차례로 시도해 ``target``을 만들고 ``read(target)``의 값을 돌려줍니다."""
    part = target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock", timeout=600):
            if target.is_file():  # 기다리는 동안 다른 프로세스가 받아 두었습니다.
                return read(target)
            failures = []
            for url in homes:
                # 미러마다 압축 결과가 다를 수 있으므로 이어받을 조각은 주소마다 따로 둡니다.
                key = hashlib.sha256(url.encode()).hexdigest()[:8]
                part = target.with_name(f"{target.name}.{key}.part")
                try:
                    value = _from_home(url, part, read, timeout)
                except _HomeFailed as error:
                    failures.append(f"  - {url}\n    {error}")
                    continue
                os.replace(part, target)
                for stale in target.parent.glob(f"{target.name}.*.part"):
                    stale.unlink()
                return value
    except Timeout:
        raise DataError(
            f"다른 프로그램이 {target.name} 파일을 받고 있습니다. 끝난 뒤에 다시 실행하십시오."
        ) from None
    except OSError as error:
        if part != target:
            part.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DataError(
            f"{target.parent} 폴더에 {target.name} 파일을 저장하지 못했습니다"
            f"({'디스크에 남은 공간이 없습니다' if full else error}). "
            "원인을 없애고 다시 실행하거나, 데이터가 있는 폴더를 COURSE_DATA에 적으십시오."
        ) from None
    raise DataError(
        f"{target.name} 파일을 어느 곳에서도 받지 못했습니다.\n"
        + "\n".join(failures)
        + "\n다음 가운데 하나를 하십시오.\n"
        "  1. 인터넷 연결을 확인하고 다시 실행합니다. 받던 파일은 이어받습니다.\n"
        f"  2. 다른 곳에서 구한 {target.name} 파일을 이 폴더에 복사합니다: {target.parent}\n"
        "  3. 데이터가 있는 폴더를 환경 변수 COURSE_DATA에 적습니다(data/README.md 참고)."
    )


def _from_home(url: str, part: Path, read: Callable[[Path], T], timeout: float) -> T:
    """한 주소에서, 받은 양이 늘어나는 동안 끊긴 곳부터 이어받고 내용을 검사합니다."""
    for _ in range(TRIES):
        before = _size(part)
        try:
            _stream(url, part, timeout)
            return read(part)
        except _HomeFailed as error:
            failure = error
            if not error.again and _size(part) <= before:
                break
        except DataError as error:
            part.unlink()
            failure = _HomeFailed(f"받은 내용이 틀립니다: {error}")
            if not before:  # 처음부터 받은 것이므로 이어 붙인 탓이 아닙니다.
                break
    raise failure


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stream(url: str, part: Path, timeout: float) -> None:
    """``part``에 이어서 받습니다.

    서버와 회선의 잘못은 ``_HomeFailed``, 저장의 잘못은 ``OSError``입니다.
    """
    start = _size(part)
    headers = {"User-Agent": "course_lib", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:
            part.unlink()  # 조각이 서버의 파일만큼 길거나 더 깁니다. 처음부터 받습니다.
            raise _HomeFailed("이어받을 자리가 맞지 않습니다", again=True) from None
        raise _HomeFailed(f"서버가 거절했습니다 (HTTP {error.code})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _HomeFailed(_reason(error, timeout)) from error
    with response:
        if response.status != 206:
            start = 0  # 서버가 Range를 무시하고 처음부터 보냅니다.
        total = None if response.length is None else start + response.length
        with (
            open(part, "ab" if start else "wb") as out,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            mark, marked = time.monotonic(), start
            got = start
            while chunk := _receive(response, timeout):
                out.write(chunk)
                got += len(chunk)
                bar.update(len(chunk))
                if time.monotonic() - mark > timeout:
                    if got - marked < MIN_RATE * timeout:
                        raise _HomeFailed("전송이 너무 느려 멈춘 것으로 보입니다")
                    mark, marked = time.monotonic(), got
            out.flush()
            os.fsync(out.fileno())
    if total is not None and got != total:
        raise _HomeFailed(f"{total} byte 가운데 {got} byte에서 끊겼습니다")


def _receive(response: http.client.HTTPResponse, timeout: float) -> bytes:
    try:
        return response.read1(1 << 16)
    except (OSError, http.client.HTTPException) as error:
        raise _HomeFailed(_reason(error, timeout)) from error


def _reason(error: Exception, timeout: float) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"{timeout:g}초 동안 응답이 없습니다"
    if isinstance(cause, ssl.SSLError):
        return f"보안 인증서를 확인하지 못했습니다 ({cause})"
    if isinstance(cause, socket.gaierror):
        return "주소를 찾지 못했습니다. 인터넷에 연결되어 있지 않은 것 같습니다"
    if isinstance(cause, ConnectionRefusedError):
        return "서버가 연결을 받지 않습니다"
    return f"연결이 끊겼습니다 ({cause!r})"
