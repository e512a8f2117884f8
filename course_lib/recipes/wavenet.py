"""16장의 체크포인트와 결과 파일: 모음 WaveNet, 숫자 음성 WaveNet, 그 표본."""

import base64
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.recipes.gan import _in_bfloat16
from course_lib.recipes.mnist import Batches, card
from course_lib.recipes.results import UNFINISHED
from course_lib.recipes.speech import speech_card

VOWELS = {
    "clips": 512,
    "length": 4096,
    "crop": 1024,
    "batch": 4,
    "steps": 3000,
    "lr": 3e-3,
    "clip_norm": 1.0,
    "test": 50,
}
SPEECH = {
    "crop": 4096,
    "batch": 4,
    "steps": 3500,
    "balanced_steps": (3000, 2500),
    "lr": 1e-3,
    "warmup": 100,
    "clip_norm": 1.0,
    "dither": 2.5e-3,
    "tail": 512,
    "together": 50,
}
DIGIT_ONLY = {"steps": (800, 800), "clips": 100}
SAMPLES = 10
FIRST_PHASE = ("nll", "accuracy", "error_db", "lsd_db", "periodicity")


def nll_per_sample(model, batch) -> Tensor:
    """배치 (x, 조건)의 −log p(x | 조건)/T, nats/표본. 스칼라."""
    x, y = batch
    return -model.log_prob_steps(x, y).mean()


def balanced_nll(model, batch) -> Tensor:
    """표본마다 그 분산 σ_t²(상수로 봅니다)을 곱한 −log p(x_t | x_<t, y)의 평균.

    정규분포의 −log p를 평균 μ_t로 미분하면 (μ_t − x_t)/σ_t²입니다. 조용한 표본은 σ_t가 작아서 큰 소리보다
    기울기가 수백 배 크고, 그래서 학습이 거의 침묵만 다듬습니다. σ_t²을 곱하면 μ_t의 기울기는 μ_t − x_t가 되어
    큰 소리를 제대로 배웁니다(β-NLL의 β = 1, Seitzer et al., 2022, arXiv 2203.09168). 정규분포 출력에만 씁니다.
    """
    x, y = batch
    parameters = model.parameters_at(x, y)
    variance = (2 * parameters[:, 1]).exp().detach()
    return -(variance * model.log_prob_given(parameters, x)).mean()


def vowel_crops(clips: int, length: int, crop: int, batch: int) -> Batches:
    """억양이 있는 모음에서 ``crop``표본을 아무 데서나 잘라 낸 배치 (x, (조건, 모음))."""
    from course_lib.datasets.vowels import make_intoned

    made = make_intoned(clips, length, generator=torch.Generator().manual_seed(0))

    def cut(rows, generator):
        x, conditions, vowel = rows
        start = int(torch.randint(length - crop + 1, (), generator=generator))
        part = slice(start, start + crop)
        return x[:, part], (conditions[..., part], vowel)

    return Batches((made.x, made.conditions, made.vowel), batch, cut)


def wavenet_vowels(name: str) -> dict:
    """합성 모음 WaveNet(16장의 실시간 학습을 조금 더 한 것, 18장의 교사)을 학습해 저장합니다."""
    from course_lib.autoregressive.wavenet import vowel_wavenet
    from course_lib.checkpoints import save_checkpoint
    from course_lib.training import fit, progress

    settings = VOWELS
    torch.manual_seed(0)
    model = vowel_wavenet()
    batches = vowel_crops(*(settings[key] for key in ("clips", "length", "crop", "batch")))
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit(
        model, nll_per_sample, batches, steps=settings["steps"], lr=settings["lr"],
        max_grad_norm=settings["clip_norm"], state=state,
    )  # fmt: skip
    for _ in progress(training, settings["steps"], name):
        pass
    hours = (time.perf_counter() - start) / 3600
    about = (
        f"합성 모음 {settings['clips']}개 × {settings['length']}표본, 8 kHz, 시드 0(make_intoned)"
    )
    fields = card(name, hours, data=about, binarisation="없음", licence="생성한 자료, 제한 없음")
    return save_checkpoint(model, name, fields, measure=measure_vowels, half=True)


