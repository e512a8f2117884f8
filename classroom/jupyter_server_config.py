"""공용 서버의 Jupyter Server 설정. 쓰는 법과 재 본 값은 CLASSROOM.md에 있습니다.

    jupyter lab --config=classroom/jupyter_server_config.py        서버 하나로 확인해 볼 때
    학생 서버가 쓰는 Python의 etc/jupyter/ 폴더에 복사             JupyterHub(TLJH)에서

환경 변수로 바꿀 수 있는 것: COURSE_MEMORY_GB(커널 하나의 메모리, 기본 2), COURSE_IDLE_MINUTES(쉬는 커널을
끝낼 때까지의 시간, 기본 60), COURSE_THREADS(커널 하나의 계산 스레드, 기본 1).
"""

import os

c = get_config()  # noqa: F821 - Jupyter가 넣어 줍니다

# 커널 하나가 코어 하나만 씁니다. 커널은 이 서버의 환경 변수를 물려받습니다
threads = os.environ.setdefault("COURSE_THREADS", "1")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = threads
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # 기다리는 스레드가 코어를 붙들지 않습니다

# 한 사람의 실수가 모두의 메모리를 쓰지 못하게 합니다(Linux). 넘으면 그 셀만 오류로 끝납니다
try:
    import resource

    limit = int(float(os.environ.get("COURSE_MEMORY_GB", "2")) * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
except (ImportError, ValueError, OSError) as error:  # Windows, 또는 이미 더 낮은 한도가 있습니다
    print(f"메모리 한도를 정하지 못했습니다: {error}")

# 쉬는 커널은 창이 열려 있어도 끝냅니다. 계산하고 있는 커널은 끝내지 않습니다
idle = 60 * float(os.environ.get("COURSE_IDLE_MINUTES", "60"))
c.MappingKernelManager.cull_idle_timeout = int(idle)
c.MappingKernelManager.cull_interval = max(1, min(120, int(idle / 2)))
c.MappingKernelManager.cull_connected = True
c.MappingKernelManager.cull_busy = False
c.TerminalManager.cull_inactive_timeout = int(idle)
c.TerminalManager.cull_interval = max(1, min(120, int(idle / 2)))

# 바깥에는 hub(또는 앞에 둔 프록시)만 열고 이 서버는 안에서만 듣습니다. 토큰은 기본값 그대로 둡니다
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.open_browser = False
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
