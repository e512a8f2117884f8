"""그림의 글꼴, 색, 자료를 검사합니다. PNG는 출력 비교에서 빠지므로 여기에서 봅니다."""

import itertools
import logging
import math
import re
import warnings
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.font_manager import get_font
from PIL import Image

from course_lib import fonts, plots

ROOT = Path(__file__).parents[1]
FIGURES = {
    "산점도": lambda: plots.scatter2d(torch.randn(60, 2), labels=torch.arange(60) % 3, title="z₀"),
    "산점도 두 칸": lambda: plots.scatter2d({"데이터": torch.randn(9, 2), "표본": torch.randn(5, 2)}),
    "밀도": lambda: plots.density2d(_gaussian, (-3, 3, -3, 3), points=torch.randn(20, 2), resolution=40),
    "그림 격자": lambda: plots.image_grid(torch.rand(13, 8, 8), columns=5, title="손글씨 숫자"),
    "그림 두 줄": lambda: plots.image_grid({"원본": torch.rand(4, 8, 8), "복원": torch.rand(4, 8, 8)}),
    "로그 축": lambda: plots.curves({"오차 $|z_0 - f^{-1}(x)|$": 10.0 ** -np.arange(9)}, log_y=True,
                                 ylabel="오차 $10^{-3}$", reference={"한계 −3": 1e-3}),
    "이동 평균": lambda: plots.curves({"NICE": torch.rand(90), "RealNVP": torch.rand(90)}, smooth=9),
    "막대": lambda: plots.bars({"NICE": -1.2, "RealNVP": 0.3}, errors={"NICE": 0.1},
                             reference={"엔트로피": 0.289}, xlabel="nats"),
    "히스토그램": lambda: plots.histogram(torch.randn(300), curve={"N(0, 1)": lambda v: np.exp(-v)},
                                     limits=(-3, 3), xlabel="$z_0$"),
    "열지도": lambda: plots.heat_map({"하나": torch.eye(4), "둘": -torch.eye(4)}, xlabel="$z_j$"),
    "0이 아닌 자리": lambda: plots.heat_map(torch.eye(30) > 0, ylabel="출력 $x_i$"),
}  # fmt: skip


def _gaussian(x):
    return -0.5 * (x**2).sum(1) - math.log(2 * math.pi)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_korean_minus_and_math_without_a_word_from_matplotlib(name, caplog):
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG - 1):
        warnings.simplefilter("always")
        data = plots.png(FIGURES[name]())
    assert [str(w.message) for w in caught] == []
    spoken = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert spoken == []
    assert len(data) <= 80_000
    pixels = np.asarray(Image.open(BytesIO(data)).convert("L"))
    assert pixels.min() < 120 and pixels.max() == 255


def test_a_missing_glyph_would_be_heard(caplog):
    """위의 시험이 듣고 있는지: 글꼴에 없는 글자는 경고가 됩니다."""
    with pytest.warns(UserWarning, match="Glyph"):
        plots.png(plots.scatter2d(torch.zeros(3, 2) + torch.arange(3)[:, None], title="\u0e01"))


@pytest.mark.parametrize("weight", ["Regular", "Bold"])
def test_font_has_every_korean_character_and_sign_of_the_course(weight):
    path = ROOT / "course_lib" / "fonts" / f"CourseSansKR-{weight}.ttf"
    font = get_font(path)
    glyphs = font.get_charmap()
    needed = set("−–—·×≈≤≥→←αβγδεθλμνπρστφωΣΩ∂∇∫√∞‘’“”…℃") - {"℃"}
    needed |= {chr(c) for c in range(0xAC00, 0xD7A4)} | {chr(c) for c in range(0x20, 0x7F)}
    for source in (ROOT / "course_lib").rglob("*.py"):
        needed |= set(re.findall(r"[가-힣ㄱ-ㅎ]", source.read_text("utf-8")))
    assert sorted(c for c in needed if ord(c) not in glyphs) == []
    assert (font.family_name, font.style_name) == ("Course Sans KR", weight)
    assert "Nanum" not in font.postscript_name  # OFL의 예약 이름
    assert path.stat().st_size < 600_000
    assert "Reserved Font Name" in (path.parent / "OFL.txt").read_text("utf-8")


def test_use_course_font_picks_the_shipped_files_for_both_weights():
    fonts.use_course_font()
    from matplotlib.font_manager import FontProperties, findfont

    for weight, name in (("normal", "Regular"), ("bold", "Bold")):
        found = Path(findfont(FontProperties(family=fonts.FAMILY, weight=weight)))
        assert found == ROOT / "course_lib" / "fonts" / f"CourseSansKR-{name}.ttf"
    assert mpl.rcParams["font.family"] == ["Course Sans KR", "DejaVu Sans"]
    assert mpl.rcParams["axes.unicode_minus"] is True


