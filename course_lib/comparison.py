"""A2장의 표와 그림: 결과 파일과 카드에서 줄을 만들고, 강의 자료의 말을 잰 값으로 판정합니다.

여기에는 값이 하나도 적혀 있지 않습니다. 모두 ``data/results``와 ``data/checkpoints``에서 읽거나, 부르는 쪽이 그 자리에서
잰 것을 받습니다.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from course_lib.plots import INK, MUTED, PALETTE, new_figure

GANS = ("GAN", "DCGAN", "WGAN-GP", "SNGAN")
PIXEL_MODELS = ("PixelCNN", "Row LSTM")
FLOWS = ("NICE", "RealNVP", "MAF", "IAF")
KIND_COLORS = {"정확": PALETTE["blue"], "하한": PALETTE["purple"], "없음": PALETTE["vermillion"]}


def middle(row: Mapping, field: str) -> float | None:
    """시드들의 중앙값. 재지 않은 값(None)이면 None입니다."""
    values = [v for v in row.get(field, []) if v is not None]
    return statistics.median(values) if values else None


def kind_of(row: Mapping) -> str:
    """우도의 갈래: "정확", "하한", "없음". 결과에 남은 값만 보고 정합니다."""
    if "bits_importance" in row or "nll_bound" in row:
        return "하한"
    return "정확" if middle(row, "bits") is not None or "nll" in row else "없음"


def latent_of(values: Mapping, name: str) -> int | None:
    """잠재 변수의 차원: VAE와 GAN은 설정의 값, 플로우는 데이터의 차원 64, 나머지는 None(연속 잠재 변수가 없음)."""
    if name in FLOWS:
        return 64
    return values["settings"]["digits"][name].get("shape", {}).get("latent_dim")


@dataclass(frozen=True)
class Column:
    """표의 열 하나. better는 좋은 쪽("low", "high", 또는 어느 쪽도 아닌 ""), digits는 소수점 아래 자리."""

    key: str
    title: str
    better: str
    digits: int
    note: str


COLUMNS = (
    Column("kind", "우도", "", 0, "정확한 값, 하한, 없음"),
    Column("bits", "차원당 비트", "low", 2, "시험용 360장. 정수 화소의 정확한 값이거나 위쪽 한계"),
    Column("ms_1", "표본 하나(ms)", "low", 2, "하나씩 뽑을 때 드는 CPU 시간"),
    Column("ms_100", "100개씩(ms)", "low", 3, "100개를 함께 뽑을 때 하나에 드는 시간"),
    Column("sample_passes", "표본 걸음", "low", 0, "차례로 기다리는 신경망 계산"),
    Column("density_passes", "밀도 걸음", "low", 0, "남이 준 점의 밀도에 드는 걸음"),
    Column("latent", "잠재 차원", "", 0, "연속 잠재 변수의 차원(데이터는 64차원)"),
    Column("frechet", "프레셰", "low", 1, "분류기 특징의 프레셰 거리"),
    Column("sharp", "선명함", "", 2, "데이터의 몇 배인가. 1이 가장 좋습니다"),
    Column("coverage", "덮은 비율", "high", 2, "시험 그림 가운데 이웃에 표본이 있는 것"),
    Column(
        "modes",
        "봉우리(25)",
        "high",
        0,
        "25 격자에서 덮은 봉우리. GAN과 MADE MoG가 DCGAN과 PixelCNN을 대신했습니다",
    ),
    Column("steps", "배운 단계", "", 0, "같은 CPU초 동안 마친 단계"),
)
TWIN = {"DCGAN": "GAN", "PixelCNN": "MADE MoG"}  # 25 격자에서 그 갈래를 대신한 모델


def table_rows(values: Mapping) -> list[dict]:
    """``model_comparison``의 값에서 8×8 숫자의 표를 만듭니다. 값은 시드의 중앙값입니다.

    열 ``COLUMNS``의 key마다 값이 하나씩 있고(재지 않았으면 None), "name"과 "needs"(갖춘 것의 목록)가 더 있습니다.
    """
    digits, grid = values["final"]["digits"], values["final"]["grid25"]
    data = digits["데이터"]
    rows = []
    for name, row in digits.items():
        if name == "데이터":
            continue
        made = {column.key: middle(row, column.key) for column in COLUMNS}
        made |= {"name": name, "kind": kind_of(row), "latent": latent_of(values, name)}
        made["sharp"] = middle(row, "sharpness") / middle(data, "sharpness")
        twin = grid.get(TWIN.get(name, name))
        made["modes"] = middle(twin, "modes") if twin else None
        made["needs"] = [need for need, has in NEEDS.items() if has(made, data)]
        rows.append(made)
    return rows


def _sharp_enough(row: Mapping, data: Mapping) -> bool:
    return abs(math.log(max(row["sharp"], 1e-9))) < math.log(4 / 3)


NEEDS: dict[str, Callable[[Mapping, Mapping], bool]] = {
    "정확한 우도": lambda row, data: row["kind"] == "정확",
    "표본 하나를 1 ms 안에": lambda row, data: row["ms_1"] < 1,
    "밀도를 한 번에": lambda row, data: (
        row["density_passes"] is not None and row["density_passes"] < 10
    ),
    "데이터보다 작은 잠재 변수": lambda row, data: (row["latent"] or 64) < 64,
    "데이터만큼 선명한 표본": _sharp_enough,
    "고른 표본": lambda row, data: row["coverage"] > 0.5 * middle(data, "coverage"),
}
NEED_NOTES = {
    "정확한 우도": "log p(x)를 하한 없이 계산합니다",
    "표본 하나를 1 ms 안에": "하나씩 뽑을 때의 CPU 시간",
    "밀도를 한 번에": "남이 준 점의 밀도나 하한에 드는 걸음이 10보다 적습니다",
    "데이터보다 작은 잠재 변수": "연속 잠재 변수의 차원이 64보다 작습니다",
    "데이터만큼 선명한 표본": "선명함이 데이터의 3/4배에서 4/3배 사이입니다",
    "고른 표본": "덮은 비율이 학습용 그림의 절반보다 큽니다",
}


def one_picture(values: Mapping) -> Figure:
    """한 장으로 보는 모든 갈래: 가로 표본 하나의 시간, 세로 프레셰 거리(둘 다 로그), 색은 우도의 갈래.

    점은 시드의 중앙값, 막대는 시드의 가장 작은 값과 큰 값입니다. 왼쪽 아래로 갈수록 빠르고 데이터를 닮았습니다.
    """
    digits = values["final"]["digits"]
    figure, axes = new_figure(width=7.6, height=5.0)
    axis = axes[0, 0]
    floor, spots = middle(digits["데이터"], "frechet"), {}
    for name, row in digits.items():
        if name == "데이터":
            continue
        x, y, color = middle(row, "ms_1"), middle(row, "frechet"), KIND_COLORS[kind_of(row)]
        spread = [[y - min(row["frechet"])], [max(row["frechet"]) - y]]
        axis.errorbar(x, y, yerr=spread, color=color, marker="o", ms=7, capsize=3, lw=1.2)
        spots[name] = (x, y)
    axis.axhline(floor, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2)
    axis.annotate("학습용 그림을 표본인 셈 쳤을 때", (1, floor), (0, 4), ha="right", fontsize=10,
                  xycoords=("axes fraction", "data"), textcoords="offset points", color=MUTED)  # fmt: skip
    for kind, color in KIND_COLORS.items():
        axis.plot([], [], "o", color=color, label=f"우도 {kind}")
    axis.set(xscale="log", yscale="log")
    axis.margins(x=0.16, y=0.1)
    _label_apart(axis, spots)
    axis.set_xlabel("표본 하나를 뽑는 CPU 시간(ms, 로그)")
    axis.set_ylabel("프레셰 거리(분류기 특징, 로그)")
    figure.legend(loc="outside upper left", ncols=3, handlelength=1.0)
    return figure


def _label_apart(axis, spots: Mapping[str, tuple[float, float]]) -> None:
    """점마다 이름을 적되, 이미 적은 이름이나 점과 겹치지 않는 첫 자리를 고릅니다(자리의 단위는 포인트)."""
    places = {
        name: axis.transData.transform(xy) * 72 / axis.figure.dpi for name, xy in spots.items()
    }
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    for name, (x, y) in sorted(places.items(), key=lambda item: item[1][1]):
        width = 6.6 * len(name)
        for dx, dy in ((8, 4), (8, -13), (-8 - width, 4), (-8 - width, -13), (8, 18), (8, -27)):
            box = (x + dx, y + dy, x + dx + width, y + dy + 11)
            if not any(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            ):
                break
        taken.append(box)
        axis.annotate(
            name, spots[name], (dx, dy), textcoords="offset points", fontsize=11, color=INK
        )


# ---------------------------------------------------------------------------- 강의 자료의 말과 판정


@dataclass(frozen=True)
class Cell:
    """강의 자료의 한 칸: 누가(N, L, F, J) 무엇이라 했고, 무엇을 재었고, 그 말대로인가.

    note  말대로일 때에도 붙여야 할 말(까닭이나 범위를 고치는 한 문장). 판정은 ``holds``에서만 나옵니다.
    """

    document: str
    text: str
    measured: str
    holds: bool
    note: str = ""

    @property
    def verdict(self) -> str:
        if not self.holds:
            return "❌ 잰 것과 다릅니다" + (f": {self.note}" if self.note else "")
        return "🔶 맞지만 고쳐 읽습니다: " + self.note if self.note else "✅ 맞습니다"


def cells_table(cells: Sequence[Cell]) -> str:
    """칸의 목록을 Markdown 표 '자료 · 문서의 말 · 잰 것 · 판정'으로."""
    lines = ["| 자료 | 문서의 말 | 잰 것 | 판정 |", "|---|---|---|---|"]
    lines += [f"| {c.document} | {c.text} | {c.measured} | {c.verdict} |" for c in cells]
    return "\n".join(lines)


def show_cells(cells: Sequence[Cell]) -> None:
    """판정표를 노트북에 Markdown으로 보입니다."""
    from IPython.display import display

    text = cells_table(cells)
    display({"text/markdown": text, "text/plain": f"판정표 {len(cells)}칸"}, raw=True)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _times(a: float, b: float) -> str:
    return f"{a / b:.3g}배"


def pixel_and_vae_cells(values: Mapping, total: float) -> list[Cell]:
    """L의 두 표(3.3절과 4.8절). total은 노트북이 그 자리에서 더한 작은 PixelCNN의 모든 확률입니다."""
    d = values["final"]["digits"]
    cnn, rnn, vae, data = d["PixelCNN"], d["Row LSTM"], d["VAE"], d["데이터"]
    bits, train = middle(cnn, "bits"), middle(cnn, "bits_train")
    slow = min(middle(m, "ms_1") for m in (cnn, rnn)) / middle(vae, "ms_1")
    gap = middle(vae, "bits") - middle(vae, "bits_importance")
    exact = [middle(d[n], "bits") for n in (*PIXEL_MODELS, *FLOWS, "GMM")]
    others = [abs(b - middle(vae, "bits")) for b in exact]
    gans = {n: middle(d[n], "sharpness") for n in GANS if n in d}
    real, soft = middle(data, "sharpness"), middle(vae, "sharpness")
    probes = [middle(vae, f"probe_{n}") for n in ("posterior", "random", "pixels")]
    return [
        Cell("L 3.3", "PixelRNN/CNN: 우도를 직접 계산한다",
             f"작은 PixelCNN의 모든 그림의 확률의 합 ≈ {total:.6f}", abs(total - 1) < 1e-4),
        Cell("L 3.3", "PixelRNN/CNN: 학습 과정에서 평가할 수 있다",
             f"시험 {bits:.2f}, 학습 {train:.2f} bits/dim", bits > train,
             "값은 나오지만, 평가는 배우지 않은 데이터에서 해야 합니다(학습 데이터의 값이 더 좋게 나옵니다)"),
        Cell("L 3.3", "PixelRNN/CNN: 적어도 Test(생성)에서 느리다",
             f"표본 하나에 VAE의 {slow:.3g}배, 걸음 {middle(cnn, 'sample_passes'):.0f} 대 "
             f"{middle(vae, 'sample_passes'):.0f}", slow > 10),
        Cell("L 3.2", "PixelCNN은 PixelRNN보다 학습이 빠르다",
             f"같은 CPU초에 {middle(cnn, 'steps'):.0f}단계 대 {middle(rnn, 'steps'):.0f}단계",
             middle(cnn, "steps") > middle(rnn, "steps"),
             "까닭은 '순서를 미리 알아서'가 아니라 순환하는 상태가 없어서입니다(04.2). 차이는 줄의 수와 함께 커집니다"),
        Cell("L 3.2", "생성은 PixelCNN도 차례대로라 PixelRNN과 다를 바 없다",
             f"걸음 {middle(cnn, 'sample_passes'):.0f} 대 {middle(rnn, 'sample_passes'):.0f}",
             middle(cnn, "sample_passes") == middle(rnn, "sample_passes") == 64),
        Cell("L 4.8", "VAE: 다양한 모조 데이터를 만든다",
             f"덮은 비율 {middle(vae, 'coverage'):.2f}, 숫자의 엔트로피 {middle(vae, 'class_entropy'):.2f}"
             f"(고르면 {math.log(10):.2f})", middle(vae, "class_entropy") > 0.9 * math.log(10)),
        Cell("L 4.8", "VAE: $q(z\\mid x)$가 쓸모 있는 특징이다",
             f"레이블 5개씩의 정확도: q {probes[0]:.3f}, 배우지 않은 인코더 {probes[1]:.3f}, 화소 {probes[2]:.3f}",
             probes[0] > probes[1],
             "배우지 않은 인코더보다는 낫습니다. " + ("화소보다도 낫습니다" if probes[0] > probes[2]
                                           else "그러나 8×8에서는 화소를 그대로 쓰는 것보다 못합니다")),
        Cell("L 4.8", "VAE: 하한을 계산하지만 심각한 문제가 아니다",
             f"하한을 조인 값과 {gap:.3f} bits/dim 차이, 다른 모델과는 가장 가까워도 {min(others):.3f}",
             gap < min(others),
             "순위를 바꿀 만큼은 아닙니다. 다만 중요도 가중도 하한이라 남은 틈은 모릅니다"),
        Cell("L 4.8", "VAE: GAN보다 흐릿하다",
             f"선명함(데이터 = 1): VAE {soft / real:.2f}, "
             + ", ".join(f"{n} {v / real:.2f}" for n, v in gans.items()),
             all(soft < v for v in gans.values()),
             "디코더의 평균이 흐립니다. 모델이 말하는 대로 잡음까지 뽑으면 "
             f"{middle(vae, 'noisy_sharpness') / real:.2f}배여서 흐리지 않습니다"),
    ]  # fmt: skip


def gan_and_vae_cells(values: Mapping, live: Mapping[str, float]) -> list[Cell]:
    """N의 GAN 장점 목록, L의 마지막 문장, J의 문장. live는 노트북이 그 자리에서 잰 것입니다.

    live  chain(표본 하나에 부른 생성자의 수), others(한 학습 단계에서 부른, G와 D가 아닌 신경망의 수),
          touched(역전파 한 번에 기울기를 받은 생성자 가중치의 비율), density(GAN이 가진 밀도 함수의 수)
    """
    d, grid = values["final"]["digits"], values["final"]["grid25"]
    gans = [n for n in GANS if n in d]
    exact = [n for n in d if kind_of(d[n]) == "정확"]
    order = rank_correlation([middle(d[n], "parzen") for n in exact],
                             [-middle(d[n], "bits") for n in exact])  # fmt: skip
    best = min(gans, key=lambda n: middle(d[n], "frechet"))
    closer = [n for n in d if n not in (*gans, "데이터")
              and middle(d[n], "frechet") < middle(d[best], "frechet")]  # fmt: skip
    coverage = {n: middle(d[n], "coverage") for n in (*gans, "VAE")}
    z, flow = latent_of(values, best), 64
    modes = {n: middle(grid[n], "modes") for n in ("GAN", "VAE")}
    share = {n: middle(grid[n], "share") for n in ("GAN", "VAE")}
    likely = {n: middle(d["VAE"], n) for n in ("bits", "bits_importance")}
    return [
        Cell("N cGAN", "GAN: 마르코프 연쇄가 필요 없다",
             f"표본 하나에 생성자 {live['chain']:.0f}번", live["chain"] == 1),
        Cell("N cGAN", "GAN: 기울기를 얻는 데 역전파만 쓴다",
             f"역전파 한 번에 생성자 가중치의 {100 * live['touched']:.0f} %가 기울기를 받음",
             live["touched"] == 1),
        Cell("N cGAN", "GAN: 학습 과정에 추론이 필요 없다",
             f"한 단계에서 부른 다른 신경망 {live['others']:.0f}개", live["others"] == 0,
             "그래서 그림을 z로 되돌릴 길도 없습니다(07번의 BiGAN은 인코더를 따로 배웁니다)"),
        Cell("N cGAN", "GAN: 다양한 인자와 상호작용을 쉽게 넣는다",
             f"{best}의 생성자는 {z}차원에서 64차원으로, 가역도 밀도도 필요 없음(플로우는 {flow}차원에서만)",
             z is not None and z < flow),
        Cell("N cGAN", "GAN: 최고 수준의 로그우도 추정값",
             f"우도가 없음. 파젠 추정의 순위와 정확한 우도의 순위의 상관 {_signed(order)}({len(exact)}개 모델)",
             all(kind_of(d[n]) != "없음" for n in gans),
             "그 값은 우도가 아니라 표본에 씌운 파젠 추정입니다. 정확한 우도의 순위와 "
             + ("맞지 않습니다" if order < 0.9 else "이번에는 맞았지만 보장은 없습니다(07.6)")),
        Cell("N cGAN", "GAN: 진짜 같은 표본",
             f"프레셰 거리: {best} {middle(d[best], 'frechet'):.1f}, VAE {middle(d['VAE'], 'frechet'):.1f}. {best}의 선명함 "
             f"{middle(d[best], 'sharpness') / middle(d['데이터'], 'sharpness'):.2f}(데이터 = 1)",
             middle(d[best], "frechet") < middle(d["VAE"], "frechet")
             and abs(math.log(middle(d[best], "sharpness") / middle(d["데이터"], "sharpness"))) < math.log(4 / 3),
             "" if not closer else f"{' · '.join(closer)}의 프레셰 거리는 더 작습니다. "
             "8×8의 그림에서는 우도로 배운 모델도 데이터를 닮습니다(이 거리는 특징의 평균과 공분산만 봅니다)"),
        Cell("L 4.8", "GAN: 분포를 모델링하지 않고 표본만 만든다",
             f"밀도나 하한을 주는 함수 {live['density']:.0f}개", live["density"] == 0),
        Cell("N 개론", "GAN과 VAE 비교(링크만 있음): GAN은 선명하고 VAE는 고르다",
             "덮은 비율: " + ", ".join(f"{n} {v:.2f}" for n, v in coverage.items()),
             all(coverage["VAE"] > coverage[n] for n in gans),
             "VAE는 디코더의 평균으로 잰 값입니다"),
        Cell("N 개론", "같은 비교, 25 격자: GAN은 봉우리를 빠뜨린다",
             f"GAN {modes['GAN']:.0f}개(안에 든 몫 {share['GAN']:.2f}), VAE {modes['VAE']:.0f}개"
             f"({share['VAE']:.2f})", modes["GAN"] < 25,
             "" if modes["VAE"] == 25 else
             f"{values['budget']['grid25']:.0f}초로는 VAE도 빠뜨립니다. GAN만의 병이 아니라 시간의 문제가 섞여 있습니다(07.4)"),
        Cell("J 배경", "VAE가 특정 그림에 주는 밀도를 어떻게 계산하는지 모른다",
             f"ELBO {likely['bits']:.3f} → 중요도 가중 {likely['bits_importance']:.3f} bits/dim",
             kind_of(d["VAE"]) == "하한" and likely["bits_importance"] < likely["bits"],
             "정확히는 지금도 모르지만, 표본을 늘리면 하한이 조여집니다(06.5)"),
    ]  # fmt: skip


def maf_and_iaf_cells(values: Mapping, live: Mapping[str, float]) -> list[Cell]:
    """F의 요약(MAF와 IAF)과 플로우에 대한 문장. live는 노트북이 그 자리에서 잰 것입니다.

    live  cached(기억한 z로 한 번에 구한 밀도와 차례로 푼 밀도의 차이), rank(MADE의 야코비안의 계수), dim(그 차원)
    """
    d = values["final"]["digits"]
    maf, iaf = d["MAF"], d["IAF"]
    layers = values["settings"]["digits"]["MAF"]["shape"]["layers"]

    def passes(row, what):
        return f"{middle(row, f'{what}_passes'):.0f}"

    volume = {n: middle(d[n], "bits") for n in ("NICE", "RealNVP")}
    return [
        Cell("F 요약", "MAF: 우도 계산이 빠르다",
             f"걸음 {passes(maf, 'density')}(층 {layers}개), IAF {passes(iaf, 'density')}. 시간은 IAF가 "
             + _times(middle(iaf, "density_ms_100"), middle(maf, "density_ms_100")),
             middle(maf, "density_passes") == layers
             and middle(maf, "density_ms_100") < middle(iaf, "density_ms_100")),
        Cell("F 요약", "MAF: 표본 추출이 느리다, O(n)",
             f"걸음 {passes(maf, 'sample')} = 층 {layers} × (64 + 1), 시간은 IAF의 "
             + _times(middle(maf, "ms_1"), middle(iaf, "ms_1")),
             middle(maf, "sample_passes") >= 64 * layers,
             "O(n)은 곱셈이 아니라 차례로 기다리는 걸음의 수입니다"),
        Cell("F 요약", "MAF: 훈련(MLE, 밀도 추정)에 알맞다",
             f"같은 시간에 {middle(maf, 'steps'):.0f}단계 대 {middle(iaf, 'steps'):.0f}단계, "
             f"{middle(maf, 'bits'):.2f} 대 {middle(iaf, 'bits'):.2f} bits/dim",
             middle(maf, "bits") < middle(iaf, "bits")),
        Cell("F 요약", "IAF: 표본 추출이 빠르다",
             f"걸음 {passes(iaf, 'sample')}, 표본 하나 {middle(iaf, 'ms_1'):.2f} ms(MAF {middle(maf, 'ms_1'):.1f})",
             middle(iaf, "sample_passes") == layers and middle(iaf, "ms_1") < middle(maf, "ms_1")),
        Cell("F 요약", "IAF: 우도 계산이 느리다",
             f"걸음 {passes(iaf, 'density')}", middle(iaf, "density_passes") >= 64 * layers,
             "남이 준 점에서 그렇습니다. 자기 표본의 밀도는 한 번입니다"),
        Cell("F 요약", "IAF: 실시간 생성에 알맞다",
             f"하나씩 뽑으면 {_times(middle(maf, 'ms_1'), middle(iaf, 'ms_1'))}, 100개씩이면 "
             f"{_times(middle(maf, 'ms_100'), middle(iaf, 'ms_100'))} 빠름",
             middle(iaf, "ms_1") < middle(maf, "ms_1"),
             "빠르기는 그렇지만, 최대우도로 이만큼만 배운 IAF의 표본은 쓸 수 없습니다(프레셰 거리 "
             f"{middle(iaf, 'frechet'):.0f}). 그래서 증류합니다(17번)"),
        Cell("F IAF", "forward에서 z를 기억하면(cache) 느린 우도가 해결된다",
             f"자기 표본: 한 번에 구한 밀도와 차례로 푼 밀도의 차 ≈ {live['cached']:.1e}",
             live["cached"] < 1e-6, "자기 표본에서만 그렇습니다. 학습 데이터에는 기억해 둔 z가 없습니다"),
        Cell("F IAF", "IAF가 되는 까닭: MAF의 신경망이 가역이다",
             f"MADE의 야코비안의 계수 {live['rank']:.0f} < {live['dim']:.0f}차원",
             live["rank"] == live["dim"], "신경망은 가역이 아니고, 가역인 것은 $z_i$의 아핀 변환입니다"),
        Cell("F NICE", "NICE보다 RealNVP: 늘이고 줄이는 편이 낫다",
             f"NICE {volume['NICE']:.2f}, RealNVP {volume['RealNVP']:.2f} bits/dim",
             volume["RealNVP"] < volume["NICE"]),
        Cell("F 개요", "플로우의 z는 VAE의 z와 같지 않다: x와 차원이 같다",
             f"z의 차원: 플로우 64, VAE {latent_of(values, 'VAE')}",
             latent_of(values, "RealNVP") == 64 > latent_of(values, "VAE")),
        Cell("J 배경", "혼합 모델은 표본도 밀도도 쉽다",
             f"GMM: 표본 {middle(d['GMM'], 'ms_1'):.2f} ms, 밀도와 표본 모두 걸음 "
             f"{middle(d['GMM'], 'density_passes'):.0f}, 프레셰 거리 {middle(d['GMM'], 'frechet'):.1f}",
             kind_of(d["GMM"]) == "정확" and middle(d["GMM"], "ms_1") < 1,
             "다만 성분의 번호는 재매개변수화되지 않고, 64차원에서는 과적합하기 쉽습니다(학습 "
             f"{middle(d['GMM'], 'bits_train'):.2f}, 시험 {middle(d['GMM'], 'bits'):.2f} bits/dim)"),
    ]  # fmt: skip


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """스피어먼 순위 상관. 같은 순위면 1, 거꾸로면 −1입니다."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


