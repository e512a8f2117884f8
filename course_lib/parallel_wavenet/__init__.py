"""WaveNet을 가르쳐 한 번에 소리를 내는 학생으로: 확률 밀도 증류와 Parallel WaveNet."""
