"""14장 MAF와 IAF의 연습문제 채점."""

import torch

from course_lib.checks import randomise_
from course_lib.exercises import exercise
from course_lib.flows.iaf import IAFLayer
from course_lib.flows.maf import MAFLayer


@exercise("14-1", hint="앞에서부터 하나씩 채웁니다. 다 채운 x를 한 번 더 넣으면 모든 α가 나옵니다.")
def _(answer):
    layer = randomise_(MAFLayer(5, (16,)).double())
    z = torch.randn(7, 5).double()
    with torch.no_grad():
        x, log_det = layer(z)
        answered, answered_det = answer(layer.net, z)
    if not torch.allclose(answered, x):
        return "표본 x가 다릅니다. 걸음마다 지금까지 만든 x를 신경망에 다시 넣었나요?"
    if torch.allclose(answered_det, -log_det):
        return "log_det의 부호가 반대입니다. ∂z/∂x가 아니라 ∂x/∂z입니다."
    return answered_det.shape == (7,) and torch.allclose(answered_det, log_det)


@exercise("14-2", hint="5.1절의 (1)과 (2)에서 괄호를 풀고 이름을 바꿉니다.")
def _(answer):
    maf = randomise_(MAFLayer(4, (8,)).double())
    iaf = IAFLayer(4, (8,)).double()
    x = torch.randn(6, 4).double()

    class Answered(torch.nn.Module):
        def forward(self, v):
            return torch.stack(answer(*maf.net(v).unbind(-1)), -1)

    iaf.net = Answered()
    with torch.no_grad():
        (z, log_det), (want, want_det) = iaf(x), maf.inverse(x)
    if not torch.allclose(log_det, want_det):
        return "log-det가 다릅니다. α'의 부호를 보세요."
    return torch.allclose(z, want)


@exercise("14-3", hint="log q에는 −Σ log σ_t를 더합니다. σ_t = sigmoid(s)입니다.")
def _(answer):
    z, m, s = torch.randn(3, 6, 4).double()
    gate = s.sigmoid()
    answered, change = answer(z, m, s)
    if not torch.allclose(answered, gate * z + (1 - gate) * m):
        return "z_t가 다릅니다."
    if torch.allclose(change, gate.log().sum(1)):
        return "부호가 반대입니다. 공간이 줄어들면 밀도는 커집니다."
    return change.shape == (6,) and torch.allclose(change, -gate.log().sum(1))
