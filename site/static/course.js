// 파일로 열면 브라우저가 다른 쪽의 글을 읽지 못하게 하므로, 찾은 쪽의 미리 보기를 끕니다
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// 글 속의 긴 수식은 좁은 화면에서 잘리지 않고 제 상자 안에서 밀립니다
function boxLongMath() {
  for (const math of document.querySelectorAll("span.math")) {
    math.classList.remove("long");
    const block = math.closest("p, li, td, th, dd, blockquote, h1, h2, h3, h4, div");
    math.classList.toggle("long", math.getBoundingClientRect().width > block.clientWidth);
  }
}
addEventListener("load", () => window.MathJax?.startup?.promise?.then(boxLongMath));
addEventListener("resize", boxLongMath);