# ---------------------------------------------------------------------------- 만든 데이터


@dataclass(frozen=True)
class Gain:
    """진짜만 배웠을 때보다 얼마나 나아졌는가(정확도의 차, 시드마다 짝지어 뺌). error는 표준오차입니다."""

    mean: float
    error: float

    @property
    def verdict(self) -> str:
        """표준오차 두 배를 넘어야 올랐다거나 내렸다고 합니다."""
        if abs(self.mean) <= 2 * self.error:
            return "가리지 못함"
        return "올랐음" if self.mean > 0 else "내렸음"


def gains(values: Mapping, field: str = "with_real") -> dict[str, dict[str, Gain]]:
    """``generated_data``의 {진짜의 수: {무엇을 더했나: Gain}}. field가 "alone"이면 만든 것만으로 배운 분류기입니다."""
    result: dict[str, dict[str, Gain]] = {}
    for n, rows in values["accuracy"].items():
        base = rows["진짜만"]["with_real"]
        for source, row in rows.items():
            if source == "진짜만" or field not in row:
                continue
            apart = [a - b for a, b in zip(row[field], base, strict=True)]
            error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0
            result.setdefault(n, {})[source] = Gain(statistics.mean(apart), error)
    return result


# ---------------------------------------------------------------------------- MNIST 카드

