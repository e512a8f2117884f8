"""정적 사이트: 원고를 만드는 함수, 한국어 찾기, 그리고 실제로 만든 사이트를 파일로 열어 봅니다."""

import importlib.util
import re

import nbformat
import notebook_rules as rules
import pytest
import yaml

from course_lib import site
from course_lib.cli import CourseError

BOOKS = {path.stem: rules.read(path) for path in rules.all_notebooks()}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 제목 $x$"), *cells])


def code(source="1", tags=(), data=None, metadata=None):
    outputs = (
        [nbformat.v4.new_output("display_data", data, metadata=metadata or {})] if data else []
    )
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs)


def test_a_picture_becomes_a_file_with_its_alt_text(tmp_path):
    metadata = {"image/png": {"alt": '두 반달 "α" <i>', "width": 640}}
    cell = code(data={"image/png": PIXEL}, metadata=metadata)
    page = site.page(notebook(cell), tmp_path)
    html = page.cells[1].outputs[0].data["text/html"]
    assert 'alt="두 반달 &quot;α&quot; &lt;i&gt;"' in html and 'width="640" height="640"' in html
    (file,) = tmp_path.iterdir()
    assert f'src="{tmp_path.name}/{file.name}"' in html
    assert cell.outputs[0].data.keys() == {"image/png"}, "원본이 바뀌었습니다"


def test_a_player_stays_and_the_live_widget_goes(tmp_path):
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    cell = code(data={"text/html": "<p>재생기</p>", "image/png": PIXEL, "text/plain": "x", **view})
    page = site.page(notebook(cell), tmp_path)
    assert page.cells[1].outputs[0].data == {"text/html": "<p>재생기</p>"}
    assert list(tmp_path.iterdir()) == []


def test_solutions_are_folded(tmp_path):
    cells = site.page(notebook(code(tags=["exercise"]), code(tags=["solution"])), tmp_path).cells
    assert "tags" not in cells[1].metadata
    assert cells[2].metadata.tags == ["hide-cell"]
    assert cells[2].metadata.mystnb.code_prompt_show == "풀이 보기"


def test_every_exercise_is_found_in_the_list():
    text = site.exercise_list(BOOKS)
    for stem, nb in BOOKS.items():
        tagged = sum("exercise" in rules.tags(cell) for cell in nb.cells)
        found = [number for number, _ in site.exercises(nb)]
        assert len(found) == tagged == len(set(found)), stem
        assert all(f"**{number}.**" in text for number in found)


def test_every_claim_and_every_notebook_is_in_the_lists():
    entries = yaml.safe_load((rules.NOTEBOOKS / "claims.yml").read_text(encoding="utf-8"))
    text = site.claim_list(entries, BOOKS)
    assert all(f"\n| {entry['id']} | " in text for entry in entries)
    assert text.count("거짓임을 확인합니다") == sum(not entry["expected"] for entry in entries)
    front = site.front_page((rules.ROOT / "README.md").read_text(encoding="utf-8"), BOOKS)
    index = site.paper_list((rules.ROOT / "course_lib/README.md").read_text(encoding="utf-8"))
    for stem in BOOKS:
        number = stem.split("_")[0]
        assert f'href="{stem}.html"' in front and f"\n{stem}\n" in front
        if number != "00":
            assert (
                f'<img src="pictures/{number}.png" alt="' in front and f"]({stem}.ipynb)" in index
            )


def test_no_notebooks_is_one_korean_sentence(tmp_path):
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(CourseError, match="노트북이 없어"):
        site.stage(tmp_path / "source", tmp_path / "notebooks")
    with pytest.raises(CourseError, match="제목"):
        site.title(nbformat.v4.new_notebook())


def test_missing_sphinx_is_one_korean_sentence(tmp_path, monkeypatch):
    class Missing:
        returncode, stderr = 1, "python: No module named sphinx"

    monkeypatch.setattr(site, "stage", lambda *_: 1)
    monkeypatch.setattr(site.subprocess, "run", lambda *_, **__: Missing)
    with pytest.raises(CourseError, match="Sphinx가 없어.*패키지를 받으"):
        site.build(tmp_path / "site")


