"""A worker that answers with lies, as one would that a model has taken over."""

from __future__ import annotations

import os
import struct

from wasi_nn_torch.pytorch.isolation.messages import Reader, Request, Writer
from wasi_nn_torch.workers.channel import Channel


def serve(channel: Channel) -> None:
    while True:
        content, _ = channel.receive_with_descriptors()
        reader = Reader(content)
        if reader.byte() != Request.LOAD:
            channel.send(Writer().byte(0).content)
            continue
        lie = reader.text()
        if lie == "noise":
            channel.send(os.getrandom(1000) if hasattr(os, "getrandom") else bytes(range(256)))
        elif lie == "long":
            os.write(channel.fileno(), struct.pack("<I", 0xFFFFFFFF))
        elif lie == "too much":
            channel.send(Writer().byte(0).number(1, 2, 3, 4).content)
        else:
            os._exit(0)