CARDS = Path(__file__).resolve().parents[1] / "data" / "checkpoints"
# 논문의 값은 재는 방법이 같을 때에만 나란히 적습니다. (지표의 이름, 논문의 값, 출처와 조건)
PAPER: dict[str, tuple[str, str]] = {
    "gan": ("파젠 225 ± 2 nats", "Goodfellow 외, 2014"),
    "cgan": ("파젠 132 ± 1.8 nats", "Mirza, Osindero, 2014"),
    "infogan": ("클래스 오류 5 %", "Chen 외, 2016 (2차 자료)"),
    "vae_conv_16d": ("NLL 86.76(잠재 50차원, MLP)", "Burda 외, 2016 (동적 이진화, k = 5000)"),
    "pixel_cnn": ("NLL 81.45", "공개된 재현(동적 이진화)"),
    "gated_pixelcnn": ("NLL 81.50", "공개된 재현(동적 이진화, 레이블 없음)"),
    "row_lstm": ("없음(CIFAR-10 3.07 bits/dim)", "van den Oord 외, 2016"),
    "diagonal_bilstm": ("NLL 80.75(고정 이진화, 1층 h = 32)", "van den Oord 외, 2016 (2차 자료)"),
    "nade": ("NLL 88.33(고정 이진화)", "Larochelle, Murray, 2011 (2차 자료)"),
    "made": ("NLL 86.64(고정 이진화, 마스크 32벌)", "Germain 외, 2015 (2차 자료)"),
    "nice": ("평균 log p 1980.50 = 4.36 bits/dim", "Dinh 외, 2014 ([0, 1] 화소)"),
    "realnvp": ("1.06 bits/dim", "Glow 등이 옮긴 값 (2차 자료)"),
    "maf": ("−1300.5 nats(logit 공간), 1.89 bits/dim", "Papamakarios 외, 2017 (2차 자료)"),
    "mintnet": ("0.98 bits/dim", "Song 외, 2019"),
}  # fmt: skip


