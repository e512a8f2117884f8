"""강의에 들어 있는 한글 글꼴 "Course Sans KR"과, matplotlib을 강의의 모습으로 맞추는 함수 하나.

글꼴은 나눔스퀘어를 줄여서 이름을 바꾼 것입니다(SIL OFL 1.1, 같은 폴더의 ``OFL.txt``).
나눔 글꼴에는 빼기 기호 U+2212가 없어 로그 축의 지수와 ``$…$`` 안의 빼기가 깨지므로
그 기호를 더했습니다. mathtext는 글꼴을 대신 찾아 주지 않기 때문입니다.
"""

from functools import cache
from pathlib import Path

FAMILY = "Course Sans KR"

# 색맹에게도 구별되는 8색. Okabe & Ito (2008), Color Universal Design.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
INK = "#22262B"  # 글자
MUTED = "#6B7280"  # 축, 기준선, 배경 점
RULE = "#E3E6EA"  # 격자

STYLE = {
    "font.family": [FAMILY, "DejaVu Sans"],
    "font.size": 11,
    "mathtext.fontset": "dejavusans",
    "axes.unicode_minus": True,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "axes.labelsize": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
}


@cache
def _add_fonts() -> None:
    from matplotlib import font_manager

    for path in sorted(Path(__file__).parent.glob("CourseSansKR-*.ttf")):
        font_manager.fontManager.addfont(path)


def use_course_font() -> None:
    """강의의 글꼴과 그림 모양을 matplotlib의 기본값으로 정합니다. 여러 번 불러도 됩니다.

    운영체제에 글꼴을 설치하지 않으며 네트워크도 쓰지 않습니다. ``import course_lib``만으로는
    아무것도 바뀌지 않고 이 함수를 부를 때 바뀝니다.
    """
    import matplotlib as mpl
    from cycler import cycler

    _add_fonts()
    mpl.rcParams.update(STYLE)
    colors = [PALETTE[name] for name in list(PALETTE)[:6]]
    mpl.rcParams["axes.prop_cycle"] = cycler(color=colors)
