"""정적 사이트의 Sphinx 설정. 원고는 course_lib/site.py가 이 폴더의 사본 옆에 만듭니다."""

import gettext
import re

from docutils import nodes
from sphinx.locale import translators
from sphinx.search import SearchLanguage

project = "딥 생성 모델 강의"
html_title = project
language = "ko"
root_doc = "index"
extensions = ["myst_nb"]
exclude_patterns = ["extra", "static", "**/OFL.txt"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 2
myst_links_external_new_tab = True

html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["static"]
html_extra_path = ["extra"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
html_permalinks_icon = "#"

# 내보내기(course_lib/export.py)와 같은 MathJax 3. django-static-mathjax의 파일을 그대로 씁니다
mathjax_path = "mathjax.js"
mathjax3_config = {
    "tex": {"processEscapes": True, "processEnvironments": True, "tags": "ams"},
    "svg": {"fontCache": "global"},
    "options": {
        "enableMenu": False,
        "ignoreHtmlClass": "tex2jax_ignore|mathjax_ignore",
        "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area",
    },
}


class SearchKorean(SearchLanguage):
    """한글 낱말의 앞부분도 함께 색인해, '변분'으로 '변분을'이나 '변분추론'을 찾게 합니다."""

    lang = "ko"
    language_name = "Korean"

    def split(self, text):
        words = []
        for word in self._word_re.findall(text):
            words.append(word)
            # '잠재 변수를', 'ELBO를'처럼 조사가 붙은 말
            stem = re.match(r"[A-Za-z][A-Za-z0-9_]*(?=[가-힣])", word)
            words += [stem[0]] if stem else []
            if re.match(r"[가-힣]{3}", word):
                words += [word[:n] for n in range(2, min(len(word), 8))]
        return words


KOREAN = {
    "Skip to content": "본문으로",
    "Back to top": "맨 위로",
    "On this page": "이 쪽의 차례",
    "Search": "찾기",
    "Next": "다음",
    "Previous": "이전",
    "Home": "첫 쪽",
}


class Korean(gettext.NullTranslations):
    """Sphinx의 한국어 번역에 없는 테마의 말."""

    def gettext(self, message):
        return KOREAN.get(message.strip(), message)


LABELS = {
    "Toggle Light / Dark / Auto color theme": "밝은 화면과 어두운 화면 바꾸기",
    "Toggle site navigation sidebar": "강의 차례 여닫기",
    "Toggle table of contents sidebar": "이 쪽의 차례 여닫기",
}


def korean_labels(app, exception):
    if exception is None:
        for path in app.outdir.glob("*.html"):
            text = path.read_text(encoding="utf-8")
            for english, korean in LABELS.items():
                text = text.replace(english, korean)
            path.write_text(text, encoding="utf-8")


def plain_equations(app, doctree):
    """`$$…$$`를 쓴 그대로 MathJax에 넘깁니다. Sphinx가 split으로 감싸면 \\tag를 쓸 수 없습니다."""
    for node in doctree.findall(nodes.math_block):
        if not node.get("no-wrap", node.get("nowrap")):
            node["no-wrap"] = node["nowrap"] = True
            node.children = [nodes.Text(r"\[" + node.astext().strip() + r"\]")]


def setup(app):
    app.connect("doctree-read", plain_equations)
    translators["general", "sphinx"].add_fallback(Korean())
    app.add_search_language(SearchKorean)
    app.connect("build-finished", korean_labels)
