"""숫자 음성(FSDD)으로 배우는 체크포인트: 심사하는 분류기와 WaveGAN."""

import time

import torch

from course_lib.recipes.mnist import Batches, card
from course_lib.recipes.results import UNFINISHED

CLASSIFIER = {
    "epochs": 20,
    "batch": 64,
    "lr": 2e-3,
    "warmup": 100,
    "validation_takes": 5,
    "pass": 0.97,
}
WAVEGAN = {
    "width": 8,
    "batch": 32,
    "d_steps": 1,
    "steps": 10_000,
    "stop": 7_500,
    "lr": (1e-3, 5e-4),  # (판별자, 생성자)
    "betas": (0.5, 0.9),
    "samples": 1000,
}


def speech_card(name: str, hours: float, data: str) -> dict:
    """FSDD로 배운 체크포인트의 카드에서 사람이 정하는 항목."""
    return card(
        name, hours, data=data, binarisation="없음",
        licence="Free Spoken Digit Dataset 1.0.10: CC BY-SA 4.0",
    )  # fmt: skip


def moved_with_noise(batch, generator):
    """(x, y) → (옮긴 x, y, 잡음). 신호마다 0에서 3072표본 뒤로 돌려 옮기고, 절반 수의 잡음을 만듭니다."""
    from course_lib.speech_classifier import NOISES, noise_like

    x, y = batch
    shifts = torch.randint(0, 3072, (len(x),), generator=generator).tolist()
    x = torch.stack([row.roll(shift) for row, shift in zip(x, shifts, strict=True)])
    quarter = max(1, len(x) // 8)
    noise = [noise_like(kind, x[i * quarter : (i + 1) * quarter], generator) for i, kind in enumerate(NOISES)]  # fmt: skip
    return x, y, torch.cat(noise)


def speech_classifier(name: str) -> dict:
    """숫자 음성 분류기를 학습하고 문턱을 정해 체크포인트로 저장합니다. 카드를 돌려줍니다.

    학습은 10..49번 녹음, 문턱은 5..9번 녹음(검증), 보고는 0..4번 녹음(시험)입니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.speech import load_fsdd, windows
    from course_lib.speech_classifier import exposure_loss
    from course_lib.speech_classifier import speech_classifier as build
    from course_lib.training import fit, progress

    settings = CLASSIFIER
    x, y, held = _train_and_validation(load_fsdd("train"), windows)
    torch.manual_seed(0)
    model = build()
    batches = Batches((x[~held], y[~held]), settings["batch"], moved_with_noise)
    steps = settings["epochs"] * (int((~held).sum()) // settings["batch"])
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit(
        model,
        exposure_loss,
        batches,
        steps=steps,
        lr=settings["lr"],
        warmup=settings["warmup"],
        state=state,
    )
    for _ in progress(training, steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600
    about = "FSDD 10–49번 녹음 2400개(학습)와 5–9번 300개(문턱), 최댓값 0.9로 맞춘 8192표본"
    return save_checkpoint(
        model, name, speech_card(name, hours, about), measure=measure_classifier, half=True
    )


def _train_and_validation(data, windows):
    """학습 몫의 파형 (N, 8192), 숫자 (N,), 검증(5..9번 녹음)인지 (N,). 목록은 (숫자, 화자, 번호)의 순서입니다."""
    x, y = windows(data.waveforms), data.labels
    take = torch.arange(len(y)) % 45  # 화자와 숫자마다 5..49번 녹음 45개
    return x, y, take < CLASSIFIER["validation_takes"]


def measure_classifier(model) -> dict[str, float]:
    """시험 정확도, 검증 자료로 정한 문턱, 시험 녹음과 새 잡음이 문턱을 넘는 비율."""
    from course_lib.datasets.speech import load_fsdd, windows
    from course_lib.speech_classifier import NOISES, noise_like, scores_and_features

    x, _, held = _train_and_validation(load_fsdd("train"), windows)
    test = load_fsdd("test")
    real, truth = windows(test.waveforms), test.labels
    sure, _ = scores_and_features(model, x[held])
    threshold = float(sure.amax(1).quantile(1 - CLASSIFIER["pass"]))
    scores, _ = scores_and_features(model, real)
    right = (scores.argmax(1) == truth).double()
    speakers = sorted(set(test.speakers))
    each = [right[[s == who for s in test.speakers]].mean() for who in speakers]
    generator = torch.Generator().manual_seed(1)
    passed = {}
    for kind in NOISES:
        noise = torch.cat([noise_like(kind, real, generator) for _ in range(3)])
        scored, _ = scores_and_features(model, noise)
        passed[kind] = float((scored.amax(1) > threshold).double().mean())
    return {
        "test_accuracy": float(right.mean()),
        "worst_speaker_accuracy": float(min(each)),
        "threshold": threshold,
        "real_pass": float((scores.amax(1) > threshold).double().mean()),
        "noise_pass": max(passed.values()),
    } | {f"noise_pass_{kind}": value for kind, value in passed.items()}


def wavegan(name: str) -> dict:
    """숫자 음성 WaveGAN을 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    논문은 너비 64, 배치 64, 판별자 5번에 생성자 1번, Adam 1e-4로 20만 단계입니다. CPU 한 코어에서 한 시간 안에 끝나도록
    너비와 배치를 줄이고, 판별자와 생성자를 한 번씩 고치되 판별자의 학습률을 두 배로 둡니다(Heusel et al., 2017,
    arXiv 1706.08500의 두 시간 척도). 학습률은 ``steps``단계에 걸쳐 0으로 가는 코사인이고 ``stop``단계(처음의 15 %)에서
    멈춥니다. 합성곱은 bfloat16으로 계산합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.speech import load_fsdd, windows
    from course_lib.gan.wavegan import wavegan as build
    from course_lib.gan.wavegan import wavegan_losses
    from course_lib.recipes.gan import _in_bfloat16
    from course_lib.training import fit_gan, minibatches, progress

    settings = WAVEGAN
    torch.manual_seed(0)
    gan = build(settings["width"])
    batches = minibatches(windows(load_fsdd("train").waveforms), settings["batch"])
    d_loss, g_loss = map(_in_bfloat16, wavegan_losses())
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit_gan(
        gan, d_loss, g_loss, batches, steps=settings["steps"], lr=settings["lr"],
        betas=settings["betas"], d_steps=settings["d_steps"], schedule="cosine", state=state,
    )  # fmt: skip
    for metrics in progress(training, settings["stop"], name):
        if metrics["step"] == settings["stop"]:
            break
    hours = (time.perf_counter() - start) / 3600
    about = "FSDD 5–49번 녹음 2700개, 최댓값 0.9로 맞춘 8192표본"
    return save_checkpoint(
        gan, name, speech_card(name, hours, about), measure=measure_wavegan, half=True
    )


def measure_wavegan(gan) -> dict[str, float]:
    """표본 1000개를 심사하고 되풀이의 정도(periodicity의 중앙값)를 잽니다. 같은 자로 잰 진짜 녹음과 배우지 않은 생성자의 값을 곁에 둡니다."""
    from course_lib.audio import periodicity
    from course_lib.checkpoints import load_checkpoint
    from course_lib.datasets.speech import load_fsdd, windows
    from course_lib.gan.wavegan import wavegan as build
    from course_lib.speech_classifier import judge_speech
    from course_lib.speech_classifier import speech_classifier as build_judge

    judge = build_judge().eval()
    threshold = load_checkpoint("speech_classifier", judge)["metric"]["threshold"]
    test = windows(load_fsdd("test").waveforms)
    torch.manual_seed(0)
    count = WAVEGAN["samples"]
    train = windows(load_fsdd("train").waveforms)
    rows = {
        "": gan.sample(count),
        "real_": train[torch.randperm(len(train))[:count]],
        "untrained_": build(WAVEGAN["width"]).eval().sample(count),
    }
    metric = {}
    for prefix, samples in rows.items():
        judged = judge_speech(judge, samples, test, threshold)
        judged["periodicity"] = float(periodicity(samples).median())
        metric |= {prefix + key: value for key, value in judged.items()}
    return metric | {"generator_steps": WAVEGAN["stop"]}


CHECKPOINTS = {"speech_classifier": speech_classifier, "wavegan": wavegan}
