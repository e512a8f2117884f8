"""학습한 가중치를 safetensors 파일과 JSON 카드로 저장하고 읽습니다. pickle은 쓰지 않습니다.

``data/checkpoints/NAME.safetensors``가 가중치, ``NAME.json``이 카드입니다. 카드에는 같은 가중치를
다시 만드는 데 필요한 것과 저장된 파일로 잰 지표, 그리고 가중치 파일의 sha256이 있습니다.
"""

import copy
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

CHECKPOINTS = Path(__file__).resolve().parents[1] / "data" / "checkpoints"
MAX_BYTES = 8_000_000

# 만드는 쪽이 적는 항목과 그 뜻
FIELDS = {
    "command": "다시 만드는 명령",
    "seed": "시드",
    "data": "학습 자료",
    "binarisation": "이진화 방식(이진 자료가 아니면 '없음')",
    "hours": "학습에 든 시간",
    "hardware": "학습한 장치",
    "metric": "저장한 파일로 잰 지표 {이름: 값}",
    "licence": "학습 자료의 사용 허가",
}
# save_checkpoint가 채우는 항목
FILLED = ("name", "torch", "dtype", "parameters", "aliases", "bytes", "sha256")


class CheckpointError(RuntimeError):
    """체크포인트를 저장하거나 읽지 못했습니다. 메시지에 까닭과 할 수 있는 일이 적혀 있습니다."""


def save_checkpoint(
    model: nn.Module,
    name: str,
    card: dict,
    *,
    measure: Callable[[nn.Module], dict[str, float]] | None = None,
    half: bool = False,
    folder: Path = CHECKPOINTS,
) -> dict:
    """모델의 가중치와 카드를 저장하고 완성된 카드를 돌려줍니다.

    card: ``FIELDS``의 모든 항목. ``torch``, ``sha256`` 등 ``FILLED``의 항목은 이 함수가 채웁니다.
    measure: 저장한 파일에서 다시 읽은 모델을 받아 지표를 돌려주는 함수. 그 결과가 카드의
    ``metric``이 됩니다. 모델은 ``eval()`` 상태로 건네집니다.
    half: 가중치를 float16으로 저장합니다. 값이 달라지므로 ``measure``가 꼭 있어야 합니다.

    같은 메모리를 함께 쓰는(tied) 텐서는 한 번만 저장하고 이름의 짝을 카드의 ``aliases``에 적습니다.
    임시 이름으로 다 쓴 다음에 제 이름을 주므로, 쓰다가 실패해도 앞서 저장한 파일이 남습니다.

    ``CheckpointError``: 카드의 항목이 빠지거나 틀렸을 때, 파일이 8 MB를 넘을 때, 값이 NaN이거나
    float16의 범위를 넘을 때, 저장하지 못했을 때.
    """
    if measure is None and half:
        raise CheckpointError(
            "half=True이면 저장한 값이 모델의 값과 다릅니다. "
            "저장한 파일로 지표를 재도록 measure를 주십시오."
        )
    if measure is not None and "metric" in card:
        raise CheckpointError("metric은 measure가 채웁니다. 카드에서 metric을 빼십시오.")
    weights, _ = _paths(name, folder)
    tensors, aliases = _tensors(model, half)
    data = safetensors.torch.save(tensors)
    if len(data) > MAX_BYTES:
        raise CheckpointError(
            f"{weights.name}의 크기가 {len(data) / 1e6:.1f} MB로 "
            f"한도 {MAX_BYTES / 1e6:.0f} MB를 넘습니다. "
            + ("모델을 줄이십시오." if half else "half=True로 저장하거나 모델을 줄이십시오.")
        )
    card = {
        **card,
        "name": name,
        "torch": torch.__version__,
        "dtype": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "aliases": aliases,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if measure is not None:
        stored = copy.deepcopy(model)
        _assign(stored, safetensors.torch.load(data), aliases, name)
        card["metric"] = {key: float(value) for key, value in measure(stored.eval()).items()}
    check_card(card, name)
    _write_both(name, folder, data, json.dumps(card, ensure_ascii=False, indent=2) + "\n")
    return card


def load_checkpoint(name: str, model: nn.Module, *, folder: Path = CHECKPOINTS) -> dict:
    """저장된 가중치를 ``model``에 넣고 카드를 돌려줍니다.

    가중치는 모델의 dtype과 장치로 옮겨집니다. ``train()``/``eval()`` 상태는 바꾸지 않습니다.

    ``CheckpointError``: 파일이 없거나 손상되었을 때, 카드가 틀렸을 때, 모델의 구조가 다를 때.
    이때 모델의 가중치는 바뀌지 않습니다.
    """
    card, data = read_checkpoint(name, folder)
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(
            f"체크포인트 {name}의 가중치가 safetensors 형식이 아닙니다({error})."
        ) from None
    _assign(model, tensors, card["aliases"], name)
    return card


def read_checkpoint(name: str, folder: Path = CHECKPOINTS) -> tuple[dict, bytes]:
    """카드와 가중치 파일의 내용을 읽고 둘이 맞는지 확인합니다. 모델은 필요하지 않습니다."""
    weights, card_path = _paths(name, folder)
    for path in (weights, card_path):
        if not path.is_file():
            have = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors"))) or "없음"
            raise CheckpointError(
                f"체크포인트 파일이 없습니다: {path}. 저장소를 다시 받거나 "
                f"`python course.py train {name}` 명령으로 직접 학습하십시오. "
                f"(지금 있는 체크포인트: {have})"
            )
    try:
        data = weights.read_bytes()
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"체크포인트 {name}의 파일을 읽지 못했습니다({error}). 저장소에서 다시 받으십시오."
        ) from None
    check_card(card, name)
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise CheckpointError(
            f"체크포인트 {name}의 가중치가 카드와 맞지 않습니다(sha256 불일치). "
            "파일이 손상되었거나 두 파일의 판이 다릅니다. 두 파일을 저장소에서 다시 받으십시오."
        )
    return card, data