def search_language():
    spec = importlib.util.spec_from_file_location("course_site_conf", rules.ROOT / "site/conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SearchKorean({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("변분을 배운다", {"변분", "변분을", "배운"}),
        ("잠재 변수에서는", {"잠재", "변수", "변수에서는"}),
        ("ELBO를 MAF와", {"ELBO", "MAF"}),
        ("a_b2 1차원", {"a_b2", "1차원"}),
    ],
)
def test_words_are_found_without_their_particles(text, words):
    assert words <= set(search_language().split(text))


# ── 실제로 만든 사이트 ─────────────────────────────────────────────────────────

OUTSIDE = re.compile(
    r"<(?:script|link|img|iframe|source|audio|video)\b[^>]*?\s(?:src|href)\s*=\s*[\"']?(?:https?:)?//[^>]*"
    r"|url\(\s*[\"']?(?:https?:)?//[^)]*|@import\s+[\"'](?:https?:)?//[^\"']*"
)
LOOK = """() => ({
  wide: document.documentElement.scrollWidth,
  // 테마가 넘친 것을 잘라 버리므로 쪽의 너비만 보아서는 모릅니다: 제 상자에서 밀리지도 못하고 잘린 것
  cut: [...document.querySelectorAll('article *')].filter(e => {
    const box = e.getBoundingClientRect();
    if (box.right <= innerWidth + 1 || !box.height || e.closest('mjx-assistive-mml, .visually-hidden, svg svg')) return false;
    for (let up = e; up.tagName !== 'ARTICLE'; up = up.parentElement)
      if (['auto', 'scroll'].includes(getComputedStyle(up).overflowX)) return false;
    return true;
  }).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.trim().slice(0, 30)).slice(0, 3),
  silent: [...document.images].filter(e => !e.alt.trim()).length,
  broken: [...document.images].filter(e => e.complete && !e.naturalWidth).length,
  wrong: [...document.querySelectorAll('[data-mjx-error]')].map(e => e.dataset.mjxError),
  math: document.querySelectorAll('.math').length,
  drawn: document.querySelectorAll('mjx-container').length,
  players: document.querySelectorAll('[data-course-player]').length,
  alive: document.querySelectorAll('[data-course-player][data-ready]').length,
  solutions: [...document.querySelectorAll('details')].map(e => e.open + e.querySelector('summary').innerText.trim()),
})"""
BROKEN_PLAYERS = """<meta charset="utf-8"><div data-course-player="1"><button></button></div>
<div data-course-player="2"><div id="pad">그림</div><input type="range" aria-label="단계" style="outline:none"></div>
<div data-course-player="3"><p>그림뿐</p></div><div data-course-player="4"><b tabindex="0" title="멎음">b</b></div>
<script>document.getElementById("pad").addEventListener("mousedown", () => 0)</script>"""


def open_page(page, address):
    page.goto(address)
    if page.evaluate("!!window.MathJax"):
        page.wait_for_function("() => MathJax.startup?.promise?.then(() => true)")
    return page.evaluate(LOOK)


def links(page):
    return page.locator("ul.search li a").evaluate_all(
        "all => all.map(a => a.href.split('/').pop())"
    )


@pytest.mark.browser
def test_the_accessibility_check_bites(browser, tmp_path):
    script = (rules.ROOT / ACCESSIBILITY).read_text(encoding="utf-8")
    file = tmp_path / "broken.html"
    file.write_text(BROKEN_PLAYERS, encoding="utf-8")
    page = browser.new_page()
    page.add_init_script(script)
    page.goto(file.as_uri())
    page.keyboard.press("Tab")
    problems, _ = page.evaluate("accessibility()")
    page.close()
    said = [
        "button ''에 이름표",
        "div ''은(는) 터치",
        "div ''에 이름표",
        "div ''에 Tab",
        "'단계'의 초점이 보이지",
    ]
    said += ["재생기 3: 조작기가 없", "b '멎음'은(는) 키보드로"]
    for part in said:
        assert any(part in problem for problem in problems), (part, problems)


