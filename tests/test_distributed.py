"""두 프로세스로 나눈 학습이 한 프로세스와 같은지: torchrun으로 진짜 프로세스 둘을 켭니다."""

import json
import os
import subprocess
import sys
from pathlib import Path

import distributed_script as script
import pytest
import torch

from course_lib import distributed, training
from course_lib.recipes import __main__ as command

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("두 프로세스")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "PYTHONWARNDEFAULTENCODING": "0"}
    result = subprocess.run(
        [*command, str(HERE / "distributed_script.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def same(one, two):
    for a, b in zip(one, two, strict=True):
        a, b = torch.tensor(a).double(), torch.tensor(b).double()
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_two_processes_equal_one_with_the_same_global_batch(found):
    metrics, weights = script.run(training.fit)
    for each in found:
        same(each["straight"][0], metrics)
        same(each["straight"][1], weights)
    assert metrics[0] != metrics[-1]


def test_both_processes_hold_the_same_weights(found):
    assert found[0]["straight"] == found[1]["straight"]


def test_an_interrupted_run_goes_on_and_one_process_can_take_over(found, folder, tmp_path):
    straight = found[0]["straight"]
    for each in found:
        # 다섯째 단계의 상태에서 이어 갑니다
        assert each["resumed"][0] == straight[0][5:] and each["resumed"][1] == straight[1]
    state = tmp_path / "state.safetensors"
    state.write_bytes((folder / "state.safetensors").read_bytes())
    metrics, weights = script.run(training.fit, state=state)
    assert metrics == []  # 이미 끝까지 배운 상태입니다
    same(weights, straight[1])


def test_noise_differs_between_processes(found):
    first, second = (each["noise"] for each in found)
    assert len({*first, *second}) == 4


def test_every_process_stops_when_one_diverges_and_odd_batches_are_refused(found):
    for each in found:
        assert each["diverged"] == 1
        assert "나누어떨어지지" in each["odd"] and "2" in each["odd"]


def test_only_the_first_process_stores_the_checkpoint(folder):
    card = json.loads((folder / "nade.json").read_text(encoding="utf-8"))
    assert card["command"] == "torchrun --nproc-per-node 2 -m course_lib.recipes nade"
    assert "프로세스 2개" in card["hardware"]
    assert (folder / "after-0").read_text(encoding="utf-8") == "0"
    assert not (folder / "after-1").exists()  # 학습만 하고 조용히 끝났습니다


def test_one_process_is_the_plain_fit(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    assert script.run(distributed.fit) == script.run(training.fit)
    assert distributed.launcher() == "python"
    distributed.start()
    distributed.first_only()
    assert not torch.distributed.is_initialized()


def test_other_recipes_refuse_to_be_shared(monkeypatch, capsys):
    """나눌 수 없는 조리법을 프로세스마다 되풀이하면 같은 파일을 함께 쓰게 됩니다."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for name in ("gan", "flow_stability", "없는 것"):
        assert command.main([name]) == 2
        assert "나눌 수 있는 것은 nade, made" in capsys.readouterr().err
    assert not torch.distributed.is_initialized()
    for chapter in command.CHAPTERS:
        source = Path(chapter.__file__).read_text(encoding="utf-8")
        shared = set(getattr(chapter, "CHECKPOINTS", {})) & set(command.SHARED)
        assert bool(shared) == ("distributed import" in source), chapter.__name__
