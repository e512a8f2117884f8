"""Parallel WaveNet: 느린 교사를 빠른 학생에게 옮기는 확률밀도 증류."""
