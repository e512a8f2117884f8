"""fit: 정말 배우는지, 이어 가면 비트까지 같은지, 망가질 때 무엇을 말하는지."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from course_lib.training import TrainingDiverged, fit, minibatches, progress


def net(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def squared_error(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def regression(generator):
    x = torch.randn(32, 3, generator=generator)
    return x, x.sum(1, keepdim=True).sin()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_learns_and_reports_every_step():
    model = net()
    history = list(fit(model, squared_error, regression, steps=400, lr=1e-2))
    assert [m["step"] for m in history] == list(range(1, 401))
    early, late = history[:20], history[-20:]
    assert sum(m["loss"] for m in late) < 0.5 * sum(m["loss"] for m in early)
    assert all(m["grad_norm"] > 0 for m in history)
    assert not model.training


def test_equals_a_hand_written_adam_loop():
    model, ours = net(), net()
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for k in range(30):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 + math.cos(math.pi * k / 30)) / 2
        optimizer.zero_grad()
        squared_error(model, regression(generator)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    list(fit(ours, squared_error, regression, steps=30, lr=1e-2, max_grad_norm=0.5, seed=5))
    torch.testing.assert_close(weights(ours), weights(model), atol=1e-6, rtol=1e-6)


def test_schedule_and_warmup():
    def lrs(**kwargs):
        return [m["lr"] for m in fit(net(), squared_error, regression, lr=2.0, **kwargs)]

    assert lrs(steps=3, schedule="constant") == [2.0] * 3
    assert lrs(steps=4) == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)])
    assert lrs(steps=4, schedule="constant", warmup=2) == [1.0, 2.0, 2.0, 2.0]


def test_given_optimizer_keeps_its_own_rates():
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.0)
    before = model[3].weight.clone(), model[0].weight.clone()
    list(fit(model, squared_error, regression, steps=2, optimizer=optimizer))
    assert torch.equal(before[0], model[3].weight) and not torch.equal(before[1], model[0].weight)


def test_clipping_limits_the_step():
    model = net()
    start = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    step = fit(model, squared_error, regression, steps=9, optimizer=optimizer, max_grad_norm=1e-3)
    assert next(step)["grad_norm"] > 1e-3  # 자르기 전의 길이
    assert float((weights(model) - start).norm()) <= 1e-3 * (1 + 1e-4)


def test_drawing_random_numbers_outside_changes_nothing():
    quiet, noisy = net(dropout=0.5), net(dropout=0.5)
    list(fit(quiet, squared_error, regression, steps=10, seed=3))
    torch.manual_seed(99)
    for _ in fit(noisy, squared_error, regression, steps=10, seed=3):
        torch.randn(7)
        noisy.eval()  # 중간에 평가하고 train()을 잊어도 됩니다
    assert torch.equal(weights(quiet), weights(noisy))


def test_fit_leaves_the_global_generator_alone():
    model = net()
    before = torch.get_rng_state()
    list(fit(model, squared_error, regression, steps=3))
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ZeroDivisionError):
        list(fit(model, lambda m, b: torch.randn(1 // 0), regression, steps=3))
    assert torch.equal(before, torch.get_rng_state())


def test_a_training_thread_never_touches_the_global_generator():
    """위젯은 다른 스레드에서 학습합니다. 그동안 셀이 정한 시드가 사라지면 안 됩니다."""
    model, seen = net(), []

    def loss(model, batch):
        seen.append(torch.get_rng_state())
        return squared_error(model, batch)

    before = torch.get_rng_state()
    training = fit(model, loss, regression, steps=3)
    thread = threading.Thread(target=lambda: list(training))
    thread.start()
    thread.join()
    assert len(seen) == 3 and all(
        torch.equal(state, before) for state in [*seen, torch.get_rng_state()]
    )


def test_global_randomness_inside_the_loss_follows_the_seed():
    def noisy(model, batch):
        return squared_error(model, batch) * torch.rand(())

    def run(seed):
        torch.manual_seed(int(torch.randint(10**6, ())))
        return [m["loss"] for m in fit(net(), noisy, regression, steps=4, seed=seed)]

    assert run(1) == run(1) != run(2)


@pytest.mark.parametrize("make", ["adam", "sgd", "sgd-momentum"])
def test_resumed_run_is_bitwise_the_same(tmp_path, make):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    data = (x, x.sum(1, keepdim=True))

    def run(steps_before_stop=None, state=None):
        model = net(dropout=0.2)
        optimizer = {
            "adam": lambda: None,
            "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.01),
            "sgd-momentum": lambda: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        }[make]()
        training = fit(
            model,
            squared_error,
            minibatches(data, 16),
            steps=43,
            optimizer=optimizer,
            state=state,
            save_every=10,  # 20단계는 에폭(3단계)의 한가운데입니다
            max_grad_norm=1.0,
            seed=11,
        )
        losses = []
        for metrics in training:
            losses.append(metrics["loss"])
            if metrics["step"] == steps_before_stop:
                break
        return weights(model), losses

    whole, losses = run()
    state = tmp_path / "학습 상태.safetensors"
    run(steps_before_stop=24, state=state)
    resumed, tail = run(state=state)
    assert torch.equal(whole, resumed)
    assert tail == losses[20:]
    again, nothing = run(state=state)
    assert torch.equal(whole, again) and nothing == []
    assert list(tmp_path.iterdir()) == [state]


def test_killed_run_resumes_bitwise(tmp_path):
    """SIGKILL로 학습 도중에 죽인 프로세스를 이어 가면, 죽지 않은 학습과 비트까지 같습니다."""
    script = textwrap.dedent(
        """
        import os, sys, torch
        from pathlib import Path
        from torch import nn
        from course_lib.training import fit, minibatches
        torch.set_num_threads(1)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 1))
        x = torch.randn(64, 3)
        state, out, die_at = sys.argv[1:]
        training = fit(model, lambda m, b: m(b).square().mean(), minibatches(x, 24), steps=60,
                       state=None if state == "-" else Path(state), save_every=10)
        for m in training:
            if m["step"] == int(die_at):
                os.kill(os.getpid(), 9)
        Path(out).write_bytes(b"".join(p.detach().numpy().tobytes() for p in model.parameters()))
        """
    )

    def run(*arguments):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(command, env=env, timeout=120).returncode

    state, whole, resumed = tmp_path / "s", tmp_path / "whole", tmp_path / "resumed"
    assert run("-", whole, -1) == 0
    assert run(state, resumed, 37) != 0
    assert state.exists() and not resumed.exists()
    assert run(state, resumed, -1) == 0
    assert resumed.read_bytes() == whole.read_bytes()


def test_full_disk_keeps_weights_and_the_old_state(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows에는 파일 크기의 한도가 없습니다")
    model = net()
    state = tmp_path / "state"
    training = fit(model, squared_error, regression, steps=20, state=state, save_every=5)
    for _ in range(9):
        next(training)
    good = state.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))  # 100바이트 뒤로는 쓰지 못합니다
        with pytest.raises(OSError, match="디스크가 가득 찼습니다") as caught:
            next(training)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "10단계까지 배운 가중치" in str(caught.value)
    assert state.read_bytes() == good and list(tmp_path.iterdir()) == [state]
    whole = net()
    list(fit(whole, squared_error, regression, steps=20))
    resumed = net()
    list(fit(resumed, squared_error, regression, steps=20, state=state, save_every=5))
    assert torch.equal(weights(whole), weights(resumed))
    assert not torch.equal(weights(model), weights(net()))


def test_unwritable_path_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    model = net()
    with pytest.raises(OSError, match="이 경로에 파일을 쓸 수 없습니다"):
        list(fit(model, squared_error, regression, steps=2, state=tmp_path / "file" / "state"))
    assert torch.equal(weights(model), weights(net()))


def test_state_of_something_else_is_refused(tmp_path):
    state = tmp_path / "state"
    list(fit(net(), squared_error, regression, steps=3, state=state))

    def refused(match, model=None, batches=regression, **kwargs):
        settings = {"steps": 3} | kwargs
        model = model or net()
        before = weights(model).clone()
        with pytest.raises(ValueError, match=match):
            list(fit(model, squared_error, batches, state=state, **settings))
        assert torch.equal(before, weights(model))

    refused("steps가 3인데 지금은 4", steps=4)
    refused("seed가 0인데 지금은 1", seed=1)
    refused("lr가 \\[0.001\\]인데 지금은 \\[0.1\\]", lr=0.1)
    wider = nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 1))
    refused("가중치 이름이나 모양", model=wider)
    refused("model가 'Sequential'인데 지금은 'Linear'", model=nn.Linear(3, 1))
    x = torch.zeros(5, 3)
    refused("다른 학습의 것", batches=minibatches((x, x[:, :1]), 2))
    state.write_bytes(state.read_bytes()[:-20])
    refused("읽을 수 없습니다")
    state.write_text("{}", encoding="utf-8")
    refused("읽을 수 없습니다")


def test_minibatch_state_of_other_data_is_refused(tmp_path):
    def run(n, size):
        x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
        batches = minibatches((x, x[:, :1]), size)
        list(fit(net(), squared_error, batches, steps=3, state=tmp_path / "s"))

    run(10, 4)
    for n, size in [(11, 4), (10, 5)]:
        with pytest.raises(ValueError, match="batch_size가 저장할 때와 다릅니다"):
            run(n, size)


def test_nan_loss_names_the_step_and_keeps_finite_weights():
    model = net()
    count = iter(range(100))

    def loss(model, batch):
        value = squared_error(model, batch)
        return value / 0 if next(count) == 6 else value

    training = fit(model, loss, regression, steps=20)
    for _ in range(6):
        next(training)
    before = weights(model)
    with pytest.raises(TrainingDiverged, match="7번째 단계.*손실.*lr을 줄이거나") as caught:
        next(training)
    assert caught.value.step == 7
    assert torch.equal(before, weights(model)) and before.isfinite().all()


def test_nan_gradient_under_a_finite_loss_is_caught_too():
    model = net()
    with pytest.raises(TrainingDiverged, match="1번째 단계.*기울기"):
        # √x의 0에서의 기울기는 무한대이고 값은 유한합니다.
        list(fit(model, lambda m, b: (m(b[0]) * 0).sum().sqrt(), regression, steps=3))
    assert torch.equal(weights(model), weights(net()))


def test_infinite_loss_with_finite_gradients_is_caught_too():
    model = net()
    with pytest.raises(TrainingDiverged, match="1번째 단계.*손실이 유한하지 않습니다"):
        list(fit(model, lambda m, b: squared_error(m, b) + math.inf, regression, steps=3))
    assert torch.equal(weights(model), weights(net()))


def test_nan_in_the_data_is_named_as_such():
    def broken(generator):
        x, y = regression(generator)
        x[3, 1] = math.nan
        return x, y

    model = net()
    with pytest.raises(TrainingDiverged, match="배치에 NaN이나 무한대가 있습니다"):
        list(fit(model, squared_error, broken, steps=3))
    assert weights(model).isfinite().all()


def test_forgotten_mean():
    with pytest.raises(ValueError, match="스칼라 텐서.*mean"):
        list(fit(net(), lambda m, b: m(b[0]), regression, steps=1))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"steps": 3, "schedule": "linear"},
        {"steps": 3, "warmup": 3},
        {"steps": 3, "save_every": 0},
    ],
)
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match="[가-힣]"):
        list(fit(net(), squared_error, regression, **kwargs))


def test_minibatches_visit_everything_once_an_epoch():
    x = torch.arange(12)
    batches = minibatches((x, -x), 4)
    generator = torch.Generator().manual_seed(0)
    epochs = [torch.cat([batches(generator)[0] for _ in range(3)]) for _ in range(2)]
    assert all(torch.equal(e.sort().values, x) for e in epochs)
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], x)
    a, b = batches(generator)
    assert torch.equal(a, -b)


def test_minibatches_edges():
    generator = torch.Generator().manual_seed(0)
    assert minibatches(torch.zeros(3, 2), 256)(generator).shape == (3, 2)
    ragged = minibatches(torch.arange(10), 4)
    assert all(len(ragged(generator)) == 4 for _ in range(6))
    for x, size in [(torch.zeros(0, 2), 4), (torch.zeros(3), 0)]:
        with pytest.raises(ValueError, match="비어 있지 않고"):
            minibatches(x, size)
    with pytest.raises(ValueError, match="길이가 같은"):
        minibatches((torch.zeros(3), torch.zeros(4)), 2)


def test_progress_passes_items_on_and_shows_the_loss(capsys):
    items = [{"step": k, "loss": 0.5} for k in (3, 4, 5)]
    assert list(progress(iter(items), total=5, desc="학습")) == items
    shown = capsys.readouterr().err
    assert "학습" in shown and "5/5" in shown and "손실 0.500" in shown
    assert list(progress([1, 2])) == [1, 2]
    assert "2/2" in capsys.readouterr().err
