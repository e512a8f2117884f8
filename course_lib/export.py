"""실행된 노트북을 네트워크 없이 열리는 HTML 한 파일(문서 또는 슬라이드)로 바꿉니다.

수식은 MathJax 3(SVG), 슬라이드는 reveal.js를 파일 안에 그대로 담습니다. 둘 다 pip로 설치된
꾸러미(django-static-mathjax, pyreveal)에서 꺼내므로 인터넷도 npm도 필요하지 않습니다.
"""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.exporters.slides import SlidesExporter

__all__ = [
    "FONTS",
    "mathjax_source",
    "offline_html",
    "offline_slides",
    "presentable",
    "speaker_notes",
]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"^[^\n]*\d+%\|[^\n]*\|[^\n]*\[[^\n]*\]\s*$")


def _asset(package: str, pip_name: str, path: str) -> str:
    """pip로 설치된 꾸러미 안의 텍스트 파일 하나."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.submodule_search_locations[0], path) if spec else None
    if file is None or not file.is_file():
        raise FileNotFoundError(
            f"{pip_name} 꾸러미가 없어 오프라인 문서를 만들 수 없습니다. "
            "python3 course.py로 환경을 다시 준비해 주세요."
        )
    return file.read_text(encoding="utf-8")


def _script(source: str) -> str:
    # HTML 안에서 </script>가 나오면 스크립트가 거기서 끝나므로 막아 둡니다
    return "<script>" + source.replace("</script", r"<\/script") + "</script>"


MATHJAX_SETUP = r"""
window.MathJax = {
  tex: {inlineMath: [['$', '$'], ['\\(', '\\)']], displayMath: [['$$', '$$'], ['\\[', '\\]']],
        processEscapes: true, processEnvironments: true, tags: 'ams'},
  svg: {fontCache: 'global'},
  options: {enableMenu: false, skipHtmlTags: {'[+]': ['svg', 'button', 'select']}},
};
"""

FONTS = '"Apple SD Gothic Neo", "Malgun Gothic", "NanumGothic", "Noto Sans KR", "Noto Sans CJK KR"'

STYLE = f"""
<style>
:root {{ --jp-content-font-family: system-ui, {FONTS}, sans-serif;
        --jp-ui-font-family: system-ui, {FONTS}, sans-serif;
        --jp-code-font-family: "D2Coding", Menlo, Consolas, "DejaVu Sans Mono", "NanumGothicCoding",
                               {FONTS}, monospace; }}
.jp-RenderedHTMLCommon {{ word-break: keep-all; overflow-wrap: anywhere; }}
.jp-RenderedHTMLCommon table {{ font-size: inherit; display: block; overflow-x: auto; }}
.jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th {{ overflow-wrap: break-word; }}
.jp-OutputArea-output img, .jp-RenderedMarkdown img {{ max-width: 100%; height: auto; }}
.jp-OutputArea-output, .jp-RenderedMarkdown pre {{ overflow-x: auto; }}
mjx-container[display="true"] {{ overflow-x: auto; overflow-y: hidden; padding: 2px 0; }}
.jp-RenderedMarkdown pre, .jp-RenderedMarkdown code {{ font-family: var(--jp-code-font-family);
        font-size: var(--jp-code-font-size); overflow-wrap: normal; }}
.jp-OutputArea-output.jp-RenderedMarkdown .highlight {{ padding: 6px 10px; overflow-x: auto;
        background: var(--jp-cell-editor-background); }}
.jp-OutputArea-output.jp-RenderedMarkdown .highlight pre {{ white-space: pre; margin: 0;
        background: transparent;
        line-height: var(--jp-code-line-height); }}
.source-hidden > summary {{ margin-left: var(--jp-cell-prompt-width); cursor: pointer;
        color: var(--jp-content-font-color2); }}
