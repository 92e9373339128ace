"""Start the server, ask it with curl and Triton's client, print the answers, and stop it: `python demo.py PHOTO…`."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import tritonclient.http as triton
from skimage.io import imread

CONFIG = Path(__file__).with_name("serve.toml")
#: The seconds that the server may take to start, the first time it compiles the pipeline; and to stop.
START, STOP = 300, 60


def main() -> None:
    photos = [Path(argument) for argument in sys.argv[1:]]
    if not photos:
        sys.exit("usage: python demo.py PHOTO…")
    if shutil.which("curl") is None:
        sys.exit("curl is missing; install it")
    with server() as at:
        print("curl, the pipeline")
        for photo in photos:
            show(photo.name, ask_with_curl(at, photo))
        show(CONFIG.name, ask_with_curl(at, CONFIG))
        with triton.InferenceServerClient(at, network_timeout=STOP) as client:
            print("\ntritonclient, the pipeline")
            for photo in photos:
                show(photo.name, ask_pipeline(client, photo.read_bytes(), best=2))
            print("\ntritonclient, the bare model")
            for photo in photos:
                show(photo.name, ask_model(client, imread(photo)))


@contextmanager
def server() -> Iterator[str]:
    """The host and the port where the server answers in the block; then it is stopped."""
    command = [sys.executable, "-m", "wasi_nn_torch", "serve", "--config", str(CONFIG), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        if process.stderr is None:
            raise RuntimeError("the server has no log")
        alarm = threading.Timer(START, process.kill)
        reader = threading.Thread(target=process.stderr.read)  # a full pipe would stop the server
        alarm.start()
        try:
            at = address(process.stderr)
            alarm.cancel()
            reader.start()
            yield at
            process.send_signal(signal.SIGTERM)
            print(f"\nthe server ended with status {process.wait(STOP)}")
        finally:
            alarm.cancel()
            process.kill()
            if reader.is_alive():
                reader.join()


def address(log: IO[str]) -> str:
    """Where the server listens, as its log says once it answers."""
    lines = []
    for line in log:
        lines.append(line)
        if found := re.match(r"serving on http://(.*)", line):
            return found[1]
    sys.exit(f"the server did not start:\n{''.join(lines)}")


def ask_with_curl(at: str, photo: Path) -> list[str]:
    """What the pipeline answers; the body of the request is a JSON header, then the content of the file."""
    element = with_length(photo.read_bytes())
    tensor = {"name": "photo", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    with tempfile.NamedTemporaryFile() as request:
        request.write(header + element)
        request.flush()
        command = ["curl", "--silent", "--show-error", f"http://{at}/v2/models/photos/infer"]
        command += ["-H", f"Inference-Header-Content-Length: {len(header)}", "--data-binary", f"@{request.name}"]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=STOP).stdout)
    if "error" in answer:
        return [f"error: {answer['error']}"]
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return lines(outputs["names"], outputs["probabilities"])


def with_length(content: bytes) -> bytes:
    """An element of the datatype BYTES in binary form."""
    return len(content).to_bytes(4, "little") + content


def ask_pipeline(client: Any, content: bytes, best: int) -> list[str]:  # noqa: ANN401  # tritonclient has no types
    """What the pipeline answers for the content of a file."""
    photo = triton.InferInput("photo", [1], "BYTES")
    photo.set_data_from_numpy(np.array([content], dtype=object))
    answer = client.infer("photos", [photo], parameters={"best": best})
    return lines([name.decode() for name in answer.as_numpy("names")], answer.as_numpy("probabilities"))


def ask_model(client: Any, pixels: np.ndarray) -> list[str]:  # noqa: ANN401  # tritonclient has no types
    """What the model answers for pixels: it knows numbers of classes, no names."""
    image = triton.InferInput("image", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels)
    probabilities = client.infer("classifier", [image]).as_numpy("probabilities")
    best = probabilities.argsort()[::-1][:2]
    return lines([f"class {number}" for number in best], probabilities[best])


def lines(names: list[str], probabilities: Any) -> list[str]:  # noqa: ANN401  # a list or an array of numbers
    return [f"{probability:6.1%}  {name}" for name, probability in zip(names, probabilities, strict=True)]


def show(about: str, answer: list[str]) -> None:
    for index, line in enumerate(answer):
        print(f"  {about if index == 0 else '':12}  {line}")


if __name__ == "__main__":
    main()
