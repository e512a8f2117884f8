"""딥 생성 모델 강의의 구현 모음. import만으로는 torch와 matplotlib의 설정이 바뀌지 않습니다."""
