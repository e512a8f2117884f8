"""브라우저 테스트가 함께 쓰는 Chromium."""

import os

import chromium
import pytest


@pytest.fixture(scope="module")  # 다른 파일도 Playwright를 열 수 있게 파일마다 닫습니다
def browser():
    from playwright.sync_api import sync_playwright

    path = chromium.find_chromium()
    if path is None:
        message = "Chromium이 없습니다. 설치하거나 환경 변수 CHROMIUM에 경로를 적어 주세요."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=path, args=chromium.CHROMIUM_ARGUMENTS
        )
        yield instance
        instance.close()
