"""Models that do not end, or not soon."""

from __future__ import annotations

from tests.wasi_nn_torch.helpers import attack_programs
from tests.wasi_nn_torch.helpers.attack_archives import straight_code
from tests.wasi_nn_torch.helpers.attack_rows.row import COLUMNS, Attack, Harm, row

HANGS = [
    row(
        "a loop without end",
        Harm.HANGS,
        "ran on after its timeout",
        """
        n = torch.size(x, 0)
        while True:
          n = torch.add(n, 1)
        return x
        """,
    ),
    row(
        "a loop of operators without end",
        Harm.HANGS,
        "ran on after its timeout",
        """
        y = x
        while True:
          y = torch.relu(torch.add(y, 1.0))
        return y
        """,
    ),
    row(
        "a sum over 35 trillion elements",
        Harm.HANGS,
        "ran on after its timeout",
        "return torch.sum(torch.expand(torch.ones([1]), [35184372088832]))",
    ),
    row(
        "a sum for each of a million rows, by all threads",
        Harm.HANGS,
        "ran on after its timeout",
        "return torch.sum(torch.expand(x, [16777216, 1048576, 4, 4]), [0])",
    ),
    row(
        "a product of huge matrices",
        Harm.HANGS,
        "ran on after its timeout",
        """
        y = torch.mm(torch.ones([6000, 6000]), torch.ones([6000, 6000]))
        while True:
          y = torch.mm(y, y)
        return y
        """,
    ),
    row(
        "singular values of a large matrix",
        Harm.HANGS,
        "ran on after its timeout",
        "return torch.linalg_svdvals(torch.rand([8000, 8000]))",
    ),
    row(
        "all pairs of many points",
        Harm.HANGS,
        "ran on after its timeout",
        "return torch.cdist(torch.ones([8000, 20000]), torch.zeros([8000, 20000]), 3.0)",
    ),
    row(
        "a search for a text in a text",
        Harm.HANGS,
        "ran on after its timeout",
        """
        s = "a"
        for i in range(23):
          s = torch.add(s, s)
        t = torch.add(s, "b")
        return torch.add(x, torch.find(torch.add(s, s), t))
        """,
    ),
    Attack(
        "a megabyte of straight code",
        Harm.HANGS,
        "2.5 s without the GIL",
        lambda: straight_code(1_000_000),
        is_slow_to_check=True,
    ),
    Attack(
        "an exported program with a maximum of 280 sizes",
        Harm.HANGS,
        "44 s with a lock of the process held",
        attack_programs.maximum,
        inputs=(("x", COLUMNS),),
        is_slow_to_check=True,
    ),
]
