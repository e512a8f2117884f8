"""설치 목록, 문서, 저장소의 위생이 서로 어긋나지 않는지 봅니다."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from course_data import check_course_data
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# 패키지 이름과 import 이름이 다른 것
IMPORT_NAMES = {
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "ipython": "IPython",
    "pytest-xdist": "xdist",
    "pyro-ppl": "pyro",
    "freia": "FrEIA",
}
OWN = {"course", "course_lib", "conftest", "tests", "benchmarks"}


def requirements(*groups: str) -> dict[str, Requirement]:
    """묶음의 이름을 받아 {패키지 이름: 범위}를 돌려줍니다. "core"는 기본 의존성입니다."""
    lines = []
    for group in groups:
        extras = PROJECT["optional-dependencies"]
        lines += PROJECT["dependencies"] if group == "core" else extras[group]
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in parsed}


def all_requirements() -> dict[str, Requirement]:
    return requirements("core", *PROJECT["optional-dependencies"])


def constraints() -> dict[str, Requirement]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    parsed = [Requirement(line) for line in lines]
    assert len(parsed) == len({canonicalize_name(each.name) for each in parsed}), "두 번 적힌 것"
    return {canonicalize_name(each.name): each for each in parsed}


def tracked() -> list[Path]:
    """저장소에 든 파일. git이 없으면 .venv 같은 것을 뺀 모든 파일입니다."""
    try:
        output = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode("utf-8")
        found = [ROOT / name for name in output.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skip = re.compile(
            r"^(\.venv|\.git|\..*_cache|\.hypothesis)|__pycache__|egg-info|data/cache"
        )
        found = [p for p in ROOT.rglob("*") if not skip.search(p.relative_to(ROOT).as_posix())]
    return [path for path in found if path.is_file()]


def benchmark_requirements() -> list[Requirement]:
    path = ROOT / "benchmarks/requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def text_files() -> list[tuple[Path, str]]:
    files = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            text = data.decode("utf-8")
            if path.suffix == ".ipynb":  # 그림의 base64 안에서는 우연히 무엇이든 나올 수 있습니다
                text = re.sub(r"[A-Za-z0-9+/=]{200,}", " ", text)
            files.append((path, text))
    return files


def python_sources() -> list[tuple[str, str]]:
    """(상대 경로, 소스). 노트북은 코드 셀을 이어 붙이고 `%`, `!`로 시작하는 줄을 뺍니다."""
    sources = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py":
            sources.append((name, path.read_text(encoding="utf-8")))
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
            lines = "\n".join(code).splitlines()
            sources.append((name, "\n".join(x for x in lines if not re.match(r"\s*[%!]", x))))
    return sources


# ── 설치 목록 ──────────────────────────────────────────────────────────────────


def test_requirements_go_through_the_constraints():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n")
    assert lines == ["-c constraints.txt", "-e .[course,site,test]", ""]


def test_environment_yml_holds_no_second_list():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python, pip, nested = yaml.safe_load(text)["dependencies"]
    assert pip == "pip"
    assert nested == {"pip": ["-r requirements.txt"]}
    name, version = python.split("=")
    assert name == "python"
    assert SpecifierSet(PROJECT["requires-python"]).contains(version + ".0")


def test_python_range_is_the_one_course_py_checks():
    import course

    allowed = SpecifierSet(PROJECT["requires-python"])
    for minor in range(6, 20):
        expected = course.OLDEST <= (3, minor) <= course.NEWEST
        assert allowed.contains(f"3.{minor}.0") == expected, minor


def test_constraints_pin_every_direct_dependency_and_nothing_else():
    pins, declared = constraints(), all_requirements()
    assert pins.keys() == declared.keys()
    for name, pin in pins.items():
        (specifier,) = pin.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, pin
        assert Version(specifier.version).local is None, f"{pin}: 한 플랫폼에만 있는 판입니다"
        assert pin.marker is None and pin.url is None, pin
        assert declared[name].specifier.contains(specifier.version), (pin, declared[name])


def test_torch_range_and_pin():
    assert str(all_requirements()["torch"].specifier) == "<3,>=2.6"
    assert str(constraints()["torch"].specifier) == "==2.13.0"


def test_benchmarks_are_pinned():
    for requirement in benchmark_requirements():
        assert [each.operator for each in requirement.specifier] == ["=="], requirement


def test_every_dependency_has_a_range():
    for requirement in all_requirements().values():
        assert requirement.specifier, requirement


def imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_is_declared():
    groups = {"course_lib": ("core", "course"), "notebooks": ("core", "course"), "course.py": ()}
    undeclared = {}
    siblings = OWN | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for name, source in python_sources():
        chosen = groups.get(name.split("/")[0], ("core", *PROJECT["optional-dependencies"]))
        declared = set(requirements(*chosen))
        if name.startswith("benchmarks/"):
            declared |= {canonicalize_name(each.name) for each in benchmark_requirements()}
        known = {IMPORT_NAMES.get(each, each.replace("-", "_")) for each in declared}
        # Colab에서만 쓰는 google.colab은 설치하지 않습니다
        missing = imported(source) - known - siblings - sys.stdlib_module_names - {"google"}
        if missing:
            undeclared[name] = sorted(missing)
    assert not undeclared, "pyproject.toml에 없는 패키지"


def test_course_py_needs_only_old_python_and_its_standard_library():
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    assert imported(source) <= set(sys.stdlib_module_names)
    # 버전 안내에 닿기 전에 평가되는 것: 3.6에 없는 문법과 형 표기를 쓰지 않습니다
    for node in ast.walk(tree):
        assert not isinstance(node, ast.NamedExpr | ast.Match | ast.AnnAssign), node.lineno
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.args + node.args.kwonlyargs
            assert not node.returns and not any(a.annotation for a in arguments), node.name
            assert not node.args.posonlyargs, node.name
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__"


# ── 저장소의 위생 ──────────────────────────────────────────────────────────────

# 이 파일 스스로 걸리지 않도록 나누어 적습니다
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "deb." + "debian.org"]
MACHINE_PATH = re.compile(r"(?<![\w.$}/~*-])/" + r"(?:work|root|tmp|opt)/[\w.]")
HOME_PATH = re.compile(r"(?<![\w.$}/~*-])/" + r"(?:home|Users)/\w" + r"|[A-Z]:\\+Users\\")


def machine_paths(text: str) -> list[str]:
    found = [*MACHINE_PATH.finditer(text), *HOME_PATH.finditer(text)]
    return [match.group() for match in found]


@pytest.mark.parametrize("where", ["work/x", "root/.cache", "tmp/a b", "home/kim/x"])
def test_machine_path_pattern_bites(where):
    for before in ("", " ", '"', "'", "(", "=", "\n"):
        assert machine_paths(f"x{before} /{where}") or machine_paths(f"{before}/{where}")
    assert not machine_paths(f"../{where} a/{where} https://example.org/{where}")


def test_no_machine_paths_and_no_registry_hosts():
    for path, text in text_files():
        for host in HOSTS:
            assert host not in text, f"{path.name}: {host}"
        if path.is_relative_to(ROOT / "tests"):  # 시험에는 일부러 쓴 보기가 있습니다
            text = HOME_PATH.sub("", text)
        assert not machine_paths(text), f"{path.name}: {machine_paths(text)}"


def test_text_files_are_utf8_with_unix_line_ends():
    for path, text in text_files():
        assert "\r" not in text, path
        assert not text.startswith("\ufeff"), path


TEXT_CALLS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TextIOWrapper"}
SUBPROCESS_CALLS = {"run", "Popen", "check_output", "check_call"}


def calls_without_encoding(source: str) -> list[int]:
    """텍스트로 읽거나 쓰면서 encoding을 적지 않은 호출의 줄 번호."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
        owner = getattr(getattr(node.func, "value", None), "id", None)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if (
            "encoding" in given
            or None in given
            or any(isinstance(a, ast.Starred) for a in node.args)
        ):
            continue
        if name in SUBPROCESS_CALLS and ({"text", "universal_newlines"} & given.keys()):
            lines.append(node.lineno)
        if name not in TEXT_CALLS or owner in {"gzip", "zipfile", "Image", "wave", "tarfile", "os"}:
            continue
        arguments = [inner for a in [*node.args, *given.values()] for inner in ast.walk(a)]
        literals = [a.value for a in arguments if isinstance(a, ast.Constant)]
        modes = [v for v in literals if isinstance(v, str) and re.fullmatch(r"[rwaxbt+]{1,4}", v)]
        default_binary = name == "NamedTemporaryFile" and not modes
        positional = (name == "read_text" and node.args) or (
            name in {"write_text", "TextIOWrapper"} and len(node.args) > 1
        )
        binary = modes and all("b" in mode for mode in modes)
        if not (default_binary or positional or binary):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, 'rb')", False),
        ("open(p, mode='wb')", False),
        ("open(p, encoding='utf-8')", False),
        ("p.open()", True),
        ("p.open('rb')", False),
        ("p.read_text()", True),
        ("p.read_text('utf-8')", False),
        ("p.write_text(t)", True),
        ("p.write_text(t, encoding='utf-8')", False),
        ("subprocess.run(a, text=True)", True),
        ("subprocess.run(a, text=True, encoding='utf-8')", False),
        ("subprocess.run(a)", False),
        ("gzip.open(p)", False),
        ("open(p, 'ab' if more else 'wb')", False),
        ("open(p, 'ab' if more else 'w')", True),
        ("subprocess.run(a, text=True, timeout=3)", True),
    ],
)
def test_encoding_check_bites(line, bad):
    assert bool(calls_without_encoding(line)) == bad


