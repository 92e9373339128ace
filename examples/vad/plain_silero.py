"""Find speech with silero-vad's own code, to compare: `python plain_silero.py [--probabilities] RECORDING…`.

Takes model and code from `build/vad`.
"""

import sys
import wave
from pathlib import Path

import torch

BUILT = Path(__file__).parents[2] / "build" / "vad"
RATE = 16_000  # samples per second
CHUNK = 512  # samples
PROBABILITIES = "--probabilities"


def samples(path: str) -> torch.Tensor:
    """The recording as numbers between -1 and 1."""
    with wave.open(path) as recording:
        content = bytearray(recording.readframes(recording.getnframes()))
    return torch.frombuffer(content, dtype=torch.int16) / 32_768


def main() -> None:
    """Prints what the guest prints."""
    sys.path.insert(0, str(BUILT / "package"))
    from silero_vad import get_speech_timestamps

    model = torch.jit.load(BUILT / "model.pt").eval()
    for path in sys.argv[1:]:
        if path == PROBABILITIES:
            continue
        sound = samples(path)
        print(f"{path}  {len(sound) / RATE:.2f} s")
        if PROBABILITIES in sys.argv:
            with torch.inference_mode():
                for number, probability in enumerate(model.audio_forward(sound, sr=RATE).flatten().tolist()):
                    print(f"  {number * CHUNK / RATE:7.3f} s  {probability:.9g}")
        else:
            for segment in get_speech_timestamps(sound, model):
                print(f"  {segment['start'] / RATE:6.2f} s … {segment['end'] / RATE:6.2f} s")


if __name__ == "__main__":
    main()
