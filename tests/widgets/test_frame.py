"""틀: 재생기 HTML, 세 모습, 팔레트."""

import base64
import re
import threading
import time
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_lib.plots import PALETTE, blank_figure
from course_lib.widgets.frame import (
    DrawAhead,
    Palette,
    Stage,
    TriView,
    decoder_player,
    player,
    slider_view,
    still,
)


def frame(value: int) -> bytes:
    buffer = BytesIO()
    Image.new("L", (20, 10), value).save(buffer, "png")
    return buffer.getvalue()


FRAMES = [frame(50 * k) for k in range(5)]
LABELS = [f"{k}번째" for k in range(5)]


def test_player_is_the_same_every_time_and_differs_with_its_content():
    one = player(FRAMES, LABELS, alt="회색")
    assert one == player(list(FRAMES), list(LABELS), alt="회색")
    key = re.search(r'data-course-player="(\w+)"', one)[1]
    other = player(FRAMES[::-1], LABELS, alt="회색")
    assert key not in other


def test_player_holds_every_frame_once_and_nothing_from_outside():
    html = player(FRAMES, LABELS, alt='따옴표 " 와 <꺾쇠>', start=2)
    for picture in FRAMES:
        assert html.count(base64.b64encode(picture).decode()) == 1
    assert not re.search(r"https?://|src=\"(?!data:)", html)
    assert "<꺾쇠>" not in html and html.count("</script>") == 1


def test_player_without_scripts_is_a_picture_and_no_dead_slider():
    html = re.sub(r"<script>.*?</script>", "", player(FRAMES, LABELS, alt="회색"), flags=re.S)
    assert html.count("<img") == 1 and base64.b64encode(FRAMES[0]).decode() in html
    assert not re.search(r"<(input|button|select|canvas)", html)


def test_labels_cannot_close_the_script():
    html = player(FRAMES, ["</script><b>"] * 5, alt="회색")
    assert html.count("</script>") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((FRAMES, LABELS[:3]), "수를 맞추세요"),
        (([], []), "수를 맞추세요"),
        (({"가": FRAMES, "나": FRAMES[:2]}, LABELS), "나"),
    ],
)
def test_player_refuses_what_does_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        player(*arguments, alt="회색")


def test_player_refuses_to_make_a_notebook_heavy():
    with pytest.raises(ValueError, match="한도"):
        player(FRAMES, LABELS, alt="회색", budget=1000)


def test_triview_shows_three_faces_and_a_stable_name():
    import ipywidgets

    view = TriView(ipywidgets.Label("살아 있음"), "<p>재생기</p>", FRAMES[0], "시험")
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json",
    }  # fmt: skip
    assert bundle["text/plain"] == "<위젯: 시험>"
    assert base64.b64decode(bundle["image/png"]) == FRAMES[0]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.live.model_id
    assert "widget-view" not in str(TriView(None, "", FRAMES[0], "그림")._repr_mimebundle_().keys())


def test_still_escapes_its_texts():
    html = still(FRAMES[0], 'a"b', "<script>")
    assert "<script>" not in html and 'alt="a&quot;b"' in html


def test_palette_keeps_white_and_picks_the_nearest_colour():
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (40, 3))
    colors[0] = 255
    palette = Palette(colors)
    pixels = rng.integers(0, 256, (200, 300, 4), dtype=np.uint8)
    pixels[0] = 255
    for _ in range(2):  # 두 번째에는 채워 둔 표에서 찾습니다
        index = palette.indices(pixels)
        chosen = palette.colors[index].astype(int)
        best = ((pixels[..., None, :3].astype(int) - palette.colors) ** 2).sum(-1).min(-1)
        found = ((pixels[..., :3].astype(int) - chosen) ** 2).sum(-1)
        assert (chosen[0] == 255).all()
        # 한 칸에 묶인 두 색은 채널마다 3까지 다르므로 거리의 차이는 2·3√3을 넘지 않습니다.
        assert (np.sqrt(found) <= np.sqrt(best) + 2 * 3 * np.sqrt(3) + 1e-9).all()


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_palette_tells_shades_of_one_channel_apart(channel):
    colors = np.zeros((128, 3), int)
    colors[:, channel] = np.arange(0, 256, 2)
    colors[-1] = 255
    palette = Palette(colors)
    pixels = np.zeros((1, 250, 4), np.uint8)
    pixels[0, :, channel] = np.random.default_rng(0).permutation(250)
    chosen = palette.colors[palette.indices(pixels)][0, :, channel]
    assert np.abs(chosen - pixels[0, :, channel].astype(int)).max() <= 4


