"""``python -m course_lib.recipes NAME``: 이름을 고르면 만들고, 고르지 않으면 이름을 보여 줍니다."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import torch

from course_lib import distributed
from course_lib.recipes import (
    autoregressive,
    classifiers,
    comparison,
    conditional_gan,
    distillation,
    energy,
    flows,
    gan,
    gaussianization,
    mnist_flows,
    parallel_wavenet,
    pixel_cnn,
    pixel_rnn,
    sngan,
    speech,
    translation,
    vae,
    wavenet,
    wgan,
)
from course_lib.recipes.results import DATA, save_result

CHAPTERS = (
    autoregressive,
    pixel_rnn,
    pixel_cnn,
    vae,
    classifiers,
    gan,
    conditional_gan,
    translation,
    wgan,
    sngan,
    speech,
    flows,
    gaussianization,
    mnist_flows,
    distillation,
    parallel_wavenet,
    wavenet,
    energy,
    comparison,
)
RESULT_FILES: dict[str, tuple[Callable[[Sequence[int]], dict], Sequence[int]]] = {}
CHECKPOINTS: dict[str, Callable[[str], dict]] = {}
for chapter in CHAPTERS:
    RESULT_FILES |= getattr(chapter, "RESULT_FILES", {})
    CHECKPOINTS |= getattr(chapter, "CHECKPOINTS", {})
# distributed.fit으로 배우므로 torchrun으로 나눌 수 있는 체크포인트
SHARED = [
    name for chapter in (autoregressive, vae, pixel_cnn, pixel_rnn) for name in chapter.CHECKPOINTS
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="결과 파일을 처음부터 다시 만듭니다."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="조리법의 이름")
    parser.add_argument("--seeds", type=int, nargs="+", help="쓸 시드들(기본값은 조리법마다)")
    options = parser.parse_args(arguments)
    if distributed.processes() > 1 and options.name not in SHARED:
        if distributed.rank() == 0:
            print(
                f"여러 프로세스로 나눌 수 있는 것은 {', '.join(SHARED)}입니다. "
                f"{options.name or '다른 것'}은(는) 프로세스 하나로 실행하세요.",
                file=sys.stderr,
            )
        return 2
    distributed.start()  # torchrun으로 켰을 때만 프로세스들을 잇습니다
    if options.name in CHECKPOINTS:
        torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "1")))
        card = CHECKPOINTS[options.name](options.name)
        print(f"저장했습니다: data/checkpoints/{options.name}.safetensors, {card['metric']}")
        return 0
    if options.name not in RESULT_FILES:
        if options.name is not None:
            print(f"{options.name}이라는 조리법은 없습니다.", file=sys.stderr)
        print("조리법의 이름을 하나 고르세요:")
        for name, (recipe, _) in RESULT_FILES.items():
            print(f"  {name:20} {recipe.__doc__.splitlines()[0]}")
        for name, recipe in CHECKPOINTS.items():
            print(f"  {name:20} {recipe.__doc__.splitlines()[0]}")
        return 0 if options.name is None else 2
    torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "1")))
    recipe, seeds = RESULT_FILES[options.name]
    command = f"python -m course_lib.recipes {options.name}"
    if options.seeds is not None:
        seeds = options.seeds
        command += " --seeds " + " ".join(map(str, seeds))
    start = time.perf_counter()
    values = recipe(seeds)
    seconds = values.pop("seconds", time.perf_counter() - start)
    path = save_result(options.name, values, command=command, seeds=seeds, seconds=seconds)
    print(f"썼습니다: {path.relative_to(DATA.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
