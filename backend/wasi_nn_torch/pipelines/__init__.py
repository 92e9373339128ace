"""Pipelines, components of the world `wasi-nn-torch:pipeline`, as functions on named tensors.

From top to bottom, each imports only those below it:

    calling                       a call of a pipeline: named tensors in, elements out
    results                       what it returned, as it described it
    byte_strings, values          elements of BYTES; named tensors and their descriptions
    datatypes                     the datatypes of the Open Inference Protocol
"""
