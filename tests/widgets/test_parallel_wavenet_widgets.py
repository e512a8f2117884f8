"""듣기 시험과 빠르기의 경주: 들어 있는 것, 최솟값·기본값·최댓값에서의 그림, 거절."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.widgets.audio_player import listening_test
from course_lib.widgets.speed_race import TICKS, SpeedStage, race_times, said, shares, speed_race


def pairs(n, length=1600):
    t = torch.arange(length) / 8000
    return {
        f"문제 {i + 1}": (0.5 * torch.sin(2 * torch.pi * 200 * (i + 1) * t), 0.02 * torch.randn(length))
        for i in range(n)
    }  # fmt: skip


def payload(html):
    return json.loads(re.search(r"const data = (\{.*?\});\n", html, re.DOTALL)[1])


def test_listening_test_holds_both_sounds_of_every_trial_equally_loud():
    given = pairs(5)
    view = listening_test(given, ("교사", "학생"), alt="시험")
    data = payload(view.html)
    assert data["titles"] == list(given) and data["names"] == ["교사", "학생"]
    for pair, sounds in zip(data["wavs"], given.values(), strict=True):
        a, b = (np.frombuffer(base64.b64decode(w)[44:], "<i2") / 32767 for w in pair)
        assert np.sqrt((a**2).mean()) == pytest.approx(np.sqrt((b**2).mean()), rel=1e-3)
        assert max(abs(a).max(), abs(b).max()) == pytest.approx(0.9, abs=1e-3)
        assert np.corrcoef(a, sounds[0].numpy())[0, 1] > 0.999  # 순서가 바뀌지 않았습니다
        assert np.corrcoef(b, sounds[1].numpy())[0, 1] > 0.999
    assert 'alt="시험"' in view.html and "http" not in view.html and view.live is None
    assert repr(view) == "<위젯: A/B 듣기 시험 5문제>"
    assert Image.open(BytesIO(view.png)).width > 300


def test_listening_test_refuses_what_it_cannot_ask():
    x = torch.zeros(100)
    for wrong in ({}, {"하나": (x,)}):
        with pytest.raises(ValueError, match="소리 둘"):
            listening_test(wrong, ("교사", "학생"), alt="시험")
    with pytest.raises(ValueError, match="한도"):
        listening_test(pairs(3), ("교사", "학생"), alt="시험", budget=5000)


SECONDS = {"순진하게": 200.0, "캐시": 5.0, "학생": 0.02}


def test_race_runs_from_nothing_to_everything_and_the_student_appears_at_once():
    times = race_times(SECONDS)
    assert len(times) == TICKS + 1 and times[0] == 0 and (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(200)
    assert shares(SECONDS, 0.0, "학생") == [0, 0, 0]
    assert shares(SECONDS, 0.019, "학생") == pytest.approx([0.000095, 0.0038, 0])
    assert shares(SECONDS, 0.019) == pytest.approx([0.000095, 0.0038, 0.95])
    assert shares(SECONDS, 0.02, "학생")[2] == 1 and shares(SECONDS, 200.0, "학생") == [1, 1, 1]
    assert [said(t) for t in (0, 0.0021, 3.5, 90, 7200)] == ["0초", "2.1밀리초", "3.5초", "1.5분", "2시간"]  # fmt: skip
    with pytest.raises(ValueError, match="0보다 크게"):
        race_times({"학생": 0.0})


def test_race_pictures_change_at_minimum_default_and_maximum():
    x = torch.sin(torch.arange(800) / 5)
    stage = SpeedStage(x, SECONDS, "학생", 60)
    pictures = [np.asarray(Image.open(BytesIO(stage.draw(t))).convert("RGB")).astype(int) for t in (0, TICKS // 2, TICKS)]  # fmt: skip
    colourful = [int((p.max(2) - p.min(2) > 60).sum()) for p in pictures]
    assert colourful[0] == 0 < colourful[1] < colourful[2]
    view = speed_race(x, SECONDS, at_once="학생", dpi=60)
    picture, bar = view.live.children[-2:]
    before = bytes(picture.value)
    for value in (0, TICKS):
        bar.children[1].value = value
        assert bytes(picture.value) != before
        before = bytes(picture.value)
    assert len(view.html) < 300_000 and "순진하게" in view.html
    with pytest.raises(ValueError, match="at_once"):
        speed_race(x, SECONDS, at_once="없음")
