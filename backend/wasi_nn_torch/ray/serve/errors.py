"""The errors of deployments."""

from __future__ import annotations


class DeploymentFailed(RuntimeError):
    """A deployment cannot serve; the text names the graph or the pipeline, the node, and the reason."""


class ModelFails(RuntimeError):
    """A graph that has worked does not compute any more, so the replica has to be replaced."""