def test_stage_draws_moving_parts_over_a_clean_background():
    figure = blank_figure(2, 2)
    axis = figure.add_axes([0, 0, 1, 1])
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    dot = axis.plot([0.25], [0.75], "s", ms=20, color="black", animated=True)[0]
    stage = Stage(figure, 50)
    stage.palette = Palette.gray_and(PALETTE["vermillion"])
    first = stage.pixels([dot])
    dot.set_data([0.75], [0.25])
    second = stage.pixels([dot])
    assert (first[25, 25] == [0, 0, 0, 255]).all() and (second[25, 25] == 255).all()
    assert (second[75, 75] == [0, 0, 0, 255]).all()
    shown = np.asarray(Image.open(BytesIO(stage.png(second))).convert("RGB"))
    assert (shown[75, 75] == 0).all() and (shown[25, 25] == 255).all()


def test_slider_draws_at_both_ends_and_in_the_middle():
    modes = []
    box, slider, picture, redraw = slider_view(
        lambda k: (modes.append(torch.is_inference_mode_enabled()), FRAMES[k])[1], steps=4, start=2
    )
    for value in (0, 4, 2):
        slider.value = value
        assert picture.value == FRAMES[value]
    worker = threading.Thread(target=redraw)
    worker.start()
    worker.join()
    assert all(modes) and picture.value == FRAMES[2]


def wait_until(done, seconds=10):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    assert done()


def test_the_next_picture_is_ready_before_it_is_asked_for():
    drawn = []
    ahead = DrawAhead(lambda k: (drawn.append(k), b"%d" % k)[1], steps=9)
    assert ahead(5) == b"5"
    wait_until(lambda: drawn == [5, 6])  # 오른쪽으로 왔으니 6
    assert ahead(6) == b"6" and ahead(5) == b"5"
    wait_until(lambda: 4 in drawn)  # 왼쪽으로 돌아섰으니 4
    assert drawn.count(5) == drawn.count(6) == 1
    ahead(9)
    ahead(0)
    time.sleep(0.1)
    assert all(0 <= k <= 9 for k in drawn)


def test_pictures_of_the_old_model_are_forgotten_even_while_one_is_being_drawn():
    name, started, go = ["옛"], threading.Event(), threading.Event()

    def draw(tick):
        current = name[0]
        if current == "옛" and tick == 3:
            started.set()
            go.wait(10)
        return f"{current}{tick}".encode()

    ahead = DrawAhead(draw, steps=9)
    ahead(2)  # 3을 미리 그리기 시작합니다
    assert started.wait(10)
    name[0] = "새"
    ahead.forget()
    go.set()
    ahead._pool.shutdown(wait=True)
    assert ahead._get(3) == "새3".encode()


def test_decoder_player_carries_the_weights(small_decoder):
    html = decoder_player(small_decoder, (4, 5), FRAMES[0], start=[0.0, 1.0])
    assert html == decoder_player(small_decoder, (4, 5), FRAMES[0], start=[0.0, 1.0])
    assert len(html) < 30_000 and "커널" not in re.sub(r"//.*", "", html)


@pytest.mark.parametrize(
    ("decoder", "shape", "start", "words"),
    [
        (nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 6)), (2, 3), [0, 0], "GELU"),
        (nn.Sequential(nn.Linear(2, 6)), (2, 3), [0, 0, 0], "3차원"),
        (nn.Sequential(nn.Linear(2, 6)), (3, 3), [0, 0], "화소"),
        (nn.Sequential(nn.Linear(2, 70_000)), (700, 100), [0, 0], "한도"),
        (nn.Sequential(nn.ReLU()), (2, 3), [0, 0], "ReLU"),
        (nn.Sequential(), (2, 3), [0, 0], "Linear"),
    ],
)
def test_decoder_player_refuses_what_it_cannot_carry(decoder, shape, start, words):
    with pytest.raises(ValueError, match=words):
        decoder_player(decoder, shape, FRAMES[0], start=start)
