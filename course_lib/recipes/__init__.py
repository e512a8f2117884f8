"""결과 파일과 체크포인트를 처음부터 다시 만드는 조리법. 장의 묶음마다 파일 하나입니다.

    python -m course_lib.recipes                     조리법의 이름을 보여 줍니다
    python -m course_lib.recipes flow_stability      실행합니다(중간에 꺼지면 이어서 합니다)
    python -m course_lib.recipes flow_stability --seeds 0 1 2

노트북의 표 가운데 여러 시드가 들거나 몇 분 이상 걸리는 것은 이 파일들을 읽어 보여 줍니다.
조리법 파일은 ``RESULT_FILES``(이름 → (함수, 기본 시드). 함수는 시드들을 받아 결과 파일의 값을 돌려줍니다)와
``CHECKPOINTS``(이름 → 이름을 받아 학습하고 저장하고 카드를 돌려주는 함수)를 둡니다.
"""

from course_lib.recipes.results import hardware, load_result, run_each, save_result

__all__ = ["hardware", "load_result", "run_each", "save_result"]