def measure_vowels(model) -> dict[str, float]:
    """새 모음의 음의 로그밀도와, 생성한 모음이 진짜와 얼마나 닮았는지. 견줄 값을 곁에 둡니다."""
    from course_lib.audio import log_spectral_distance, mel_cepstral_distance, periodicity
    from course_lib.datasets.vowels import BREATH_ENTROPY, make_intoned

    count, length = VOWELS["test"], VOWELS["length"]

    def intoned(vowel: Tensor):
        return make_intoned(count, length, vowel=vowel, generator=torch.Generator().manual_seed(1))

    truth = torch.arange(count) % 5
    real = intoned(truth)
    y = (real.conditions, truth)
    with torch.no_grad():
        nll = -model.log_prob_steps(real.x, y)
    made = model.generate(count, length, y, generator=torch.Generator().manual_seed(2))
    # 높이와 위상이 같고 모음만 다른 진짜 다섯 가지 가운데 음색(멜 켑스트럼)이 어느 것에 가장 가까운지
    others = [intoned(torch.full_like(truth, v)).x for v in range(5)]
    apart = torch.stack([mel_cepstral_distance(made, other) for other in others], 1)
    right = apart.gather(1, truth[:, None])[:, 0]
    return {
        "nll": float(nll.mean()),
        "nll_breath_entropy": BREATH_ENTROPY,
        "nll_independent_gaussian": 0.5 * math.log(2 * math.pi * math.e * float(real.x.var())),
        "vowel_accuracy": float((apart.argmin(1) == truth).double().mean()),
        "mcd_db": float(right.mean()),
        "mcd_other_vowel_db": float((apart.sum(1) - right).mean() / 4),
        "lsd_db": float(log_spectral_distance(made, real.x).mean()),
        "periodicity": float(periodicity(made).median()),
        "real_periodicity": float(periodicity(real.x).median()),
        "largest": float(made.abs().max()),
    }


def spoken(split: str):
    """(파형 (N, 8192), 로그 멜 (N, 40, 129), 녹음의 길이 (N,), 숫자 (N,)). 로그 멜은 잡음을 더하지 않은 파형의 것입니다."""
    from course_lib.audio import LogMel
    from course_lib.datasets.speech import load_fsdd, windows

    data = load_fsdd(split)
    x = windows(data.waveforms)
    length = torch.tensor([min(len(w), x.shape[1]) for w in data.waveforms])
    mel = torch.cat([LogMel()(part) for part in x.split(100)])
    return x, mel, length, data.labels


