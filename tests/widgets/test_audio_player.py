"""소리 그림과 재생기: 카드의 자리, HTML에 든 WAV, 조작의 글."""

import base64
import io
import json
import re
import wave
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import plots
from course_lib.audio import wav_bytes
from course_lib.widgets.audio_player import audio_player


def tones(n, length=2048):
    t = torch.arange(length) / 8000
    return {f"소리 {i + 1}": 0.8 * torch.sin(2 * torch.pi * 400 * (i + 1) * t) for i in range(n)}


def payload(html):
    return json.loads(re.search(r"const data = (\{.*?\});\n", html, re.DOTALL)[1])


@pytest.mark.parametrize("n", [1, 4, 6])
def test_player_holds_every_sound_and_a_sheet_of_equal_cards(n):
    signals = tones(n)
    view = audio_player(signals, alt="시험용 소리")
    data = payload(view.html)
    assert data["names"] == list(signals) and len(data["wavs"]) == n
    for text, x in zip(data["wavs"], signals.values(), strict=True):
        assert base64.b64decode(text) == wav_bytes(x)
        with wave.open(io.BytesIO(base64.b64decode(text))) as file:
            assert file.getnframes() == 2048
    assert data["columns"] * data["rows"] >= n and data["columns"] <= 4
    image = Image.open(BytesIO(view.png))
    wide, tall = (
        count * side
        for count, side in zip((data["columns"], data["rows"]), data["cell"], strict=True)
    )
    assert image.width / image.height == pytest.approx(wide / tall, rel=0.01)
    assert 'alt="시험용 소리"' in view.html and "http" not in view.html
    assert repr(view) == f"<위젯: 소리 {n}개>" and view.live is None
    assert audio_player(signals, alt="시험용 소리").html == view.html


def test_loud_signals_are_scaled_not_clipped_and_large_players_refused():
    x = 3 * tones(1)["소리 1"]
    data = payload(audio_player({"큰 소리": x}, alt="큰 소리").html)
    values = np.frombuffer(base64.b64decode(data["wavs"][0])[44:], "<i2") / 32767
    assert np.allclose(values, (x / x.abs().max()).numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="한도"):
        audio_player(tones(2), alt="소리", budget=10_000)


def test_spectrogram_shows_the_tone_where_it_is():
    figure = plots.sounds(tones(3), columns=2)
    axes = figure.axes
    assert len(axes) == 6 and [a.get_title() for a in axes[::2]] == ["소리 1", "소리 2", "소리 3"]
    for i, axis in enumerate(axes[1::2]):
        image = axis.images[0]
        low, high = image.get_extent()[2:]
        rows = np.asarray(image.get_array())[:, 5:-5]
        peak = low + (high - low) * rows.mean(1).argmax() / (len(rows) - 1)
        assert peak == pytest.approx(0.4 * (i + 1), abs=0.04)
        assert abs(np.max(image.get_array())) < 1e-4 and rows.min() >= -60