@media (max-width: 600px) {{
  body.jp-Notebook {{ padding: 0.5em; }}
  .jp-InputPrompt, .jp-OutputPrompt, .jp-Collapser {{ display: none; }}
}}
</style>
"""

# 접힌 풀이 셀은 HTML에서도 눌러야 펼쳐지게 하고, 그림에는 저장된 대체 텍스트를 답니다
BLOCKS = """
{%- block data_png -%}
{%- set width = output | get_metadata('width', 'image/png') -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img alt="{{ (output | get_metadata('alt', 'image/png') or '그림') | escape_html }}"
{% if width %}width="{{ width }}"{% endif %}
src="data:image/png;base64,{{ output.data['image/png'] | replace('\n', '') }}">
</div>
{%- endblock data_png -%}
{%- block input_group -%}
{%- if cell.metadata.get('jupyter', {}).get('source_hidden') -%}
<details class="source-hidden"><summary>풀이 보기</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock input_group -%}
"""

PAGE = (
    """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{{ resources.course_mathjax }}{%- endblock -%}
{%- block html_head_css -%}{{ resources.course_style }}{%- endblock -%}
"""
    + BLOCKS
)

DECK = (
    """
{%- extends 'reveal/index.html.j2' -%}
{%- block header -%}
<!DOCTYPE html>
<html lang="ko">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1.0" />
<title>{{ nb.metadata.get('title', resources['metadata']['name']) | escape_html }}</title>
{{ resources.include_css("static/index.css") }}
{{ resources.include_css("static/theme-light.css") }}
{%- for css in resources.inlining.css %}<style>{{ css }}</style>{% endfor -%}
<style>{{ resources.course_reveal_css }}</style>
{{ resources.course_style }}
{{ resources.course_mathjax }}
</head>
{%- endblock header -%}
{%- block footer_js -%}
{{ resources.course_reveal_js }}
{%- endblock footer_js -%}
"""
    + BLOCKS
)

DECK_STYLE = """
<style>
:root { --jp-content-font-size1: 24px; --jp-ui-font-size1: 20px; --jp-code-font-size: 18px;
        --jp-cell-prompt-width: 0px; }