def mnist_cards(folder: Path | None = None) -> list[dict]:
    """MNIST로 배운 체크포인트의 카드에서 {"name", "hours", "parameters", "frechet", "likelihood", "paper"}를 읽습니다.

    카드가 늘면 줄도 늘고, 재지 않은 칸은 None입니다. 그림을 만들지 않는 분류기는 뺍니다. 이름의 순서입니다.
    """
    rows = []
    for path in sorted((folder or CARDS).glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        if "MNIST" not in card.get("data", "") or "classifier" in path.stem:
            continue
        metric = card["metric"]
        rows.append(
            {
                "name": path.stem,
                "hours": card["hours"],
                "parameters": card["parameters"],
                "frechet": metric.get("frechet"),
                "likelihood": _likelihood(metric),
                "paper": PAPER.get(path.stem, ("없음", ""))[0],
                "source": PAPER.get(path.stem, ("", ""))[1],
            }
        )
    return rows


LIKELIHOODS = (
    ("nll_is5000", "NLL ≤ {:.2f} nats (k = 5000)"),
    ("negative_elbo_10000", "−ELBO {:.2f} nats"),
    ("nll_2000", "NLL {:.2f} nats (2000장)"),
    ("nll_10000", "NLL {:.2f} nats"),
    ("nll_ensemble", "NLL {:.2f} nats (앙상블)"),
    ("nll", "NLL {:.2f} nats"),
    ("bits_per_dim_10000", "{:.3f} bits/dim"),
    ("bits_per_dim", "{:.3f} bits/dim"),
    ("log_prob", "평균 log p {:.1f} nats"),
    ("class_error_test", "클래스 오류 {:.1%}"),
    ("parzen_test_nats", "파젠 {:.1f} nats (우도가 아님)"),
)


def _likelihood(metric: Mapping) -> str | None:
    """카드의 지표 가운데 우도에 가장 가까운 것 하나. 아는 이름이 없으면 nll, bits, log_prob로 시작하는 것을 찾습니다."""
    for name, form in LIKELIHOODS:
        if name in metric:
            return form.format(metric[name])
    for name, value in metric.items():
        if name.startswith(("nll", "bits", "log_prob", "mean_log_prob")):
            return f"{name} {value:.3f}"
    return None


def cards_table(rows: Sequence[Mapping]) -> str:
    """``mnist_cards``의 줄을 Markdown 표로."""
    lines = [
        "| 체크포인트 | 시간 | 매개변수 | 프레셰 | 우도에 가까운 값 | 논문의 값 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        frechet = "없음" if row["frechet"] is None else f"{row['frechet']:.1f}"
        paper = row["paper"] + (f" ({row['source']})" if row["source"] else "")
        lines.append(
            f"| `{row['name']}` | {row['hours']:.2f} | {row['parameters']:,} | {frechet} | "
            f"{row['likelihood'] or '없음'} | {paper} |"
        )
    return "\n".join(lines)