# 색맹 모의: Machado, Oliveira & Fernandes (2009), IEEE TVCG 15(6)의 심도 1.0 행렬(선형 RGB).
DICHROMACY = {
    "제1색맹": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
             [-0.003882, -0.048116, 1.051998]],
    "제2색맹": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
             [-0.011820, 0.042940, 0.968881]],
    "제3색맹": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
    "보통": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}  # fmt: skip
COMPARED = [
    ("데이터", "NICE", "RealNVP", "MAF", "IAF", "MintNet", "Gaussianization"),
    ("NICE", "RealNVP", "MAF", "IAF", "MADE"),
    ("PCA", "RealNVP", "VAE"),
    ("PCA", "GMM", "KDE", "AE"),
    ("PCA", "FA"),
    ("pPCA", "AE", "VAE"),
    ("NADE", "MADE", "PixelRNN", "PixelCNN"),
    ("Row LSTM", "Diagonal BiLSTM", "PixelCNN"),
    ("Row LSTM", "MAF", "RealNVP", "IAF"),
    ("PixelCNN", "PixelCNN++", "Gated PixelCNN", "NICE", "RealNVP"),
    ("데이터", "VAE", "GAN", "DCGAN"),
    ("GAN", "WGAN", "WGAN-GP", "SNGAN"),
    ("데이터", "DCGAN", "WGAN", "WGAN-GP", "SNGAN"),
    ("WaveNet", "Parallel WaveNet"),
    ("EBM", "RealNVP", "VAE", "GAN", "PixelCNN"),
]