def test_every_text_file_is_opened_with_an_encoding():
    for name, source in python_sources():
        if name != "tests/test_house.py":
            assert not calls_without_encoding(source), f"{name}: {calls_without_encoding(source)}"


IMPORT_EVERYTHING = """
import importlib, pkgutil, random, sys, warnings
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith((
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request",
)) else None)
import numpy, torch, matplotlib, matplotlib.pyplot, matplotlib.font_manager, sklearn, scipy

def state():
    return dict(
        threads=torch.get_num_threads(), dtype=torch.get_default_dtype(),
        grad=torch.is_grad_enabled(), device=str(torch.get_default_device()),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        validate=torch.distributions.Distribution._validate_args,
        printing=str(vars(torch._tensor_str.PRINT_OPTS)),
        torch_rng=torch.get_rng_state().tolist(), numpy_rng=str(numpy.random.get_state()),
        random_rng=random.getstate(),
        numpy_errors=numpy.geterr(), numpy_printing=str(numpy.get_printoptions()),
        rc=dict(matplotlib.rcParams), backend=matplotlib.get_backend(),
        fonts=sorted(f.fname for f in matplotlib.font_manager.fontManager.ttflist),
        figures=matplotlib.pyplot.get_fignums(),
    )

before = state()
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=EncodingWarning)
warnings.filterwarnings("error", category=EncodingWarning, module="course_lib")
import course_lib
names = [m.name for m in pkgutil.walk_packages(course_lib.__path__, "course_lib.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, f"changed on import: {changed}"
assert not opened, f"network on import: {opened}"
print(len(names))
"""


