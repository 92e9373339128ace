"""The options of batches in `--graph NAME=PATH,…`, and their figures in the table of statistics."""

from __future__ import annotations

import pytest
import typer

from wasi_nn_torch import Batch, BatchFigures
from wasi_nn_torch.cli import stats_table
from wasi_nn_torch.cli.graph_option import parse_graph
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.sessions.stats import SessionStats

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        ("batch=16", Batch()),
        ("batch=32,delay=5ms", Batch(max_size=32, max_delay=0.005)),
        ("batch=8,delay=0", Batch(max_size=8, max_delay=0.0)),
        ("queue=10,batch=8,preferred=4+8", Batch(max_size=8, preferred=(4, 8), max_queue=10)),
        ("batch=16,batch-trial=no", Batch(trial=False)),
        ("device=cpu", None),
    ],
)
def test_the_options_of_batches(options, batch):
    offered = parse_graph(f"net=model,with,commas.pt2,{options}")
    assert offered.path == "model,with,commas.pt2"
    assert offered.options.batch == batch


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("batch=many", "batch is `many`; give a whole number"),
        ("batch=1", "max_size is 1; give a whole number of at least 2"),
        ("batch=4,preferred=2+x", "preferred is `x`; give a whole number"),
        ("batch=4,preferred=8", "the preferred size 8 is above max_size, which is 4"),
        ("batch=4,delay=soon", "`soon` is not a duration"),
        ("batch=4,batch-trial=perhaps", "batch-trial is `perhaps`; expected yes or no"),
        ("delay=2ms", "delay is about batches; give their size too, such as batch=16"),
    ],
)
def test_options_that_are_not_valid_are_refused(options, text):
    with pytest.raises(typer.BadParameter) as refusal:
        parse_graph(f"net=model.pt2,{options}")
    assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("optimise=none", "unknown option `optimise`; did you mean `optimize`?"),
        ("warm_up=yes", "unknown option `warm_up`; did you mean `warm-up`?"),
        ("dtype=bool", "unknown option `dtype`; did you mean `dtype.INPUT`?"),
        ("dtypes.x=bool,device=cpu", "unknown option `dtypes`; expected one of `device`"),
        ("color=red", "unknown option `color`; expected one of `device`, `optimize`, `method`, `dtype.INPUT`"),
    ],
)
def test_an_unknown_option_is_named(option, text):
    with pytest.raises(typer.BadParameter) as refusal:
        parse_graph(f"net=model.pt2,{option}")
    assert text in str(refusal.value)


def test_a_file_may_have_a_name_that_looks_like_an_option(tmp_path):
    path = tmp_path / "model,epoch=3"
    path.touch()
    assert parse_graph(f"net={path},device=cpu").path == str(path)


def test_the_table_shows_batches(capsys):
    figures = BatchFigures(
        requests=10,
        sizes={4: 2, 2: 1},
        queue_seconds=0.005,
        longest_wait=0.002,
        compute_seconds=0.003,
        failed_together=1,
        refused=0,
        withdrawn=0,
    )
    stats = SessionStats({}, "none", Ledger().snapshot(), 0.0, False, 0.0, batching={"net": figures})
    stats_table.print_stats(stats)
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    assert "batches of net, mean size 3 3.3" in lines
    assert "waiting for them 10 5.0 ms" in lines
    assert "computing them 3.0 ms" in lines
    assert "failed together 1" in lines
    assert not any("refused" in line for line in lines)
