"""Normalizing flow: 논문 하나에 파일 하나."""