def test_importing_course_lib_changes_nothing_and_opens_no_socket():
    result = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", IMPORT_EVERYTHING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr[-3000:]
    packages = {path.parent for path in (ROOT / "course_lib").rglob("*.py")}
    modules = [p for p in (ROOT / "course_lib").rglob("*.py") if p.name != "__init__.py"]
    assert int(result.stdout) == len(packages) - 1 + len(modules)


# ── 문서 ──────────────────────────────────────────────────────────────────────


def test_readme_lists_exactly_the_notebooks_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(notebooks/([\w]+\.ipynb)\)", text))
    existing = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert linked == existing


def test_local_links_of_the_documents_exist():
    for path in ROOT.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                assert (ROOT / target).exists(), f"{path.name}: {target}"


# ── CI와 데이터 ────────────────────────────────────────────────────────────────


def test_ci_runs_the_command_of_the_readme():
    command = "python3 course.py test"
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1]
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.data
def test_course_data_is_readable(course_data):
    assert check_course_data() == course_data


def test_unreadable_course_data_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(OSError):
        check_course_data()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist/t10k-labels-idx1-ubyte").write_bytes(b"<html>")
    with pytest.raises(OSError, match="IDX"):
        check_course_data()
    monkeypatch.setenv("COURSE_DATA", "")
    assert check_course_data() is None
