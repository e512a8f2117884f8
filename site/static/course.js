// 파일로 열면 브라우저가 다른 쪽의 글을 읽지 못하게 하므로, 찾은 쪽의 미리 보기를 끕니다
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