html, body.jp-Notebook, main { height: 100%; margin: 0; padding: 0; overflow: hidden; }
.reveal { font-family: var(--jp-content-font-family); color: #1b1b1b; }
.reveal .slides { text-align: left; }
.reveal .slides > section, .reveal .slides > section > section { padding: 0 12px; height: 100%;
        box-sizing: border-box; overflow-y: auto; }
.reveal .slides > section.stack { padding: 0; overflow: visible; }
.reveal .jp-Cell { padding: 2px 0; }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt, .reveal .jp-Collapser { display: none; }
.reveal .jp-RenderedHTMLCommon { padding-right: 0; line-height: 1.55; }
.reveal .jp-RenderedHTMLCommon h1 { font-size: 1.9em; }
.reveal .jp-RenderedHTMLCommon h2 { font-size: 1.5em; }
.reveal .jp-OutputArea-output img { max-height: 560px; }
.reveal a.anchor-link { display: none; }
</style>
"""

# 숨은 슬라이드의 수식도 미리 그려야 하므로 MathJax가 끝난 뒤에 시작합니다. 긴 코드 줄은 글자를 줄이거나
# 접고, 한 화면을 넘는 장은 화면에 들어올 때까지 줄이되 SMALLEST보다 작아지지는 않습니다(그래도 넘치면
# 스크롤합니다)
DECK_START = """
const SMALLEST = 0.6, SMALLEST_CODE = 0.75;
const tooWide = box => box.scrollWidth > box.clientWidth + 1;
function fitSlide(slide) {
  if (!slide || slide.dataset.fitted) return;
  for (const code of slide.querySelectorAll('.highlight pre')) {
    if (!tooWide(code)) continue;
    const share = Math.max(SMALLEST_CODE, 0.98 * code.clientWidth / code.scrollWidth);
    code.style.fontSize = share * parseFloat(getComputedStyle(code).fontSize) + 'px';
    if (tooWide(code)) Object.assign(code.style, {whiteSpace: 'pre-wrap', overflowWrap: 'anywhere'});
  }
  const cells = [...slide.children].filter(child => child.tagName !== 'ASIDE');
  const boxes = slide.querySelectorAll('.jp-RenderedMarkdown, mjx-container[display="true"]');
  const overflows = () => slide.scrollHeight > slide.clientHeight + 1 || [...boxes].some(tooWide);
  const zoom = size => cells.forEach(child => child.style.zoom = size);
  let size = 1;
  while (size > SMALLEST && overflows()) zoom(size -= 0.05);
  slide.dataset.fitted = size.toFixed(2);
}
window.MathJax.startup.promise.then(() => Reveal.initialize({
  hash: true, slideNumber: 'c/t', center: false, width: 1100, height: 720, margin: 0.05,
  transition: 'none', plugins: [RevealNotes],
}).then(() => {
  Reveal.on('slidechanged', event => fitSlide(event.currentSlide));
  fitSlide(Reveal.getCurrentSlide());
  window.__deck_ready = true;
}));
"""


def presentable(nb) -> nbformat.NotebookNode:
    """정적인 문서에서 뜻이 없는 출력(살아 있는 위젯의 번호, 0 %에 멈춘 진행 막대)을 뺀 사본."""
    nb = copy.deepcopy(nb)
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        kept = []
        for output in cell.get("outputs", []):
            data = output.get("data")
            if data is not None:
                data.pop(WIDGET_VIEW, None)
                if set(data) <= {"text/plain"} and PROGRESS_BAR.match(data.get("text/plain", "")):
                    continue
            kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept
    return nb


def mathjax_source() -> str:
    """MathJax 3 전체(TeX 입력, SVG 출력)의 스크립트."""
    return _asset("mathjax", "django-static-mathjax", "static/mathjax/es5/tex-svg-full.js")


def _mathjax() -> str:
    return _script(MATHJAX_SETUP) + _script(mathjax_source())


def _resources(nb, name: str) -> dict:
    return {"metadata": {"name": nb.metadata.get("title", name)}, "course_mathjax": _mathjax()}


def offline_html(nb, name: str, folder: Path) -> str:
    """노트북 `nb`를 그 자체로 완결된 HTML로 바꿉니다. `folder`는 상대 경로 그림을 찾을 곳입니다."""
    exporter = HTMLExporter(raw_template=PAGE, embed_images=True, language_code="ko")
    resources = _resources(nb, name) | {"course_style": STYLE}
    resources["metadata"]["path"] = str(folder)
    return exporter.from_notebook_node(presentable(nb), resources)[0]


NOTE = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.M | re.S)


def _halves(text: str, most: int = 1100) -> list[str]:
    """`most` 글자를 넘는 유도는 번호가 붙은 단계(`**(3)`)에서 가운데쯤을 자릅니다."""
    cuts = [found.start() for found in re.finditer(r"^\*\*\(\w+\)", text, re.M)]
    cuts = [cut for cut in cuts if 250 <= cut <= len(text) - 250]
    if len(text) <= most or not cuts:
        return [text]
    cut = min(cuts, key=lambda cut: abs(cut - len(text) / 2))
    return [text[:cut], *_halves(text[cut:], most)]


def _split_long(cell) -> list:
    """한 장에 넘치는 Markdown 셀을 소제목과 유도의 단계에서 여러 장으로 나눕니다. 짧은 토막은 앞 장에 둡니다."""
    kind = cell.metadata.get("slideshow", {}).get("slide_type")
    if cell.cell_type != "markdown" or kind not in ("slide", "subslide") or len(cell.source) < 700:
        return [cell]
    parts = [""]
    for piece in re.split(r"^(?=#{2,4} )", cell.source, flags=re.M):
        if len(parts[-1]) < 250:
            parts[-1] += piece
        else:
            parts.append(piece)
    if len(parts) > 1 and len(parts[-1]) < 100:
        parts[-2:] = ["".join(parts[-2:])]
    parts = [half for part in parts for half in _halves(part)]
    cells = [copy.deepcopy(cell) for _ in parts]
    for number, (part, text) in enumerate(zip(cells, parts, strict=True)):
        part.source = text.strip()
        if number:
            part.id = f"{cell.id}-{number + 1}"
            part.metadata["slideshow"] = {"slide_type": "subslide"}
    return cells


def _note(cell, notes: dict[str, str]) -> list:
    if cell.id not in notes:
        return []
    metadata = {"slideshow": {"slide_type": "notes"}}
    return [nbformat.v4.new_markdown_cell(notes[cell.id], metadata=metadata, id=f"{cell.id}-note")]


def speaker_notes(text: str, ids: set[str]) -> dict[str, str]:
    """발표자 노트 파일의 글: `## 셀 id` 아래의 Markdown이 그 셀이 든 장의 노트입니다.

    Raises:
        ValueError: 슬라이드에 없는 셀의 노트나 같은 셀의 노트가 둘 있을 때.
    """
    found = NOTE.findall(text)
    unknown = sorted({id for id, _ in found} - ids)
    notes = {id: body.strip() for id, body in found if body.strip()}
    if unknown or len(notes) < len(found):
        raise ValueError(
            f"발표자 노트에 슬라이드에 없는 셀이 있거나({', '.join(unknown) or '없음'}), 비었거나 겹친 "
            "노트가 있습니다."
        )
    return notes


def offline_slides(nb, name: str, folder: Path) -> str:
    """`slideshow.slide_type`이 적힌 노트북을 그 자체로 완결된 reveal.js 슬라이드로 바꿉니다.

    `folder`의 `speaker_notes/이름.md`가 있으면 발표자 창(S)에 그 노트가 나옵니다. slide_type은 slide, subslide, fragment, skip, notes 가운데 하나이고, 비어 있으면 앞 셀과 같은
    장에 이어집니다. `hide-input` 태그가 붙은 셀은 코드를 빼고 출력만 보여 주고, `solution` 셀은
    슬라이드에 넣지 않습니다.

    Raises:
        ValueError: slide나 subslide로 표시된 셀이 하나도 없을 때.
    """
    kinds = [cell.metadata.get("slideshow", {}).get("slide_type", "") for cell in nb.cells]
    if not {"slide", "subslide"} & set(kinds):
        raise ValueError(
            f"{name}에는 슬라이드로 표시된 셀이 없습니다. JupyterLab 오른쪽 위의 톱니바퀴에서 "
            "슬라이드 종류를 골라 주세요."
        )
    nb = presentable(nb)
    nb.cells = [cell for cell in nb.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in nb.cells:
        if "hide-input" in cell.metadata.get("tags", []):
            cell.metadata["transient"] = {"remove_source": True}
    nb.cells = [part for cell in nb.cells for part in _split_long(cell)]
    file = Path(folder, "speaker_notes", f"{name}.md")
    if file.is_file():
        seen = [c for c in nb.cells if c.metadata.get("slideshow", {}).get("slide_type") != "skip"]
        notes = speaker_notes(file.read_text(encoding="utf-8"), {cell.id for cell in seen})
        nb.cells = [part for cell in nb.cells for part in (cell, *_note(cell, notes))]
    exporter = SlidesExporter(raw_template=DECK, embed_images=True, language_code="ko")
    reveal = [
        _asset("pyreveal", "pyreveal", f"revealjs/dist/{file}")
        for file in ("reveal.css", "reveal.js", "plugin/notes.js")
    ]
    resources = _resources(nb, name) | {
        "course_style": STYLE + DECK_STYLE,
        "course_reveal_css": reveal[0],
        "course_reveal_js": _script(reveal[1]) + _script(reveal[2]) + _script(DECK_START),
    }
    resources["metadata"]["path"] = str(folder)
    return exporter.from_notebook_node(nb, resources)[0]
