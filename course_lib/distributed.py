"""여러 프로세스가 배치를 나누어 학습하기: torchrun과 DistributedDataParallel.

    python3 course.py train nade --processes 2
    torchrun --nnodes 2 --nproc-per-node 1 … -m course_lib.recipes nade      (컴퓨터 두 대)

프로세스마다 같은 배치를 뽑아 자기 몫의 행만 계산하고, DistributedDataParallel이 기울기를 평균합니다. 손실이
행마다의 값의 평균이면 몫의 평균의 평균이 전체의 평균이므로, 한 프로세스로 학습한 것과 (부동소수점의 반올림까지)
같습니다. 손실이 난수를 쓰면(VAE의 잡음, MADE의 마스크) 프로세스마다 다른 난수를 뽑으므로 분포만 같고, 배치
정규화는 자기 몫에서 평균을 냅니다.

조리법은 ``training.fit`` 대신 여기의 ``fit``을 부르고, 학습이 끝나면 ``first_only``로 0번만 남깁니다. 프로세스가
하나면 둘 다 아무 일도 하지 않습니다. 계산은 CPU에서 합니다(gloo). 두 최적화기를 번갈아 쓰는 ``fit_gan``은
DistributedDataParallel과 맞지 않아 나누지 않습니다.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from course_lib import training


def processes() -> int:
    """torchrun이 켠 프로세스의 수. torchrun이 아니면 1입니다."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """이 프로세스의 번호. 0번이 결과를 저장합니다."""
    return int(os.environ.get("RANK", "0"))


def launcher() -> str:
    """카드에 적을, 지금처럼 다시 실행하는 명령의 앞부분."""
    return "python" if processes() == 1 else f"torchrun --nproc-per-node {processes()}"


def start() -> None:
    """프로세스들을 잇습니다. 진행 막대는 0번만 그립니다. 프로세스가 하나면 아무 일도 하지 않습니다."""
    if processes() > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
        if rank():
            os.environ["TQDM_DISABLE"] = "1"


def first_only() -> None:
    """학습이 끝난 뒤: 0번만 평가와 저장을 계속하고 나머지는 종료 코드 0으로 끝납니다."""
    if dist.is_initialized():
        dist.destroy_process_group()
    if rank():
        raise SystemExit(0)


def fit(
    model: nn.Module, loss: Callable[[nn.Module, object], Tensor], batches: Callable, **options
) -> Iterator[dict]:
    """``training.fit``과 같은 인자와 지표. torchrun으로 켰으면 배치를 프로세스의 수로 나눕니다.

    지표의 손실은 모든 프로세스의 평균입니다. 상태 파일은 0번만 쓰며, 프로세스의 수를 바꾸어 이어 갈 수 있습니다.
    오류: 배치의 크기가 프로세스의 수로 나누어떨어지지 않으면 ValueError, 나머지는 ``training.fit``과 같습니다.
    """
    if processes() == 1:
        return training.fit(model, loss, batches, **options)
    return _fit(model, loss, batches, **options)


def _fit(model, loss, batches, *, state: str | Path | None = None, **options) -> Iterator[dict]:
    start()
    # 쓰이지 않는 매개변수가 있는 모델(층이 깊은 PixelCNN의 끝)도 있습니다. 없을 때 나오는 안내는 가립니다
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    parallel = DistributedDataParallel(_Loss(model, loss), find_unused_parameters=True)

    def shared_loss(_, batch) -> Tensor:
        seed = int(torch.randint(2**62, ()))  # 모든 프로세스가 같은 값을 뽑습니다
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + rank())
            value = parallel(batch)
        training._check_scalar(value)
        mean = value.detach().clone()
        dist.all_reduce(mean)
        return mean / processes() + (value - value.detach())  # 값은 전체의 평균, 기울기는 내 몫

    with tempfile.TemporaryDirectory() as folder:
        if state is not None:
            state = _same_state(Path(state), Path(folder))
        yield from training.fit(model, shared_loss, _Share(batches), state=state, **options)


class _Loss(nn.Module):
    """DistributedDataParallel은 forward만 지켜보므로, 손실 전체를 forward로 만듭니다."""

    def __init__(self, model: nn.Module, loss: Callable):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch) -> Tensor:
        return self.loss(self.model, batch)


class _Share:
    """같은 배치에서 내 몫의 행. 섞은 순서 같은 상태는 원래의 batches가 맡습니다."""

    def __init__(self, batches: Callable):
        self._batches = batches

    def __call__(self, generator: torch.Generator):
        batch = self._batches(generator)
        tensors = batch if isinstance(batch, tuple | list) else (batch,)
        sizes = {len(t) for t in tensors}
        if any(size % processes() for size in sizes):
            raise ValueError(
                f"배치의 크기 {sorted(sizes)}가 프로세스의 수 {processes()}로 나누어떨어지지 않습니다. "
                "프로세스의 수를 바꾸어 주세요."
            )
        mine = tuple(t[rank() :: processes()] for t in tensors)
        return mine if isinstance(batch, tuple | list) else mine[0]

    def __getattr__(self, name: str):  # state_dict, load_state_dict
        return getattr(self._batches, name)


def _same_state(path: Path, folder: Path) -> Path:
    """0번의 상태 파일을 모두에게 나누어 줍니다. 0번만 제자리에 쓰고 나머지는 임시 폴더에 씁니다."""
    box = [path.read_bytes() if rank() == 0 and path.exists() else None]
    dist.broadcast_object_list(box)
    if rank() == 0:
        return path
    own = folder / path.name
    if box[0] is not None:
        own.write_bytes(box[0])
    return own
