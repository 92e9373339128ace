"""Models that end the process that loads or computes them."""

from __future__ import annotations

from tests.wasi_nn_torch.helpers.attack_archives import chain_of_functions
from tests.wasi_nn_torch.helpers.attack_rows.row import Attack, Harm, row

CRASHES = [
    row("a sum of an unknown dtype", Harm.CRASHES, "SIGSEGV", "return torch.sum(x, dtype=-1)"),
    row(
        "a promotion of unknown dtypes",
        Harm.CRASHES,
        "SIGSEGV",
        """
        n = torch.size(x, 0)
        return torch.add(x, torch.promote_types(torch.sub(n, 9223372036854775807), torch.sub(n, 9)))
        """,
    ),
    row(
        "a resize with tiny scales",
        Harm.CRASHES,
        "SIGSEGV",
        "return torch._upsample_lanczos2d_aa(torch.ones([1, 3, 20, 20]), [400, 400], False, 1e-9, -1e-9)",
    ),
    row(
        "a CTC loss of a huge label",
        Harm.CRASHES,
        "SIGSEGV",
        """
        labels = torch.tensor([[1099511627776, 1, 1]])
        return torch.ctc_loss(torch.zeros([50, 1, 5]), labels, torch.tensor([50]), torch.tensor([3]), 0, 0, False)
        """,
    ),
    row(
        "a reduction of a segment of huge length",
        Harm.CRASHES,
        "SIGSEGV",
        """
        lengths = torch.tensor([1099511627776])
        return torch.segment_reduce(torch.ones([10]), "sum", lengths=lengths, axis=0, unsafe=True)
        """,
    ),
    row(
        "a sparse tensor with overwritten indices",
        Harm.CRASHES,
        "SIGSEGV",
        """
        y = torch.coalesce(torch.to_sparse(x))
        _0 = torch.fill_(torch.indices(y), 1099511627776)
        return torch.to_dense(y)
        """,
    ),
    row(
        "attention without heads",
        Harm.CRASHES,
        "SIGFPE",
        """
        q = torch.ones([1, 2, 8])
        w, b = torch.ones([24, 8]), torch.ones([24])
        y, _0 = torch._native_multi_head_attention(q, q, q, 8, 0, w, b, torch.ones([8, 8]), torch.ones([8]))
        return y
        """,
    ),
    row(
        "a division of integers by zero",
        Harm.CRASHES,
        "SIGFPE",
        """
        n = torch.size(x, 0)
        return torch.add(x, torch.__round_to_zero_floordiv(n, torch.sub(n, 4)))
        """,
    ),
    row(
        "a weight norm of nothing",
        Harm.CRASHES,
        "SIGFPE",
        "return torch._weight_norm(torch.zeros([0]), torch.zeros([0]))",
    ),
    row(
        "a packed sequence whose batches do not add up",
        Harm.CRASHES,
        "SIGABRT, heap corrupted",
        """
        sizes = torch.tensor([4, -1000000])
        y, _0 = torch._pad_packed_sequence(torch.ones([4, 4]), sizes, False, 0, 2)
        return y
        """,
    ),
    row(
        "a division by zero when constants are folded",
        Harm.CRASHES,
        "SIGFPE when it was loaded",
        "return torch.add(x, torch.__round_to_zero_floordiv(4, 0))",
    ),
    row(
        "a promotion of unknown dtypes when constants are folded",
        Harm.CRASHES,
        "SIGSEGV when it was loaded",
        "return torch.add(x, torch.promote_types(-9223372036854775807, -9))",
    ),
    row(
        "the smallest integer divided by -1",
        Harm.CRASHES,
        "SIGFPE",
        """
        n = torch.sub(-9223372036854775807, torch.sub(torch.size(x, 0), 3))
        return torch.add(x, torch.remainder(n, torch.sub(3, torch.size(x, 0))))
        """,
    ),
    row(
        "random numbers in an unknown memory format",
        Harm.CRASHES,
        "SIGSEGV",
        "return torch.randn_like(x, dtype=None, layout=None, device=None, pin_memory=None, memory_format=4)",
    ),
    Attack(
        "a chain of ten thousand functions",
        Harm.CRASHES,
        "SIGSEGV when it was loaded",
        lambda: chain_of_functions(10_000),
        is_slow_to_check=True,
    ),
]
