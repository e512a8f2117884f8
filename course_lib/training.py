"""학습: 모델은 ``fit`` 하나로, 두 신경망이 겨루는 GAN은 ``fit_gan``으로 학습합니다.

``fit``은 단계마다 지표를 하나씩 내놓는 제너레이터입니다. 학습 루프를 숨기지 않으면서, 그림을
그리거나 멈추는 일은 부르는 쪽의 for 문에서 하게 하려는 것입니다.

    model = RealNVP(dim=2)
    training = fit(model, nll, lambda g: moons.sample(256, g), steps=2000)
    losses = [m["loss"] for m in progress(training, total=2000)]
"""

import errno
import json
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

Batches = Callable[[torch.Generator], object]


class TrainingDiverged(RuntimeError):
    """손실이나 기울기가 NaN 또는 무한대가 되었습니다. ``step``은 그 일이 일어난 단계입니다."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, object], Tensor],
    batches: Batches,
    *,
    steps: int,
    lr: float = 1e-3,
    schedule: str = "cosine",
    warmup: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
    max_grad_norm: float | None = None,
    seed: int = 0,
    state: str | Path | None = None,
    save_every: int = 200,
) -> Iterator[dict]:
    """model을 steps단계 학습하며 단계마다 ``{"step", "loss", "grad_norm", "lr"}``을 내놓습니다.

    loss(model, batch)   줄일 값, 스칼라 텐서(보통 ``-model.log_prob(x).mean()``)
    batches(generator)   배치 하나. 난수가 필요하면 받은 generator로 뽑습니다.
    schedule             "cosine": lr·½(1 + cos(πk/steps))로 0까지, "constant": 그대로
    warmup               처음 몇 단계 동안 lr을 0에서부터 곧게 올립니다.
    optimizer            기본값은 Adam(lr). 직접 만든 것을 주면 그 lr에 schedule을 곱합니다.
    max_grad_norm        전체 기울기의 길이를 이 값 이하로 자릅니다.
    seed                 학습이 쓰는 난수의 시드. ``torch.randn``, dropout 등 전역 난수도 학습
                         안에서는 이 흐름을 쓰고, 밖의 전역 난수는 건드리지 않습니다.
    state, save_every    상태 파일의 경로와 저장 간격. 파일이 있으면 이어서 학습합니다. 중간에
                         꺼졌다 이어 간 결과는 CPU에서 한 번에 학습한 결과와 비트까지 같습니다.

    끝까지 돌면 model은 ``eval()`` 상태입니다.
    오류: TrainingDiverged(손실이나 기울기가 유한하지 않음; 가중치는 마지막으로 유한했던 값),
    OSError(상태 파일을 쓸 수 없음), ValueError(잘못된 인자, 다른 학습의 상태 파일).
    """
    _check_arguments(steps, schedule, warmup, save_every)
    if optimizer is None:
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    base_lrs = [group["lr"] for group in optimizer.param_groups]
    randomness = _OwnRandomness(seed)
    done = 0  # 마친 단계의 수
    if state is not None:
        settings = dict(steps=steps, lr=base_lrs, schedule=schedule, warmup=warmup)
        settings.update(max_grad_norm=max_grad_norm, seed=seed)
        saved = _State(Path(state), settings, model, {"main": optimizer}, randomness, batches)
        done = saved.load_or_create()

    for step in range(done + 1, steps + 1):
        if not model.training:
            model.train()
        with randomness:
            batch = batches(randomness.generator)
            optimizer.zero_grad()
            value = loss(model, batch)
            _check_scalar(value)
            value.backward()

        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        grad_norm = get_total_norm(gradients)
        metrics = {"step": step, "loss": value.item(), "grad_norm": grad_norm.item()}
        if not math.isfinite(metrics["loss"]) or not math.isfinite(metrics["grad_norm"]):
            optimizer.zero_grad()
            raise _diverged(metrics, batch, optimizer.param_groups[0]["lr"])
        if max_grad_norm is not None:
            clip_grads_with_norm_(model.parameters(), max_grad_norm, grad_norm)

        factor = _lr_factor(step - 1, steps, schedule, warmup)
        for group, base_lr in zip(optimizer.param_groups, base_lrs, strict=True):
            group["lr"] = base_lr * factor
        optimizer.step()

        if state is not None and (step % save_every == 0 or step == steps):
            saved.save(step)
        yield metrics | {"lr": optimizer.param_groups[0]["lr"]}
    model.eval()


def fit_gan(
    gan: nn.Module,
    d_loss: Callable[[nn.Module, object], Tensor],
    g_loss: Callable[[nn.Module, object], Tensor],
    batches: Batches,
    *,
    steps: int,
    lr: float | tuple[float, float] = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer] | None = None,
    schedule: str = "constant",
    d_steps: int = 1,
    after_d: Callable[[nn.Module], None] | None = None,
    seed: int = 0,
    state: str | Path | None = None,
    save_every: int = 200,
) -> Iterator[dict]:
    """판별자와 생성자를 번갈아 학습합니다. 한 단계는 판별자 ``d_steps``번과 생성자 한 번입니다.

    gan                  ``generator``와 ``discriminator``를 가진 모듈
    d_loss, g_loss       (gan, 배치) → 각자가 줄일 스칼라. 상대의 가중치는 얼려 두므로 움직이지 않습니다.
    lr                   두 Adam의 학습률. 튜플이면 (판별자, 생성자)
    optimizers           (판별자, 생성자)의 최적화기를 직접 줄 때
    after_d(판별자)       판별자를 고친 뒤마다 부릅니다(가중치 자르기)

    단계마다 ``{"step", "loss", "d_loss", "g_loss", "d_grad_norm", "g_grad_norm", "lr"}``을 내놓으며
    ``loss``는 ``d_loss``와 같습니다(마지막 판별자 단계의 값). 나머지 인자와 오류는 ``fit``과 같습니다.
    """
    _check_arguments(steps, schedule, 0, save_every)
    if d_steps < 1:
        raise ValueError(f"d_steps는 1 이상이어야 하는데 {d_steps}를 받았습니다.")
    players = {"d": gan.discriminator, "g": gan.generator}
    if optimizers is None:
        rates = lr if isinstance(lr, tuple) else (lr, lr)
        optimizers = tuple(
            torch.optim.Adam(player.parameters(), lr=rate, betas=betas, fused=True)
            for player, rate in zip(players.values(), rates, strict=True)
        )
    optimizer = dict(zip(players, optimizers, strict=True))
    base_lrs = {key: [group["lr"] for group in o.param_groups] for key, o in optimizer.items()}
    randomness = _OwnRandomness(seed)
    done = 0
    if state is not None:
        settings = dict(steps=steps, lr=base_lrs, schedule=schedule, d_steps=d_steps, seed=seed)
        saved = _State(Path(state), settings, gan, optimizer, randomness, batches)
        done = saved.load_or_create()

    for step in range(done + 1, steps + 1):
        gan.train()
        metrics: dict = {"step": step}
        for key, loss in [("d", d_loss)] * d_steps + [("g", g_loss)]:
            players["d"].requires_grad_(key == "d")
            players["g"].requires_grad_(key == "g")
            with randomness:
                batch = batches(randomness.generator)
                optimizer[key].zero_grad()
                value = loss(gan, batch)
                _check_scalar(value)
                value.backward()
            norm = get_total_norm(
                [p.grad for p in players[key].parameters() if p.grad is not None]
            ).item()
            metrics |= {"loss": value.item(), f"{key}_loss": value.item(), f"{key}_grad_norm": norm}
            if not math.isfinite(metrics["loss"]) or not math.isfinite(norm):
                optimizer[key].zero_grad()
                gan.requires_grad_(True)
                raise _diverged(metrics, batch, optimizer[key].param_groups[0]["lr"])
            for group, base_lr in zip(optimizer[key].param_groups, base_lrs[key], strict=True):
                group["lr"] = base_lr * _lr_factor(step - 1, steps, schedule, 0)
            optimizer[key].step()
            if key == "d" and after_d is not None:
                after_d(players["d"])
        gan.requires_grad_(True)
        if state is not None and (step % save_every == 0 or step == steps):
            saved.save(step)
        yield metrics | {"loss": metrics["d_loss"], "lr": optimizer["g"].param_groups[0]["lr"]}
    gan.eval()


def progress(iterable: Iterable, total: int | None = None, desc: str = "") -> Iterator:
    """진행 막대를 그리며 iterable을 그대로 돌려줍니다. ``fit``의 지표라면 손실도 보여 줍니다.

    total  전체 길이. 제너레이터는 길이를 모르므로 ``fit``에는 steps를 넘겨 주세요.
    """
    from tqdm.auto import tqdm  # 주피터와 터미널을 알아서 구분합니다

    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    with tqdm(total=total, desc=desc) as bar:
        for item in iterable:
            yield item
            step = bar.n + 1
            if isinstance(item, dict) and "loss" in item:
                step = item.get("step", step)  # 이어서 학습하면 중간부터 시작합니다
                bar.set_postfix_str(f"손실 {item['loss']:.3f}", refresh=False)
            bar.update(step - bar.n)


def minibatches(x: Tensor | tuple[Tensor, ...], batch_size: int) -> "Minibatches":
    """데이터를 에폭마다 새로 섞어 batch_size개씩 내주는 ``batches``를 만듭니다.

    x  텐서 ``(N, …)`` 또는 ``(images, labels)``처럼 길이가 같은 텐서의 튜플. 배치도 같은 꼴입니다.
    에폭 끝의 자투리는 버리고, N이 batch_size보다 작으면 배치는 데이터 전체입니다.
    오류: 데이터가 비었거나 길이가 다르거나 batch_size가 1보다 작으면 ValueError.
    """
    return Minibatches(x, batch_size)


class Minibatches:
    """``minibatches``가 돌려주는 것. 섞은 순서와 위치가 상태이므로 ``fit``이 이어 갈 수 있습니다."""

    def __init__(self, x: Tensor | tuple[Tensor, ...], batch_size: int):
        self._single = isinstance(x, Tensor)
        self._tensors = (x,) if self._single else tuple(x)
        lengths = {len(t) for t in self._tensors}
        if len(lengths) != 1 or lengths == {0} or batch_size < 1:
            raise ValueError(
                "minibatches에는 비어 있지 않고 길이가 같은 텐서와 1 이상의 batch_size를 넣으세요. "
                f"받은 길이: {[len(t) for t in self._tensors]}, batch_size={batch_size}."
            )
        self._length = lengths.pop()
        self._batch_size = min(batch_size, self._length)
        self._order = torch.arange(self._length)
        self._next = self._length  # 첫 호출에서 섞습니다

    def __call__(self, generator: torch.Generator):
        if self._next + self._batch_size > self._length:
            self._order = torch.randperm(self._length, generator=generator)
            self._next = 0
        chosen = self._order[self._next : self._next + self._batch_size]
        self._next += self._batch_size
        batch = tuple(t[chosen.to(t.device)] for t in self._tensors)
        return batch[0] if self._single else batch

    def state_dict(self) -> dict[str, Tensor]:
        return {"order": self._order, "position": torch.tensor([self._next, self._batch_size])}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        position, batch_size = state["position"].tolist()
        if len(state["order"]) != self._length or batch_size != self._batch_size:
            raise ValueError("데이터의 수나 batch_size가 저장할 때와 다릅니다.")
        self._order, self._next = state["order"], position


def _lr_factor(done: int, steps: int, schedule: str, warmup: int) -> float:
    """done단계를 마친 뒤의 학습률 배수. 상태가 없는 식이라 이어서 학습할 때 맞출 것이 없습니다."""
    factor = 0.5 * (1 + math.cos(math.pi * done / steps)) if schedule == "cosine" else 1.0
    return factor * min(1.0, (done + 1) / warmup) if warmup else factor


def _check_arguments(steps, schedule, warmup, save_every) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps는 1 이상의 정수여야 하는데 {steps!r}을 받았습니다.")
    if schedule not in ("cosine", "constant"):
        raise ValueError(f'schedule은 "cosine"이나 "constant"여야 합니다. 받은 값: {schedule!r}.')
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup은 0 이상, steps({steps}) 미만이어야 합니다. 받은 값: {warmup}.")
    if save_every < 1:
        raise ValueError(f"save_every는 1 이상이어야 하는데 {save_every}를 받았습니다.")


def _check_scalar(value) -> None:
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"loss(model, batch)는 스칼라 텐서를 돌려주어야 하는데 {got}을 받았습니다. "
            ".mean()으로 배치 평균을 취하세요."
        )


def _diverged(metrics: dict, batch, lr: float) -> TrainingDiverged:
    """무엇이 유한하지 않았는지 살펴 할 일을 알려 주는 오류를 만듭니다."""
    tensors = batch if isinstance(batch, tuple | list) else [batch]
    tensors = [t for t in tensors if isinstance(t, Tensor) and t.is_floating_point()]
    step = metrics["step"]
    if not all(t.isfinite().all() for t in tensors):
        reason = "배치에 NaN이나 무한대가 있습니다. 데이터를 먼저 확인하세요."
    else:
        what = "기울기가" if math.isfinite(metrics["loss"]) else "손실이"
        reason = (
            f"{what} 유한하지 않습니다. lr을 줄이거나(마지막 값 {lr:.1e}) max_grad_norm을 주고, "
            "데이터의 크기가 1 정도가 되도록 맞춰 보세요."
        )
    return TrainingDiverged(
        f"학습이 {step}번째 단계에서 멈췄습니다: {reason} "
        "model에는 마지막으로 유한했던 가중치가 남아 있습니다.",
        step,
    )


class _OwnRandomness:
    """학습만의 난수 흐름 둘: 배치용 generator, 그리고 with 안에서 쓰는 전역 CPU 난수(dropout 등).

    전역 난수는 스레드가 함께 쓰므로, 위젯처럼 다른 스레드에서 학습할 때는 바꿔 끼우지 않습니다.
    """

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.inner = torch.Generator().manual_seed(seed + 2**40).get_state()

    def __enter__(self) -> None:
        self._alone = threading.current_thread() is threading.main_thread()
        if self._alone:
            self._outer = torch.get_rng_state()
            torch.set_rng_state(self.inner)

    def __exit__(self, *_) -> None:
        if self._alone:
            self.inner = torch.get_rng_state()
            torch.set_rng_state(self._outer)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state(), "inner": self.inner}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.generator.set_state(state["generator"])
        self.inner = state["inner"]


class _State:
    """상태 파일: 가중치, optimizer의 상태, 난수, 배치의 위치를 한 safetensors 파일에 담습니다."""

    def __init__(self, path: Path, settings, model, optimizers, randomness, batches):
        self.path = path
        kinds = [type(optimizer).__name__ for optimizer in optimizers.values()]
        self.settings = {"model": type(model).__name__, "optimizer": ", ".join(kinds)}
        self.settings |= settings
        self.model, self.optimizers = model, optimizers
        self.randomness, self.batches = randomness, batches

    def load_or_create(self) -> int:
        """파일이 있으면 읽어 마친 단계의 수를, 없으면 지금 상태를 저장하고 0을 돌려줍니다.

        학습 전에 한 번 저장해 보므로 쓸 수 없는 경로는 몇 시간 뒤가 아니라 지금 드러납니다.
        """
        if self.path.exists():
            return self._load()
        self.save(0)
        return 0

    def save(self, step: int) -> None:
        from safetensors.torch import save

        # 복사본을 저장합니다: safetensors는 저장 공간을 나눠 쓰는 텐서를 받지 않습니다.
        tensors = {name: t.detach().clone().contiguous() for name, t in self._tensors().items()}
        metadata = json.dumps(self.settings | {"step": step}, ensure_ascii=False)
        data = save(tensors, metadata={"course_lib.training": metadata})
        temporary = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)  # 도중에 꺼져도 온전한 파일만 남습니다
        except OSError as error:
            try:
                temporary.unlink()
            except OSError:
                pass  # 만들어지지도 않았습니다
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            reason = "디스크가 가득 찼습니다" if full else "이 경로에 파일을 쓸 수 없습니다"
            raise OSError(
                f"학습 상태를 저장하지 못했습니다: {reason}({self.path}). 자리를 비우거나 "
                f"state에 다른 경로를 주세요. model에는 {step}단계까지 배운 가중치가 그대로 있고, "
                "전에 저장한 상태 파일도 그대로입니다."
            ) from error

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        states = {key: optimizer.state_dict() for key, optimizer in self.optimizers.items()}
        every = [(f"{key}.{i}", v) for key, s in states.items() for i, v in s["state"].items()]
        for place, values in every:
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{place}.{name}"] = value
                elif value is not None:
                    raise ValueError(
                        f"{self.settings['optimizer']}의 상태({name})는 파일로 저장할 수 없습니다. "
                        "state 없이 학습하거나 Adam, SGD를 쓰세요."
                    )
        tensors |= {f"randomness.{k}": v for k, v in self.randomness.state_dict().items()}
        if hasattr(self.batches, "state_dict"):
            tensors |= {f"batches.{k}": v for k, v in self.batches.state_dict().items()}
        return tensors

    def _load(self) -> int:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            data = self.path.read_bytes()
            tensors = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            settings = json.loads(header["__metadata__"]["course_lib.training"])
            step = settings.pop("step")
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"학습 상태 파일을 읽을 수 없습니다: {self.path}. 손상되었거나 이 강의의 파일이 "
                "아닙니다. 지우거나 state에 다른 경로를 주세요."
            ) from error
        for key, ours in self.settings.items():
            if settings.get(key) != ours:
                self._refuse(f"{key}가 {settings.get(key)!r}인데 지금은 {ours!r}입니다")
        parts = {"model": {}, "optimizer": {}, "batches": {}, "randomness": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = tensor
        ours = {k: (v.shape, v.dtype) for k, v in self.model.state_dict().items()}
        if ours != {k: (v.shape, v.dtype) for k, v in parts["model"].items()}:
            self._refuse("모델의 가중치 이름이나 모양이 다릅니다")

        if hasattr(self.batches, "load_state_dict"):
            try:
                self.batches.load_state_dict(parts["batches"])
            except (KeyError, ValueError) as error:
                self._refuse(str(error))
        self.model.load_state_dict(parts["model"])
        states: dict[str, dict[int, dict[str, Tensor]]] = {key: {} for key in self.optimizers}
        for name, tensor in parts["optimizer"].items():
            which, index, key = name.split(".", 2)
            states[which].setdefault(int(index), {})[key] = tensor
        for which, optimizer in self.optimizers.items():
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": states[which], "param_groups": groups})
        self.randomness.load_state_dict(parts["randomness"])
        return step

    def _refuse(self, difference: str):
        raise ValueError(
            f"상태 파일 {self.path}은 다른 학습의 것입니다: {difference}. "
            "처음부터 학습하려면 파일을 지우고, 아니면 state에 다른 경로를 주세요."
        )