def check_card(card: dict, name: str) -> None:
    """카드에 빠지거나 틀린 항목이 있으면 모두 적어 ``CheckpointError``를 냅니다."""
    if not isinstance(card, dict):
        raise CheckpointError(f"체크포인트 {name}의 카드가 JSON 객체가 아닙니다.")
    wrong = [f"{key} 없음: {meaning}" for key, meaning in FIELDS.items() if key not in card]
    wrong += [f"{key} 없음" for key in FILLED if key not in card]
    for key in ("command", "data", "binarisation", "hardware", "licence"):
        if key in card and not (isinstance(card[key], str) and card[key].strip()):
            wrong.append(f"{key}는 비어 있지 않은 문자열이어야 합니다")
    if "seed" in card and type(card["seed"]) is not int:
        wrong.append("seed는 정수여야 합니다")
    if "hours" in card and not (_finite(card["hours"]) and card["hours"] >= 0):
        wrong.append("hours는 0 이상의 수여야 합니다")
    metric = card.get("metric", {"-": 0})
    if not (isinstance(metric, dict) and metric and all(map(_finite, metric.values()))):
        wrong.append("metric은 {이름: 유한한 수}여야 합니다")
    if card.get("name", name) != name:
        wrong.append(f"name이 파일 이름과 다릅니다({card['name']!r})")
    if not isinstance(card.get("aliases", {}), dict):
        wrong.append("aliases는 {이름: 이름}이어야 합니다")
    if wrong:
        raise CheckpointError(f"체크포인트 {name}의 카드를 고치십시오. " + "; ".join(wrong) + ".")


def _finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _paths(name: str, folder: Path) -> tuple[Path, Path]:
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise CheckpointError(f"체크포인트 이름은 영문 소문자, 숫자, _로만 짓습니다: {name!r}")
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def _tensors(model: nn.Module, half: bool) -> tuple[dict[str, Tensor], dict[str, str]]:
    """저장할 {이름: 연속한 CPU 텐서}와, 같은 텐서의 다른 이름 {뺀 이름: 남긴 이름}."""
    tensors, aliases, seen = {}, {}, {}
    for key, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"텐서가 아닌 상태는 저장하지 않습니다: {key}")
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
        if place in seen:
            aliases[key] = seen[place]
            continue
        seen[place] = key
        stored = value.detach().to(
            "cpu", torch.float16 if half and value.is_floating_point() else None
        )
        if value.isnan().any() or not torch.equal(stored.isfinite(), value.cpu().isfinite()):
            raise CheckpointError(f"{key}에 NaN이나 float16으로 나타낼 수 없는 큰 값이 있습니다.")
        # 일부가 겹치는 view도 safetensors가 받도록 복사합니다.
        tensors[key] = stored.clone(memory_format=torch.contiguous_format)
    return tensors, aliases


def _assign(model: nn.Module, tensors: dict[str, Tensor], aliases: dict[str, str], name: str):
    """구조가 모두 맞을 때에만 ``model``에 값을 넣습니다."""
    state = model.state_dict()
    full = tensors | {key: tensors[kept] for key, kept in aliases.items() if kept in tensors}
    wrong = [f"모델에만 있음: {key}" for key in state if key not in full]
    wrong += [f"파일에만 있음: {key}" for key in full if key not in state]
    wrong += [
        f"모양이 다름: {key}는 파일에서 {tuple(full[key].shape)}, 모델에서 {tuple(value.shape)}"
        for key, value in state.items()
        if key in full and full[key].shape != value.shape
    ]
    wrong += [
        f"종류가 다름: {key}는 파일에서 {full[key].dtype}, 모델에서 {value.dtype}"
        for key, value in state.items()
        if key in full and full[key].is_floating_point() != value.is_floating_point()
    ]
    if wrong:
        more = f" 외 {len(wrong) - 4}건" if len(wrong) > 4 else ""
        raise CheckpointError(
            f"체크포인트 {name}의 구조가 {type(model).__name__} 모델과 다릅니다. "
            f"카드의 command에 적힌 설정으로 모델을 만드십시오. ({'; '.join(wrong[:4])}{more})"
        )
    model.load_state_dict(full)


def _write_both(name: str, folder: Path, data: bytes, card: str) -> None:
    """두 파일을 임시 이름으로 다 쓴 뒤에 제 이름을 줍니다."""
    temporary = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for content in (data, card.encode()):
            descriptor, path = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".tmp")
            temporary.append(Path(path))
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for source, target in zip(temporary, _paths(name, folder), strict=True):
            source.chmod(0o644)  # mkstemp은 주인만 읽는 파일을 만듭니다.
            os.replace(source, target)
    except OSError as error:
        raise CheckpointError(
            f"체크포인트 {name} 파일을 {folder} 폴더에 저장하지 못했습니다({error}). "
            "남은 공간과 쓰기 권한을 확인하십시오."
        ) from None
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
