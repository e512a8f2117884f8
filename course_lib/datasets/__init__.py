"""강의에 쓰는 데이터. 2D 장난감 분포와 8×8 손글씨 숫자는 내려받기 없이 언제나 쓸 수 있습니다."""

from course_lib.datasets.digits import load_digits_images
from course_lib.datasets.toy2d import TOY2D, Toy2D

__all__ = ["TOY2D", "Toy2D", "load_digits_images"]