ACCESSIBILITY = "tests/notebooks/accessibility.js"


@pytest.mark.browser
def test_the_whole_site_opened_as_files(browser, tmp_path):
    """한 번 만들어 모두 봅니다: 바깥 요청, 휴대전화 너비, 대체 텍스트, 수식, 재생기, 찾기."""
    out = tmp_path / "강의 사이트"
    site.build(out)
    problems = []
    for file in [*out.rglob("*.html"), *out.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        problems += [f"{file.name}: {found[:90]}" for found in OUTSIDE.findall(text)]
        if file.suffix == ".html" and not {'href="claims.html"', 'href="papers.html"'} & set(
            re.findall(r'href="\w+.html"', text)
        ):
            problems.append(f"{file.name}: 차례가 없습니다.")
    names = {file.stem for file in out.glob("*.html")}
    assert {*BOOKS, "index", "glossary", "papers", "claims", "exercises", "search"} <= names

    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.add_init_script((rules.ROOT / ACCESSIBILITY).read_text(encoding="utf-8"))
    page.on("pageerror", lambda error: problems.append(f"스크립트 오류: {error}"[:200]))
    page.on(
        "request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or problems.append(r.url)
    )
    for name in sorted(names):
        seen = open_page(page, (out / f"{name}.html").as_uri())
        expected = {"wide": 390, "cut": [], "silent": 0, "broken": 0, "wrong": []}
        problems += [f"{name}: {k} = {seen[k]}" for k, v in expected.items() if seen[k] != v]
        if seen["drawn"] < seen["math"] or seen["alive"] != seen["players"]:
            problems.append(f"{name}: 수식이나 재생기가 멎었습니다: {seen}")
        if name in BOOKS:
            cells = BOOKS[name].cells
            saved = [
                o.data.get("text/html", "")
                for c in cells
                for o in c.get("outputs", [])
                if "data" in o
            ]
            assert seen["players"] == sum("data-course-player" in text for text in saved), name
            solved = sum("solution" in rules.tags(cell) for cell in cells)
            if seen["solutions"].count("false풀이 보기") != solved:
                problems.append(f"{name}: 접힌 풀이 {seen['solutions']}, 풀이 {solved}개")
            page.keyboard.press("Tab")
            found, controls = page.evaluate("accessibility()")
            problems += [f"{name}: {text}" for text in found]
            if seen["players"] and not controls:
                problems.append(f"{name}: 조작기를 하나도 찾지 못했습니다.")

    # 재생기를 실제로 끌어 봅니다
    open_page(page, (out / "05_latent_variables_and_elbo.html").as_uri())
    player = page.locator("[data-course-player]").first
    before = player.locator("img, canvas").first.screenshot()
    player.locator("input[type=range]").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    if player.locator("img, canvas").first.screenshot() == before:
        problems.append("05장의 슬라이더를 움직여도 그림이 그대로입니다.")

    for query, file in [("잠재 변수", "05_latent_variables_and_elbo"), ("변분", "06_vae"),
                        ("elbo", "05_latent_variables_and_elbo"), ("야코비안", "13_nice_realnvp")]:  # fmt: skip
        page.goto((out / "search.html").as_uri() + f"?q={query}")
        page.locator("ul.search li a").first.wait_for(timeout=10_000)
        page.wait_for_function(
            "() => !document.querySelector('#search-results h2')?.innerText.includes('...')"
        )
        if not any(address.startswith(f"{file}.html") for address in links(page)):
            problems.append(f"'{query}'로 {file}을 찾지 못했습니다: {links(page)}")
    page.close()
    assert not problems, "\n".join(problems)
