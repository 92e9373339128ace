"""x"""
from __future__ import annotations
from dataclasses import fields
from wasi_nn_torch.pytorch.graphs.computing.batched import BatchedGraph, lanes_on
def batched(graph, batch, warm_up, name):
    return BatchedGraph(**{each.name: getattr(graph, each.name) for each in fields(graph)}, lanes=lanes_on(graph.device))
