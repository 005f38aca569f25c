"""Small made-up copies of the layouts in which corpora are published."""

import json
from functools import cache

import numpy as np
import soundfile
from conftest import AUDIO

RATE_HZ = 16_000
QUIET_S = 0.512  # whole frames of the voice detector

IEMOCAP_TURNS = (  # start, speaker and number, name in the release, words
    (6.29, "F000", "neu", "Excuse me."),
    (9.11, "M000", "fru", "Do you have your forms?"),
    (12.5, "F001", "exc", "Yes, right here!"),
    (15.02, "M001", "xxx", "Let me see them."),
    (18.7, "F002", "hap", "They are all there."),
    (21.3, "M002", "ang", "They are not."),
)
MELD_HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,"
    "Season,Episode,StartTime,EndTime\n"
)
MELD_TIMES = '8,21,"00:16:16,059","00:16:21,731"'
MOSI_VIDEOS = {
    "2iD-tVS8NPw": "train",
    "ZAIRrfG22O0": "validation",
    "c7UH_rxdZv4": "test",
}
MOSI_SCORES = (2.4, 0.0, -0.8)


def write_text(file, text, encoding="utf-8"):
    """Write a text file; make its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))


def write_json_lines(file, records):
    write_text(file, "".join(json.dumps(record) + "\n" for record in records))


def write_silence(file, seconds=0.5):
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.zeros(int(seconds * RATE_HZ)), RATE_HZ)


@cache
def spoken():
    """Samples in which somebody begins to speak, and is cut off."""
    samples, rate_hz = soundfile.read(AUDIO / "ravdess" / "03-01-05-02-01-02-24.flac")
    assert rate_hz == RATE_HZ
    return samples[int(0.8 * RATE_HZ) : 2 * RATE_HZ]


def write_speech(file, quiet_s=0.0, gain=1.0):
    """Write a spoken clip behind some silence."""
    file.parent.mkdir(parents=True, exist_ok=True)
    quiet = np.zeros(round(quiet_s * RATE_HZ))
    soundfile.write(file, np.concatenate([quiet, gain * spoken()]), RATE_HZ)


def write_iemocap(folder, sessions=(1, 2, 3, 4, 5), turns=IEMOCAP_TURNS):
    """A dialogue of six turns for each session, the evaluations out of order."""
    for session in sessions:
        root = folder / "IEMOCAP_full_release" / f"Session{session}"
        name = f"Ses{session:02}F_impro01"
        summaries = [
            f"[{start:.4f} - {start + 2:.4f}]\t{name}_{turn}\t{emotion}"
            "\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n"
            for start, turn, emotion, _ in reversed(turns)
        ]
        head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        write_text(
            root / "dialog" / "EmoEvaluation" / f"{name}.txt",
            head + "\n".join(summaries),
        )
        words = [
            f"{name}_{turn} [{start:08.4f}-{start + 2:08.4f}]: {text}\n"
            for start, turn, _, text in turns
        ]
        write_text(
            root / "dialog" / "transcriptions" / f"{name}.txt",
            "".join(words) + "M: [LAUGHTER]\n",
        )
        for _, turn, _, _ in turns:
            write_silence(root / "sentences" / "wav" / name / f"{name}_{turn}.wav")


def meld_row(text, speaker, emotion, sentiment, dialogue, turn):
    return (
        f'1,"{text}",{speaker},{emotion},{sentiment},{dialogue},{turn},{MELD_TIMES}\n'
    )


def write_meld(folder, rows=None, encoding="utf-8", clips=True):
    """Two turns a split; a .wav for the first, an .mp4 for the second."""
    rows = rows or [
        meld_row("I\x92m fine, thanks.", "Ann", "neutral", "neutral", 0, 0),
        meld_row("No way!", "Bob", "surprise", "positive", 0, 1),
    ]
    root = folder / "MELD.Raw"
    for stem, place in (
        ("train", "train_splits"),
        ("dev", "dev_splits_complete"),
        ("test", "output_repeated_splits_test"),
    ):
        table = root / f"{stem}_sent_emo.csv"
        write_text(table, MELD_HEADER + "".join(rows), encoding)
        if clips:
            write_silence(root / place / "dia0_utt0.wav")
            (root / place / "dia0_utt1.mp4").write_bytes(b"never opened")


def write_mosi(folder, scores=MOSI_SCORES):
    """A video of three segments for each split."""
    root = folder / "Raw"
    labels = []
    for video in MOSI_VIDEOS:
        texts = []
        for segment, score in enumerate(scores, start=1):
            labels.append(f"{segment}.5,{segment}.9,{video},{segment},{score}\n")
            texts.append(f"{segment}_DELIM_SEGMENT {segment} OF IT\n")
            place = root / "Audio" / "WAV_16000" / "Segmented"
            write_silence(place / f"{video}_{segment}.wav")
        place = root / "Transcript" / "Segmented"
        write_text(place / f"{video}.annotprocessed", "".join(texts))
    write_text(root / "Labels" / "OpinionLevelSentiment.csv", "".join(labels))


def write_ravdess(folder, actors=(1, 17, 21)):
    """A clip of calm and one of fear for each actor; a song for the first."""
    for actor in actors:
        place = folder / f"Actor_{actor:02}"
        write_speech(place / f"03-01-02-01-01-01-{actor:02}.wav")
        write_speech(place / f"03-01-06-02-02-01-{actor:02}.wav", QUIET_S)
    write_silence(folder / "Actor_01" / "03-02-02-01-01-01-01.wav")


def write_crema_d(folder, actors=(1001, 1002, 1005), emotions=("ANG",)):
    for actor in actors:
        for emotion in emotions:
            write_speech(folder / "AudioWAV" / f"{actor}_DFA_{emotion}_XX.wav")


def scene(name, *lines, **fields):
    """Records of one dialogue."""
    return [
        {"dialogue": name, "turn": turn, "speaker": "Ann", "text": text, **fields}
        for turn, text in enumerate(lines)
    ]


def write_collected(folder):
    """All of the corpora that have been brought into JSON Lines already."""
    for stem in ("train", "dev", "test"):
        lines = (f"This is the long line of {stem}.", "Oh my God!")
        write_json_lines(
            folder / "meld" / f"{stem}.jsonl",
            scene(f"meld_{stem}_0", *lines, emotion="joy", sentiment="positive"),
        )
        write_json_lines(
            folder / "emorynlp" / f"{stem}.jsonl",
            scene(f"emory_{stem}_kept", "Oh my God!", "It's mine.", emotion="Mad")
            + scene(f"emory_{stem}_calm", "Quite so.", emotion="Peaceful")
            + scene(
                f"emory_{stem}_shared",
                "And?",
                "this is the long line -- of TEST",
                emotion="Sad",
            ),
        )
        comments = [["joy"], ["anger", "sadness"], ["fear"]]
        write_json_lines(
            folder / "goemotions" / f"{stem}.jsonl",
            [{"text": "Words.", "emotions": emotions} for emotions in comments],
        )
    write_collected_iemocap(folder / "iemocap")
    write_collected_ravdess(folder / "ravdess")
    write_collected_mosi(folder / "mosi")


def write_collected_iemocap(folder):
    records = [
        {
            "dialogue": f"Ses{session:02}F_impro01",
            "turn": turn,
            "utterance": f"Ses{session:02}F_impro01_F{turn:03}",
            "session": session,
            "speaker": f"{session:02}F",
            "text": "Words.",
            "emotion": emotion,
            "start_s": 6.5 + turn,
            "end_s": 7.0 + turn,
            "is09_row": row,
        }
        for session in range(1, 6)
        for turn, (emotion, row) in enumerate(
            [
                ("excited", 2 * session - 2),
                ("undecided", None),
                ("anger", 2 * session - 1),
            ]
        )
    ]
    write_json_lines(folder / "utterances.jsonl", records)
    np.savez(folder / "is09.npz", features=np.zeros((10, 384), np.float32))


def write_collected_ravdess(folder, actors=(1, 17, 21)):
    records = []
    for actor in actors:
        name = f"actor{actor:02}/03-01-02-01-01-01-{actor:02}.flac"
        write_silence(folder / name)
        records.append(
            {
                "file": name,
                "actor": actor,
                "emotion": "calm",
                "text": "Kids are talking by the door.",
                "voice_start_s": 0.1,
                "voice_end_s": 0.4,
            }
        )
    write_json_lines(folder / "clips.jsonl", records)


def write_collected_mosi(folder):
    records = [
        {
            "dialogue": f"mosi_{split}",
            "turn": turn,
            "speaker": "reviewer",
            "text": "Words.",
            "score": 1.0 - 2 * turn,
            "sentiment2": ("positive", "negative")[turn],
            "split": split,
            "audio73_row": (3, None)[turn],
        }
        for split in ("train", "dev", "test")
        for turn in (0, 1)
    ]
    write_json_lines(folder / "utterances.jsonl", records)
    np.savez(folder / "audio73.npz", features=np.zeros((4, 73), np.float32))