def _lab(color: str, matrix) -> np.ndarray:
    """sRGB → (색맹 모의) → CIE L*a*b*."""
    rgb = np.array(mpl.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    white = np.array([0.9505, 1.0, 1.089])
    f = np.cbrt(xyz @ linear / white)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", DICHROMACY)
def test_models_of_one_figure_keep_different_colours(sight):
    for group in COMPARED:
        for a, b in itertools.combinations(group, 2):
            first, second = (_lab(plots.MODEL_COLORS[m], DICHROMACY[sight]) for m in (a, b))
            assert np.linalg.norm(first - second) > 14, (sight, a, b)


def contrast_with_white(color: str) -> float:
    """WCAG 2의 명암비: 1(흰색)에서 21(검은색)까지."""
    rgb = np.array(mpl.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


# 오카베와 이토의 색맹 안전 색 가운데 둘은 WCAG가 그림에 권하는 3:1보다 밝습니다(2.25와 2.31).
# 그래서 선을 굵게 긋고 이름을 늘 함께 적습니다. 글자에는 쓰지 않습니다.
LIGHT = {plots.PALETTE["orange"], plots.PALETTE["sky"]}


def test_colours_are_dark_enough_on_white():
    for model, color in plots.MODEL_COLORS.items():
        least = 2.2 if color in LIGHT else 3
        assert contrast_with_white(color) >= least, (model, contrast_with_white(color))
    for color in (plots.INK, plots.MUTED):  # 글자
        assert contrast_with_white(color) >= 4.5
    assert contrast_with_white("#000000") == pytest.approx(21)
    assert fonts.STYLE["lines.linewidth"] >= 1.5


def test_every_model_colour_stands_out_from_white_and_is_in_a_compared_group():
    for model, color in plots.MODEL_COLORS.items():
        assert _lab(color, DICHROMACY["보통"])[0] < 80, model
        assert any(model in group for group in COMPARED), model


@pytest.mark.parametrize("name", ["DENSITY"])
def test_density_colours_get_darker_step_by_step(name):
    table = getattr(plots, name)(np.linspace(0, 1, 64))
    lightness = [_lab(row[:3], DICHROMACY["보통"])[0] for row in table]
    assert all(a > b for a, b in itertools.pairwise(lightness))


def test_model_color_reads_the_longest_known_beginning():
    assert plots.model_color("RealNVP 표본") == plots.MODEL_COLORS["RealNVP"]
    assert plots.model_color("WGAN-GP, 5회") == plots.MODEL_COLORS["WGAN-GP"]
    assert plots.model_color("모르는 모델", 1) == plots.PALETTE["orange"]


def test_density_grid_rows_are_y_and_its_mass_is_one():
    def log_prob(x):
        return _gaussian((x - torch.tensor([1.0, -0.5])) / torch.tensor([0.5, 1.0])) - math.log(0.5)

    x, y, density = plots.density_grid(log_prob, (-4, 6, -6, 5), 150)
    cell = (x[1] - x[0]) * (y[1] - y[0])
    assert density.sum() * cell == pytest.approx(1, abs=1e-4)
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert x[column] == pytest.approx(1, abs=0.1) and y[row] == pytest.approx(-0.5, abs=0.1)


def test_density_figure_is_drawn_the_right_way_up():
    figure = plots.density2d(lambda x: -10 * ((x - torch.tensor([1.0, 2.0])) ** 2).sum(1),
                             (-3, 3, -3, 3), resolution=60)  # fmt: skip
    image = figure.axes[0].images[0]
    row, column = np.unravel_index(image.get_array().argmax(), (60, 60))
    assert image.origin == "lower" and list(image.get_extent()) == [-3, 3, -3, 3]
    assert column == pytest.approx((1 + 3) / 6 * 60, abs=1)
    assert row == pytest.approx((2 + 3) / 6 * 60, abs=1)


def test_colour_grid_keeps_colours_and_rows():
    red, grey = torch.full((2, 3, 4, 4), -1.0), torch.zeros(1, 1, 4, 4)
    red[:, 0] = 1.0
    axis = plots.colour_grid({"빨강": red, "회색": grey}, captions=["하나", "둘"]).axes[0]
    canvas = np.asarray(axis.images[0].get_array())
    assert canvas.shape == (9, 9, 3)
    assert canvas[2, 2].tolist() == canvas[2, 7].tolist() == [1, 0, 0]
    assert canvas[7, 2].tolist() == [0.5] * 3 and canvas[7, 7].tolist() == [1, 1, 1]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["빨강", "회색"]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["하나", "둘"]
    with pytest.raises(ValueError, match="1이나 3"):
        plots.colour_grid({"": torch.zeros(2, 4, 4)})


def test_image_grid_places_images_row_by_row():
    images = torch.zeros(5, 4, 4)
    images[3] = 1.0
    canvas = plots.image_grid(images, columns=3).axes[0].images[0].get_array()
    rows, columns = np.nonzero(np.nan_to_num(np.asarray(canvas), nan=0) == 1)
    assert rows.min() == 5 and rows.max() == 8 and columns.min() == 0 and columns.max() == 3


def test_histogram_area_is_the_share_of_values_inside_the_limits():
    values = torch.linspace(0, 2, 1000)
    patches = plots.histogram(values, limits=(0, 1), bins=10).axes[0].patches
    area = sum(p.get_width() * p.get_height() for p in patches)
    assert area == pytest.approx(0.5, abs=0.01)


def test_curves_shows_the_reference_and_the_moving_average():
    figure = plots.curves({"NICE": [0.0, 2.0, 4.0, 6.0]}, reference={"바닥": 1.5}, smooth=2)
    lines = figure.axes[0].lines
    assert list(lines[1].get_ydata()) == [1, 3, 5] and list(lines[1].get_xdata()) == [1, 2, 3]
    assert lines[2].get_ydata()[0] == 1.5
    assert "바닥" in [text.get_text() for text in figure.axes[0].texts]


def test_bars_write_the_value_with_a_true_minus():
    texts = [t.get_text() for t in plots.bars({"NICE": -1.234}).axes[0].texts]
    assert texts == ["−1.23"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.scatter2d(torch.zeros(4, 3)), "(N, 2)"),
        (lambda: plots.image_grid(torch.zeros(4, 9)), "(N, H, W)"),
        (lambda: plots.image_grid(torch.zeros(0, 8, 8)), "(N, H, W)"),
        (lambda: plots.heat_map(torch.zeros(4)), "(행, 열)"),
    ],
)
def test_wrong_shapes_get_one_korean_sentence(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_scatter_mixes_the_colours_of_soft_labels_and_leaves_unnamed_panels_plain():
    x, hard = torch.randn(3, 2), torch.tensor([0, 1, 1])
    soft = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    figure = plots.scatter2d(
        {"가": x, "나": x, "다": x}, labels={"가": hard, "다": soft}, color="#123456"
    )
    first, second, third = (axes.collections[0].get_facecolors()[:, :3] for axes in figure.axes)
    assert np.allclose(second, np.array([0x12, 0x34, 0x56]) / 255)
    assert np.allclose(third[:2], first[:2])
    assert np.allclose(third[2], (first[0] + first[1]) / 2)


def test_points_with_nan_do_not_break_the_axes():
    points = torch.tensor([[0.0, 1.0], [float("nan"), 2.0], [1.0, 3.0]])
    assert plots.png(plots.scatter2d(points))


def test_show_sends_only_a_png_with_alt_text(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: sent.append((a, k)))
    plots.show(plots.scatter2d(torch.randn(9, 2), title="두 반달"))
    (bundle,), options = sent[0]
    assert list(bundle) == ["image/png"] and options["raw"] is True
    assert options["metadata"]["image/png"]["alt"] == "두 반달"


def test_importing_the_library_changes_nothing_in_matplotlib():
    import subprocess
    import sys

    code = (
        "import matplotlib, json; a = dict(matplotlib.rcParams)\n"
        "import course_lib.plots, course_lib.widgets.flow_warp, course_lib.widgets.draw_and_train\n"
        "assert dict(matplotlib.rcParams) == a\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_module_of_ours_uses_pyplot():
    for source in (ROOT / "course_lib").rglob("*.py"):
        assert not re.search(r"import.*pyplot", source.read_text("utf-8")), source
