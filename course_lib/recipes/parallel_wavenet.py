"""18장의 결과 파일과 체크포인트: 손실의 소거 실험(모음), 숫자 음성의 학생, 그 표본."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.recipes.gan import _in_bfloat16
from course_lib.recipes.mnist import Batches
from course_lib.recipes.results import UNFINISHED, code_hash, run_each
from course_lib.recipes.speech import speech_card

LOSSES = {
    "KL": {},
    "KL + 파워": {"power": 3.0},
    "KL + 지각": {"perceptual": 3.0},
    "KL + 대조": {"contrastive": 0.3},
}
VOWELS = {
    "student": {"layers": [8, 8], "channels": 24, "cycle": 9},
    "clips": 256,
    "length": 4096,
    "crop": 1024,
    "batch": 4,
    "steps": 200,
    "lr": 5e-3,
    "clip_norm": 1.0,
    "test": 30,
    "listener_steps": 50,
}
SPEECH = {
    "student": {"layers": [9, 9, 9], "channels": 48, "cycle": 9, "scale": 0.05},
    # 조건과 마지막 층의 시작 가중치에 곱합니다. 로그 멜은 [−1, 0]의 좁은 값이라 그대로면 늦게 배웁니다
    "gain": {"local": 6.0, "last": 5.0},
    "batch": 4,
    "start_steps": 1500,
    "steps": 1000,
    "lr": (5e-3, 3e-3),
    "warmup": 50,
    "clip_norm": 1.0,
    "power": 10.0,
    "log_power": 3.0,
}
CODE = (
    "autoregressive/wavenet.py",
    "parallel_wavenet/student.py",
    "parallel_wavenet/distillation.py",
    "parallel_wavenet/audio_losses.py",
    "datasets/vowels.py",
    "audio.py",
)


def vowel_teacher():
    """(얼린 모음 교사, 카드)."""
    from course_lib.autoregressive.wavenet import vowel_wavenet
    from course_lib.checkpoints import load_checkpoint
    from course_lib.parallel_wavenet.distillation import freeze

    teacher = vowel_wavenet()
    card = load_checkpoint("wavenet_vowels", teacher)
    return freeze(teacher), card


def vowel_student(seed: int):
    """모음의 학생. 노트북 18의 실시간 증류와 같은 구조입니다."""
    from course_lib.parallel_wavenet.student import ParallelWaveNet

    torch.manual_seed(seed)
    return ParallelWaveNet(
        VOWELS["length"], base="gaussian", local=3, hop=1, classes=5, **VOWELS["student"]
    )


def other_vowel(y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """대조 손실의 틀린 조건: 높이와 위상은 그대로, 모음만 배치의 다음 것의 다음 모음으로 바꿉니다."""
    frames, vowel = y
    return frames, (vowel + 1 + torch.arange(len(vowel)) % 4) % 5


def distillation_losses(seeds: Sequence[int]) -> dict:
    """18장: 모음 교사를 같은 학생에게 네 가지 손실로 증류합니다. 손실마다, 시드마다.

    학습률과 무게는 시드 100의 표본으로 정했습니다. 값은 새 모음 30개를 교사, 학생, 진짜에서 견준 것입니다.
    """
    teacher, card = vowel_teacher()
    code = code_hash(*CODE)
    keys = [
        {"arm": name, "seed": seed, "settings": VOWELS, "weights": weights, "code": code}
        | {"teacher": card["sha256"]}
        for name, weights in LOSSES.items()
        for seed in seeds
    ]
    records = run_each("distillation_losses", keys, _vowel_run)
    test = _vowel_test()
    made = teacher.generate(
        VOWELS["test"], VOWELS["length"], (test.conditions, test.vowel),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    values: dict = {"settings": VOWELS, "weights": LOSSES, "measures": {}}
    values["teacher"] = measure_vowels(made, test)
    values["real"] = measure_vowels(_other_breath(test), test)
    for record in records:
        rows = values["measures"].setdefault(record["key"]["arm"], {})
        for name, value in record["measures"].items():
            rows.setdefault(name, []).append(round(value, 4))
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _vowel_test(vowel: Tensor | None = None):
    """시험용 모음. 모음을 바꾸어 주면 높이, 위상, 숨소리가 같고 모음만 다른 진짜입니다."""
    from course_lib.datasets.vowels import make_intoned

    return make_intoned(
        VOWELS["test"], VOWELS["length"],
        vowel=torch.arange(VOWELS["test"]) % 5 if vowel is None else vowel,
        generator=torch.Generator().manual_seed(10**6),
    )  # fmt: skip


def _other_breath(test) -> Tensor:
    """모음, 높이, 위상은 같고 숨소리만 새로 섞은 진짜. 거리의 바닥을 알려 줍니다."""
    from course_lib.datasets.vowels import BREATH

    generator = torch.Generator().manual_seed(1)
    return test.x + BREATH * torch.randn(test.x.shape, generator=generator)


def measure_vowels(made: Tensor, test) -> dict[str, float]:
    """만든 모음 (N, T)을 높이와 위상과 모음이 같은 진짜와 견줍니다. 거리는 dB, 크기는 진짜에 대한 비입니다.

    vowel_accuracy는 높이와 위상이 같은 진짜 다섯 모음 가운데 멜 켑스트럼 거리가 가장 가까운 것이 제 모음인 비율입니다.
    """
    from course_lib.audio import log_spectral_distance, mel_cepstral_distance, periodicity

    each = [_vowel_test(torch.full_like(test.vowel, v)).x for v in range(5)]
    apart = torch.stack([mel_cepstral_distance(made, x) for x in each], 1)
    return {
        "lsd_db": float(log_spectral_distance(made, test.x).mean()),
        "mcd_db": float(mel_cepstral_distance(made, test.x).mean()),
        "periodicity": float(periodicity(made).median()),
        "loudness": float((made.square().mean(1) / test.x.square().mean(1)).sqrt().median()),
        "vowel_accuracy": float((apart.argmin(1) == test.vowel).double().mean()),
    }


def vowel_batches() -> Batches:
    """진짜 모음에서 ``crop``표본을 자른 배치 (x, (조건, 모음))."""
    from course_lib.recipes.wavenet import vowel_crops

    return vowel_crops(*(VOWELS[key] for key in ("clips", "length", "crop", "batch")))


def trained_listener(seed: int):
    """지각 손실에 쓸 분류기를 모음으로 가르칩니다. 얼려서 돌려줍니다."""
    from course_lib.datasets.vowels import make_intoned
    from course_lib.parallel_wavenet.audio_losses import Listener
    from course_lib.parallel_wavenet.distillation import freeze
    from course_lib.training import fit

    torch.manual_seed(seed)
    listener = Listener()

    def batches(generator):
        made = make_intoned(32, VOWELS["crop"], generator=generator)
        return made.x, made.vowel

    def loss(model, batch):
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

    for _ in fit(listener, loss, batches, steps=VOWELS["listener_steps"], lr=5e-3, seed=seed):
        pass
    return freeze(listener)


def _vowel_run(key: dict) -> dict:
    from course_lib.parallel_wavenet.audio_losses import Distillation
    from course_lib.training import fit

    teacher, _ = vowel_teacher()
    weights, seed = key["weights"], key["seed"]
    features = trained_listener(seed).features if weights.get("perceptual") else None
    loss = Distillation(teacher, features=features, mismatch=other_vowel, **weights)
    student = vowel_student(seed)
    training = fit(
        student, loss, vowel_batches(), steps=VOWELS["steps"], lr=VOWELS["lr"],
        max_grad_norm=VOWELS["clip_norm"], seed=seed,
    )  # fmt: skip
    for _ in training:
        pass
    test = _vowel_test()
    y = (test.conditions, test.vowel)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sampled = student.rsample_and_parameters(
            len(test.x), VOWELS["length"], y, generator=generator
        )
        kl = loss.divergence(student, sampled, y)[0]
    return {"measures": measure_vowels(sampled.x, test) | {"kl": float(kl.mean())}}


def speech_student():
    """체크포인트 ``parallel_wavenet``의 구조: 로그 멜 40개를 조건으로 받는 IAF 세 겹, 정규분포."""
    from course_lib.parallel_wavenet.student import ParallelWaveNet

    student = ParallelWaveNet(8192, base="gaussian", local=40, hop=64, **SPEECH["student"])
    with torch.no_grad():
        for flow in student.flows:
            for layer in flow.layers:
                layer.local.weight.mul_(SPEECH["gain"]["local"])
            flow.last[-1].weight.mul_(SPEECH["gain"]["last"])
    return student


def spectral_loss(student, batch) -> Tensor:
    """파워 손실 + 로그 파워 손실, 스칼라. 교사 없이 소리의 윤곽을 먼저 배웁니다."""
    from course_lib.parallel_wavenet.audio_losses import log_power_loss, power_loss

    x, y = batch
    made = student.rsample_and_parameters(len(x), x.shape[1], y).x
    return (power_loss(made, x) + log_power_loss(made, x)).mean()


def parallel_wavenet(name: str) -> dict:
    """숫자 음성의 학생: 체크포인트 ``wavenet``을 로그 멜 조건으로 증류해 저장합니다.

    앞의 ``start_steps``단계는 ``spectral_loss``만으로 소리의 윤곽을 잡고, 뒤의 ``steps``단계에서 증류합니다. 그때까지의 값은
    카드에 ``start_``로 남으므로 KL이 더한 것을 따로 볼 수 있습니다.
    KL은 정규분포의 닫힌 식(λ = 4, ClariNet)에 교사의 σ²을 곱한 것이고, 파워 손실과 로그 파워 손실을 더합니다.
    합성곱은 bfloat16, 출력단과 손실은 float32입니다. 심사하는 분류기는 학습에 쓰지 않습니다.
    """
    from course_lib.autoregressive.wavenet import speech_wavenet
    from course_lib.checkpoints import load_checkpoint, save_checkpoint
    from course_lib.parallel_wavenet.audio_losses import Distillation
    from course_lib.recipes import wavenet
    from course_lib.training import fit, progress

    settings = SPEECH
    teacher = speech_wavenet()
    load_checkpoint("wavenet", teacher)
    x, mel, length, _ = wavenet.spoken("train")
    torch.manual_seed(0)
    student = speech_student()
    batches = Batches((x, mel, length), settings["batch"], wavenet.cut_speech)
    weights = {key: settings[key] for key in ("power", "log_power")}
    phases = {
        "start": (spectral_loss, settings["start_steps"]),
        "distil": (Distillation(teacher, balanced=True, **weights), settings["steps"]),
    }
    begin, started = time.perf_counter(), {}
    for (phase, (loss, steps)), lr in zip(phases.items(), settings["lr"], strict=True):
        training = fit(
            student, _in_bfloat16(loss), batches, steps=steps, lr=lr,
            warmup=settings["warmup"], max_grad_norm=settings["clip_norm"],
            state=UNFINISHED / f"{name}_{phase}.safetensors",
        )  # fmt: skip
        for _ in progress(training, steps, name):
            pass
        if not started:
            heard = measure_sounds(student) | {"kl": mean_kl(teacher, student)}
            started = {f"start_{key}": value for key, value in heard.items()}
    hours = (time.perf_counter() - begin) / 3600
    about = "FSDD 5–49번 녹음 2700개, 체크포인트 wavenet을 교사로 증류"
    return save_checkpoint(
        student, name, speech_card(name, hours, about),
        measure=lambda student: measure_student(student) | started, half=True,
    )  # fmt: skip


def measure_sounds(student) -> dict[str, float]:
    """시험 녹음 300개의 로그 멜로 만든 소리: 분류기의 정확도, 녹음과의 거리(dB), 되풀이, 크기의 비."""
    from course_lib.audio import mel_cepstral_distance, periodicity
    from course_lib.recipes import wavenet

    x, mel, length, truth = wavenet.spoken("test")
    made = wavenet.speak(student, mel)
    scores, threshold = wavenet.read(made)
    return {
        "accuracy": float((scores.argmax(1) == truth).double().mean()),
        "confident": float((scores.amax(1) > threshold).double().mean()),
        "lsd_db": float(wavenet.spectral_distance(made, x, length).mean()),
        "mcd_db": float(mel_cepstral_distance(made, x).mean()),
        "periodicity": float(periodicity(made).median()),
        "loudness": float((made.square().mean(1) / x.square().mean(1)).sqrt().median()),
    }


@torch.no_grad()
def mean_kl(teacher, student) -> float:
    """시험 녹음 30개의 로그 멜에서 KL(학생 ‖ 교사), nats/표본. 학생의 소리 위에서 잽니다."""
    from course_lib.parallel_wavenet.audio_losses import Distillation
    from course_lib.recipes import wavenet

    loss, found = Distillation(teacher), []
    torch.manual_seed(0)
    for part in wavenet.spoken("test")[1][::10].split(5):
        length = (part.shape[2] - 1) * student.hop
        sampled = student.rsample_and_parameters(len(part), length, part)
        found.append(loss.divergence(student, sampled, part)[0])
    return float(torch.cat(found).mean())


def measure_student(student) -> dict[str, float]:
    """시험 녹음 300개의 로그 멜로 만든 소리: 분류기의 정확도, 스펙트럼 거리, 교사와의 KL, 같은 소리의 빠르기."""
    from course_lib.autoregressive.wavenet import speech_wavenet
    from course_lib.checkpoints import load_checkpoint
    from course_lib.parallel_wavenet.speed import generation_seconds
    from course_lib.recipes import wavenet

    teacher = speech_wavenet()
    teacher_card = load_checkpoint("wavenet", teacher)["metric"]
    mel = wavenet.spoken("test")[1]
    seconds = generation_seconds(teacher, student, 8000, mel[:1])
    rates = {"naive": "순진하게", "cached": "캐시", "student": "학생"}
    rows = {
        "kl": mean_kl(teacher, student),
        "teacher_accuracy": teacher_card["accuracy"],
        "teacher_lsd_db": teacher_card["lsd_db"],
        "other_lsd_db": teacher_card["lsd_other_db"],
        "teacher_periodicity": teacher_card["periodicity"],
        "real_periodicity": teacher_card["real_periodicity"],
        "passes": student.passes,
    }
    rows |= {f"samples_per_second_{key}": 8000 / seconds[name] for key, name in rates.items()}
    return measure_sounds(student) | rows


def parallel_wavenet_samples(seeds: Sequence[int]) -> dict:
    """18장: 체크포인트 ``parallel_wavenet``이 ``wavenet_samples``와 같은 로그 멜로 만든 숫자 0–9(8 bit μ-law)."""
    from course_lib.recipes.wavenet import spoken_samples

    return {"settings": SPEECH} | spoken_samples("parallel_wavenet", speech_student(), seeds[0])


RESULT_FILES = {
    "distillation_losses": (distillation_losses, range(3)),
    "parallel_wavenet_samples": (parallel_wavenet_samples, range(1)),
}
CHECKPOINTS = {"parallel_wavenet": parallel_wavenet}