def cut_speech(rows, generator) -> tuple[Tensor, Tensor]:
    """(파형, 로그 멜, 길이)의 줄마다 프레임의 경계에서 자른 (x (B, crop), 프레임 (B, 40, crop/64 + 1)).

    녹음과 그 뒤의 침묵 ``tail``표본 안에서만 자릅니다. x에는 표준편차 ``dither``의 잡음을 더합니다. 디지털 침묵의 밀도가
    끝없이 커지는 것을 막고, 생성할 때 되먹는 값(표준편차의 바닥 e^−6 = 0.0025)과 배울 때 본 값을 같게 합니다.
    """
    x, mel, length = rows
    crop, hop = SPEECH["crop"], 64
    room = (length + SPEECH["tail"] - crop).clamp(min=0) // hop + 1
    first = (torch.rand(len(x), generator=generator) * room).long()
    first = first.clamp(max=(x.shape[1] - crop) // hop)
    waves = torch.stack([row[s * hop : s * hop + crop] for row, s in zip(x, first, strict=True)])
    frames = [m[:, s : s + crop // hop + 1] for m, s in zip(mel, first, strict=True)]
    noise = torch.randn(waves.shape, generator=generator)
    return waves + SPEECH["dither"] * noise, torch.stack(frames)


def wavenet(name: str) -> dict:
    """숫자 음성 WaveNet을 학습해 저장합니다: 로그 멜을 조건으로 받는 2×10층 64채널, 정규분포 출력.

    논문은 μ-law 256칸이지만 정규분포 출력은 18장에서 증류할 때 KL을 닫힌 꼴로 줍니다(ClariNet, arXiv 1807.07281).
    합성곱은 bfloat16, 출력단은 float32입니다.

    앞의 ``steps``단계는 −log p를 그대로, 뒤의 ``balanced_steps``단계는 ``balanced_nll``을 줄입니다(코사인 두 번). 앞의 것만으로는 큰
    소리의 다음 점을 16차 선형 예측보다도 못 맞혀 만든 소리가 잡음이 되었습니다(카드의 ``plain_``).
    """
    from course_lib.autoregressive.wavenet import speech_wavenet
    from course_lib.checkpoints import save_checkpoint
    from course_lib.training import fit, progress

    settings = SPEECH
    x, mel, length, _ = spoken("train")
    torch.manual_seed(0)
    model = speech_wavenet()
    batches = Batches((x, mel, length), settings["batch"], cut_speech)
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    measured = {}  # 균형을 맞추지 않은 앞 단계만 마쳤을 때의 값을 plain_으로 카드에 남깁니다
    phases = (
        (nll_per_sample, settings["steps"], state),
        *(
            (balanced_nll, steps, state.with_stem(f"{name}_balanced{cycle}"))
            for cycle, steps in enumerate(settings["balanced_steps"], 1)
        ),
    )
    for loss, steps, state in phases:
        training = fit(
            model, _in_bfloat16(loss), batches, steps=steps, lr=settings["lr"],
            warmup=settings["warmup"], max_grad_norm=settings["clip_norm"], state=state,
        )  # fmt: skip
        for _ in progress(training, steps, name):
            pass
        if not measured:
            plain = measure_speech(model)
            measured = {f"plain_{key}": plain[key] for key in FIRST_PHASE}
    hours = (time.perf_counter() - start) / 3600
    about = "FSDD 5–49번 녹음 2700개, 최댓값 0.9, 4096표본씩, 표준편차 0.0025의 잡음을 더함"
    fields = speech_card(name, hours, about)
    return save_checkpoint(
        model, name, fields, measure=lambda model: measure_speech(model) | measured, half=True
    )


def speak(model, mel: Tensor, seed: int = 0, **kwargs) -> Tensor:
    """로그 멜 (N, 40, 129)마다 8192표본을 생성합니다. 메모리를 아끼려고 ``together``개씩 나란히 만듭니다."""
    generator = torch.Generator().manual_seed(seed)
    steps = (mel.shape[2] - 1) * model.hop
    return torch.cat([
        model.generate(len(part), steps, part, generator=generator, **kwargs)
        for part in mel.split(SPEECH["together"])
    ])  # fmt: skip


def measure_speech(model) -> dict[str, float]:
    """시험 녹음(0–4번 300개)의 음의 로그밀도, 그 로그 멜로 생성한 소리를 분류기가 읽은 정확도와 스펙트럼 거리.

    거리는 녹음이 끝날 때까지만 잽니다. ``other``는 같은 사람이 같은 숫자를 말한 다른 녹음과의 거리입니다.
    """
    from course_lib.audio import periodicity

    x, mel, length, truth = spoken("test")
    within = torch.arange(x.shape[1]) < length[:, None]
    noisy = x + SPEECH["dither"] * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        parts = zip(noisy.split(10), mel.split(10), strict=True)
        parameters = torch.cat([model.parameters_at(*part) for part in parts])
    nll = -model.log_prob_given(parameters, noisy)
    made = speak(model, mel)
    other = x.view(-1, 5, x.shape[1]).roll(1, 1).view_as(x)
    metric = {
        "nll": float(nll[within].mean()),
        "nll_independent_gaussian": 0.5
        * math.log(2 * math.pi * math.e * float(noisy[within].var())),
        "error_db": error_in_db(parameters[:, 0] - noisy, noisy),
        "linear_error_db": error_in_db(linear_residual(noisy), noisy),
        "lsd_db": float(spectral_distance(made, x, length).mean()),
        "lsd_other_db": float(spectral_distance(other, x, length).mean()),
        "periodicity": float(periodicity(made).median()),
        "real_periodicity": float(periodicity(x).median()),
        "largest": float(made.abs().max()),
    }
    for prefix, sounds in (("", made), ("real_", x)):
        scores, threshold = read(sounds)
        metric[prefix + "accuracy"] = float((scores.argmax(1) == truth).double().mean())
        metric[prefix + "confident"] = float((scores.amax(1) > threshold).double().mean())
    return metric


def error_in_db(error: Tensor, x: Tensor, frame: int = 256, loud: float = 0.05) -> float:
    """큰 소리(창의 실효값 > ``loud``)에서 한 표본 앞을 예측한 오차의 크기를 신호의 크기로 나눈 것, dB."""
    wrong, power = (v.unfold(1, frame, frame).square().mean(2) for v in (error, x))
    return float(10 * (wrong / power)[power > loud**2].mean().log10())


def linear_residual(x: Tensor, order: int = 16, frame: int = 256) -> Tensor:
    """창마다 최소제곱으로 맞춘 ``order``차 선형 예측의 오차 (N, T). 창의 계수를 그 창에서 맞추므로 신경망에 불리한 기준입니다."""
    past = torch.stack(
        [torch.nn.functional.pad(x, (k, 0))[:, : x.shape[1]] for k in range(1, order + 1)], 2
    )
    inputs = past.unflatten(1, (-1, frame)).double()  # (N, M, frame, order)
    target = x.unflatten(1, (-1, frame)).double()
    gram = inputs.mT @ inputs + 1e-9 * torch.eye(order, dtype=torch.float64)
    weight = torch.linalg.solve(gram, inputs.mT @ target[..., None])
    return (target - (inputs @ weight)[..., 0]).flatten(1).to(x.dtype)


def read(sounds: Tensor) -> tuple[Tensor, float]:
    """진짜 녹음으로 배운 분류기가 읽은 숫자의 확률 (N, 10)과 확신의 문턱. 소리마다 최댓값을 0.9로 맞춥니다."""
    from course_lib.checkpoints import load_checkpoint
    from course_lib.speech_classifier import scores_and_features, speech_classifier

    judge = speech_classifier().eval()
    threshold = load_checkpoint("speech_classifier", judge)["metric"]["threshold"]
    loudest = sounds.abs().amax(1, keepdim=True).clamp(min=1e-8)
    return scores_and_features(judge, 0.9 * sounds / loudest)[0], threshold


def spectral_distance(a: Tensor, b: Tensor, length: Tensor) -> Tensor:
    """두 소리의 앞에서 length표본까지의 로그 스펙트럼 거리, dB, (N,)."""
    from course_lib.audio import log_spectral_distance

    pairs = zip(a, b, length.clamp(min=256).tolist(), strict=True)
    return torch.cat([log_spectral_distance(u[None, :n], v[None, :n]) for u, v, n in pairs])


def wavenet_samples(seeds: Sequence[int]) -> dict:
    """16장: 체크포인트 ``wavenet``이 시험 녹음의 로그 멜로 만든 숫자 0–9의 소리(8 bit μ-law)."""
    from course_lib.autoregressive.wavenet import speech_wavenet

    return {"settings": SPEECH} | spoken_samples("wavenet", speech_wavenet(), seeds[0])


def spoken_samples(name: str, model, seed: int) -> dict:
    """체크포인트 ``name``이 시험 녹음의 로그 멜로 만든 숫자 0–9의 소리와 그 점수. 녹음은 담지 않습니다.

    숫자마다 시험 녹음 하나를 화자를 돌아가며 고르므로 교사와 학생은 같은 로그 멜을 받습니다.
    """
    from course_lib.autoregressive.wavenet import encode, mu_law
    from course_lib.checkpoints import load_checkpoint

    metric = load_checkpoint(name, model.eval())["metric"]
    x, mel, length, truth = spoken("test")
    # 목록은 (숫자, 화자 6명, 녹음 5개)의 순서입니다
    pick = torch.tensor([d * 30 + (d % 6) * 5 for d in range(SAMPLES)])
    made = speak(model, mel[pick], seed=seed)
    scores, _ = read(made)
    sounds = []
    for row, n in zip(made, length[pick].tolist(), strict=True):
        codes = encode(mu_law(row[: -(-n // 64) * 64].clamp(-1, 1)))
        sounds.append(base64.b64encode(bytes(codes.tolist())).decode())
    return {
        "digit": truth[pick].tolist(),
        "read": scores.argmax(1).tolist(),
        "lsd_db": [round(v, 2) for v in spectral_distance(made, x[pick], length[pick]).tolist()],
        "mu_law_base64": sounds,
        "card": metric,
    }


def speech_by_digit(seeds: Sequence[int]) -> dict:
    """16장: 로그 멜 대신 **숫자의 이름만** 조건으로 준 같은 크기의 WaveNet. 분류기가 읽은 정확도를 남깁니다.

    앞은 −log p, 뒤는 ``balanced_nll``이고, 단계는 체크포인트 ``wavenet``보다 훨씬 적습니다(9000 가운데 1600).
    """
    from course_lib.audio import periodicity
    from course_lib.autoregressive.wavenet import WaveNet
    from course_lib.training import fit, progress

    x, mel, length, labels = spoken("train")

    def cut(rows, generator):
        *sounds, digits = rows
        return cut_speech(sounds, generator)[0], digits

    values: dict = {"settings": DIGIT_ONLY, "accuracy": [], "periodicity": [], "loudness": []}
    truth = torch.arange(DIGIT_ONLY["clips"]) % 10
    for seed in seeds:
        torch.manual_seed(seed)
        model = WaveNet(
            x.shape[1], output="gaussian", stacks=2, layers=10, channels=64, classes=10,
            min_log_scale=-6.0,
        )  # fmt: skip
        batches = Batches((x, mel, length, labels), SPEECH["batch"], cut)
        for phase, (loss, steps) in enumerate(
            zip((nll_per_sample, balanced_nll), DIGIT_ONLY["steps"], strict=True)
        ):
            training = fit(
                model, _in_bfloat16(loss), batches, steps=steps, lr=SPEECH["lr"], seed=seed,
                warmup=SPEECH["warmup"], max_grad_norm=SPEECH["clip_norm"],
                state=UNFINISHED / f"speech_by_digit_{seed}_{phase}.safetensors",
            )  # fmt: skip
            for _ in progress(training, steps, f"숫자만, 시드 {seed}"):
                pass
        generator = torch.Generator().manual_seed(seed)
        made = torch.cat([
            model.generate(len(part), x.shape[1], part, generator=generator)
            for part in truth.split(SPEECH["together"])
        ])  # fmt: skip
        values["accuracy"].append(float((read(made)[0].argmax(1) == truth).double().mean()))
        values["periodicity"].append(float(periodicity(made).median()))
        values["loudness"].append(float(made.square().mean().sqrt() / x.square().mean().sqrt()))
    return values


RESULT_FILES = {
    "wavenet_samples": (wavenet_samples, range(1)),
    "speech_by_digit": (speech_by_digit, range(1)),
}
CHECKPOINTS = {"wavenet_vowels": wavenet_vowels, "wavenet": wavenet}
