"""Models that read or write memory that is not their own."""

from __future__ import annotations

from tests.wasi_nn_torch.helpers.attack_rows.row import Harm, row

READS = [
    row(
        "a segment that ends behind the data",
        Harm.READS,
        "4 kB and more of the host's memory, pointers among them",
        """
        offsets = torch.arange(0, 1025)
        return torch.segment_reduce(torch.flatten(x), "sum", offsets=offsets, axis=0, unsafe=True)
        """,
    ),
    row(
        "a segment that starts before the data",
        Harm.READS,
        "4 kB and more of the host's memory, pointers among them",
        """
        offsets = torch.arange(-1024, 1)
        return torch.segment_reduce(torch.flatten(x), "sum", offsets=offsets, axis=0, unsafe=True)
        """,
    ),
    row(
        "samples in a mode that does not exist",
        Harm.READS,
        "memory of the process that was freed: texts, pointers, an earlier session's tensors",
        "return torch.grid_sampler_2d(torch.ones([1, 1, 4, 4]), torch.zeros([1, 32, 32, 2]), 99, 0, True)",
    ),
    row(
        "the inverse of a slice",
        Harm.READS,
        "memory of an earlier session",
        """
        y, _0, _1 = torch.unique_consecutive(torch.zeros([1024]), False, False)
        return torch.slice_inverse(y, torch.zeros([1024]), 0, 0, 1, 1)
        """,
    ),
    row(
        "a bag of embeddings with negative offsets",
        Harm.READS,
        "a word of the memory of the host, in the text of an error",
        """
        y, _0, _1, _2 = torch.embedding_bag(x, torch.tensor([0, 1]), torch.tensor([0, -4096]), False, 0, False)
        return y
        """,
    ),
    row(
        "arithmetic on a sparse tensor with overwritten indices",
        Harm.WRITES,
        "wrote behind a tensor, and read it back",
        """
        y = torch.coalesce(torch.to_sparse(x))
        _0 = torch.fill_(torch.indices(y), 64)
        z = torch.zeros([1024])
        _1 = torch.add_(torch.view(torch.slice(z, 0, 0, 16), [4, 4]), y)
        return z
        """,
    ),
]
