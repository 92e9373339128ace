"""Models that take memory."""

from __future__ import annotations

from tests.wasi_nn_torch.helpers.attack_rows.row import Harm, row

GROWS = [
    row(
        "a text of 2 GB when constants are folded",
        Harm.GROWS,
        "6.3 GB, no other Python code for 31 s",
        """
        s = "a"
        {doublings}
        return torch.add(x, torch.len(s))
        """.replace("{doublings}", "\n        ".join(["s = torch.add(s, s)"] * 31)),
    ),
    row("an output of 2 GB", Harm.GROWS, "4.6 GB at once", "return torch.expand(torch.ones([1]), [536870912])"),
    row(
        "an output of 140 TB",
        Harm.GROWS,
        "MemoryError",
        "return torch.expand(torch.ones([1]), [35184372088832])",
    ),
    row("a tensor of 4 TB", Harm.GROWS, "an error", "return torch.zeros([1099511627776])"),
    row(
        "more and more tensors",
        Harm.GROWS,
        "all memory of the machine",
        """
        ts = [x]
        n = torch.mul(torch.size(x, 0), 262144)
        while True:
          _0 = torch.append(ts, torch.ones([n]))
        return torch.add(x, torch.len(ts))
        """,
    ),
    row(
        "a list that doubles",
        Harm.GROWS,
        "all memory of the machine",
        """
        ns = [1]
        for i in range(34):
          ns = torch.add(ns, ns)
        return torch.add(x, torch.len(ns))
        """,
    ),
    row(
        "a text that doubles",
        Harm.GROWS,
        "all memory of the machine",
        """
        s = "a"
        for i in range(torch.mul(torch.size(x, 0), 9)):
          s = torch.add(s, s)
        return torch.add(x, torch.len(s))
        """,
    ),
    row(
        "a dictionary without end",
        Harm.GROWS,
        "all memory of the machine",
        """
        d = annotate(Dict[int, Tensor], {})
        n = torch.size(x, 0)
        while True:
          torch._set_item(d, n, x)
          n = torch.add(n, 1)
        return torch.add(x, torch.len(d))
        """,
    ),
    row(
        "classes beyond all memory",
        Harm.GROWS,
        "an error",
        "return torch.one_hot(torch.to(torch.flatten(x), 4), 4294967296)",
    ),
    row(
        "a running sum over an expanded tensor",
        Harm.GROWS,
        "an error",
        "return torch.cumsum(torch.expand(torch.ones([1]), [8589934592]), 0)",
    ),
]
