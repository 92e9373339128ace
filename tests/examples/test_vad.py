"""The example that finds speech: a real recording, a real component, a model that remembers what it heard."""

from __future__ import annotations

import importlib
import re
import subprocess
import wave

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import warm
from tests.conftest import ROOT, built

EXAMPLE = ROOT / "examples" / "vad"
FOLDER = "build/vad"
SPEECH = "recordings/speech.wav"
RATE = 16_000
CHUNK = 512


@pytest.fixture(scope="module")
def files():
    built(f"{FOLDER}/fetched")
    built(f"{FOLDER}/guest.wasm")


@pytest.fixture(scope="module")
def segments():
    return guest_module("segments")


@pytest.fixture(scope="module")
def recording():
    return guest_module("recording")


def guest_module(name):
    """A module of the guest that needs no WebAssembly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE / "guest")
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def silero(files):
    """The package of silero-vad. It takes all but one of PyTorch's threads away, which other tests shall have again."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / FOLDER / "package")
        package = importlib.import_module("silero_vad")
    torch.set_num_threads(threads)
    return package


def vad(*arguments, recordings=f"{FOLDER}/recordings", options=("--graph", f"vad={FOLDER}/model.pt")):
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", "--stats", *options]
    command += ["--dir", f"{recordings}::recordings", f"{FOLDER}/guest.wasm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)


def plain(*arguments):
    """The output of silero-vad's own code, in the format of the guest."""
    command = [*warm.python(), str(EXAMPLE / "plain_silero.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / FOLDER, timeout=300).stdout


@pytest.fixture(scope="module")
def found(files):
    """The output of `make vad`."""
    return vad(SPEECH)


def test_the_segments_are_those_of_silero_vad(found):
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == 20
    assert found.stdout == plain(SPEECH)


def test_the_readme_shows_the_first_segments(found):
    shown = re.search(r"^    recordings/.*\n(?:    .*\n)+", (EXAMPLE / "README.md").read_text(), re.MULTILINE)[0]
    assert found.stdout.startswith("".join(line[4:] for line in shown.splitlines(keepends=True)))


def test_only_one_chunk_is_held_at_a_time_and_nothing_is_left(found):
    rows = {" ".join(line.split()) for line in found.stderr.splitlines()}
    assert f"copied guest → host 3,750 {1875 * (4 * CHUNK + 8):,} B" in rows  # the chunk, and the rate
    assert f"peak on host staging 2 {4 * CHUNK + 8:,} B" in rows
    assert {row for row in rows if row.startswith("live on")} == {"live on cpu 0 0 B", "live on host staging 0 0 B"}


def test_the_probabilities_are_exactly_those_of_silero_vad(files):
    heard = vad("--probabilities", SPEECH)
    assert heard.returncode == 0, heard.stderr
    assert len(heard.stdout.splitlines()) == 1 + 1875
    assert heard.stdout == plain("--probabilities", SPEECH)


@pytest.fixture(scope="module")
def pieces(files, tmp_path_factory):
    """Two pieces of the recording, of different lengths."""
    directory = tmp_path_factory.mktemp("recordings")
    with wave.open(str(ROOT / FOLDER / SPEECH)) as speech:
        for name, seconds, length in (("one.wav", 3.0, 96_000), ("two.wav", 40.0, 64_100)):
            speech.setpos(int(seconds * RATE))
            write(directory / name, speech.readframes(length))
    return directory


def write(path, content, *, rate=RATE, channels=1, width=2):
    with wave.open(str(path), "wb") as recording:
        recording.setframerate(rate)
        recording.setnchannels(channels)
        recording.setsampwidth(width)
        recording.writeframes(content)


def test_recordings_heard_side_by_side_do_not_disturb_each_other(pieces):
    names = ["recordings/one.wav", "recordings/two.wav"]
    together = vad("--probabilities", *names, recordings=pieces)
    assert together.returncode == 0, together.stderr
    assert together.stdout == "".join(vad("--probabilities", name, recordings=pieces).stdout for name in names)


def test_what_the_model_heard_before_changes_what_it_says(pieces):
    """Or else the test before this one would pass on one state for all."""
    model = torch.jit.load(ROOT / FOLDER / "model.pt").eval()
    with wave.open(str(pieces / "one.wav")) as recording:
        sound = torch.frombuffer(bytearray(recording.readframes(CHUNK)), dtype=torch.int16) / 32_768
    with torch.inference_mode():
        first, second = model(sound, RATE), model(sound, RATE)
    assert not torch.equal(first, second)


@given(data=st.data())
def test_the_rules_for_segments_are_those_of_silero_vad(segments, silero, data):
    begin, leave = sorted(data.draw(st.tuples(*[st.sampled_from([0.2, 0.35, 0.5, 0.8])] * 2)), reverse=True)
    silence, speech, padding = (data.draw(st.integers(0, most)) for most in (300, 400, 200))  # milliseconds
    levels = st.sampled_from([0.0, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0])
    runs = data.draw(st.lists(st.tuples(levels, st.integers(1, 12)), max_size=20))
    probabilities = [level for level, times in runs for _ in range(times)]
    length = max(0, len(probabilities) * CHUNK - data.draw(st.integers(0, CHUNK - 1)))

    rules = segments.Rules(begin, leave, 16 * silence, 16 * speech, 16 * padding)
    ours = segments.speech_segments(probabilities, CHUNK, length, rules)
    theirs = silero.get_speech_timestamps_from_probs(
        probabilities,
        threshold=begin,
        neg_threshold=leave,
        min_silence_duration_ms=silence,
        min_speech_duration_ms=speech,
        speech_pad_ms=padding,
        audio_length_samples=length,
    )
    assert [(each.start, each.end) for each in ours] == [(each["start"], each["end"]) for each in theirs]


def test_the_rules_are_silero_vads_by_default(segments, silero):
    probabilities = [0.4, *[0.5] * 8, 0.35, *[0.34] * 3, *[0.6] * 9, *[0.1] * 5, *[0.9] * 8, *[0.2] * 5]
    ours = segments.speech_segments(probabilities, CHUNK, len(probabilities) * CHUNK, segments.Rules())
    theirs = silero.get_speech_timestamps_from_probs(probabilities)
    assert [(each.start, each.end) for each in ours] == [(each["start"], each["end"]) for each in theirs]
    assert len(ours) == 2


@pytest.fixture(scope="module")
def unfit(tmp_path_factory):
    """Files that are no recordings for this program."""
    directory = tmp_path_factory.mktemp("unfit")
    write(directory / "fast.wav", bytes(96), rate=48_000, channels=2)
    write(directory / "cut.wav", bytes(96))
    (directory / "cut.wav").write_bytes((directory / "cut.wav").read_bytes()[:-5])
    (directory / "text.wav").write_text("This is no recording.")
    (directory / "short.wav").write_bytes(b"RIFF")
    return directory


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: vad [--probabilities] RECORDING…"),
        (["recordings/nothing.wav"], "recordings/nothing.wav: "),
        (["recordings/text.wav"], "recordings/text.wav: expected a WAV file with PCM samples: "),
    ],
)
def test_a_recording_that_cannot_be_read_ends_with_status_1(files, unfit, arguments, message):
    result = vad(*arguments, recordings=unfit)
    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.wav", "text.wav: expected a WAV file with PCM samples: "),
        ("short.wav", "short.wav: expected a WAV file with PCM samples: it ends too early"),
        ("fast.wav", "fast.wav: expected 16,000 Hz, 1 channel, 16 bits; found 48,000 Hz, 2 channels, 16 bits"),
        ("cut.wav", "cut.wav: 48 samples need 96 bytes, found 91"),
    ],
)
def test_the_error_says_why_a_recording_cannot_be_read(recording, unfit, name, message):
    with pytest.raises(recording.RecordingError, match=re.escape(message)):
        recording.read_recording(unfit / name)


def test_an_empty_recording_has_no_chunks(recording, tmp_path):
    write(tmp_path / "empty.wav", b"")
    assert list(recording.chunks(recording.read_recording(tmp_path / "empty.wav"))) == []


def test_a_model_that_is_not_lent_ends_with_status_1(files):
    result = vad(SPEECH, options=())
    assert result.returncode == 1
    assert "not-found: " in result.stderr
    assert "Traceback" not in result.stderr
