"""Python with PyTorch in it: processes are forked from one that has imported it, which saves 1.5 s of a processor each.

warm      starts that process; what tests call
server    that process
client    the process that a test starts, which stands for the one that is forked for it
"""

from tests.warm.warm import python

__all__ = ["python"]
