"""Models that flood a log, or return what a host does not expect."""

from __future__ import annotations

import torch

from tests.wasi_nn_torch.helpers import attack_programs
from tests.wasi_nn_torch.helpers.attack_archives import body
from tests.wasi_nn_torch.helpers.attack_rows.row import COLUMNS, Attack, Harm, row

FLOODS = [
    row(
        "twenty thousand warnings with escapes",
        Harm.FLOODS,
        "megabytes and terminal escapes in the host's log",
        """
        s = "\\033[31mred\\n"
        for i in range(12):
          s = torch.add(s, s)
        for i0 in range(20000):
          torch.warn(torch.add(s, torch.str(i0)), 2)
        return x
        """.replace("torch.str(", "str("),
    ),
    row(
        "an error with a text of 64 MB",
        Harm.FLOODS,
        "800 MB, and 8 s at a timeout of 4 s",
        """
        s = "\\033[31mred\\n"
        for i in range(23):
          s = torch.add(s, s)
        ops.prim.RaiseException(s)
        return x
        """,
    ),
]

CONFUSES = [
    row(
        "an output on the device meta",
        Harm.CONFUSES,
        "a traceback in the host's log, status 70",
        'return torch.zeros([4], dtype=None, layout=None, device=torch.device("meta"))',
    ),
    row(
        "an output of a hundred thousand dimensions",
        Harm.CONFUSES,
        "a tensor of 131,072 dimensions",
        """
        sizes = [1]
        for i in range(17):
          sizes = torch.add(sizes, sizes)
        return torch.ones(sizes)
        """,
    ),
    row(
        "a million outputs",
        Harm.CONFUSES,
        "ran on after its timeout",
        """
        ts = [x]
        for i in range(20):
          ts = torch.add(ts, ts)
        return ts
        """,
        "List[Tensor]",
    ),
    row(
        "an output with a name of 64 MB",
        Harm.CONFUSES,
        "600 MB",
        """
        s = "\\033[31mred\\n"
        for i in range(23):
          s = torch.add(s, s)
        return {s: x}
        """,
        "Dict[str, Tensor]",
    ),
    row(
        "one tensor of 64 MB a thousand times",
        Harm.CONFUSES,
        "an error",
        """
        ts = [torch.ones([16777216])]
        for i in range(10):
          ts = torch.add(ts, ts)
        return ts
        """,
        "List[Tensor]",
    ),
    row(
        "a nested tensor",
        Harm.CONFUSES,
        "an error",
        "return torch._nested_tensor_from_mask(torch.ones([2, 2, 4]), torch.tensor([[True, False], [True, True]]))",
    ),
    Attack(
        "writing to a large input, which the host shares with it",
        Harm.CONFUSES,
        "a result",
        lambda: body("return torch.add_(torch.view(x, [-1]), 1.)"),
        inputs=(("x", torch.arange(32768.0).reshape(4, 8192)),),
    ),
    row("complex numbers", Harm.CONFUSES, "an error", "return torch.complex(x, x)"),
    row("a sparse tensor", Harm.CONFUSES, "an error", "return torch.to_sparse(x)"),
    row(
        "a tensor of another layout",
        Harm.CONFUSES,
        "an error",
        "return torch.to_mkldnn(x)",
    ),
    Attack(
        "an exported program that reduces segments behind the data",
        Harm.READS,
        "4 kB and more of the host's memory",
        attack_programs.segments,
        inputs=(("x", COLUMNS),),
    ),
]
