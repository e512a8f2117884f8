"""COURSE_DATA의 실제 데이터가 읽히는지 확인합니다."""

import gzip
import os
from pathlib import Path


def check_course_data() -> Path | None:
    """COURSE_DATA의 MNIST를 한 줄 읽어 봅니다. 지정하지 않았으면 None을 돌려줍니다."""
    value = os.environ.get("COURSE_DATA", "")
    if not value:
        return None
    folder = Path(value)
    path = folder / "mnist" / "t10k-labels-idx1-ubyte"
    with path.open("rb") if path.exists() else gzip.open(f"{path}.gz") as file:
        if file.read(4) != b"\x00\x00\x08\x01":
            raise OSError(f"{folder}/mnist의 파일이 IDX 형식이 아닙니다")
    return folder
