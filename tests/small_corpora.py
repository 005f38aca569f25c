"""Made-up corpora in the layouts that `offline` reads."""

import json

import numpy as np
import soundfile

SAYINGS = {
    "neutral": ["It is on the table.", "The bus comes at ten.", "I work on Mondays."],
    "joy": ["I am so happy!", "This is wonderful news.", "Great, I love it!"],
    "sadness": ["I miss her.", "I feel so alone today.", "He died last year."],
    "anger": ["Get out of here!", "I hate this.", "How dare you say that?"],
    "fear": ["I am scared.", "What was that noise in the dark?", "Please don't."],
    "disgust": ["That is disgusting.", "Yuck, it smells bad.", "How gross of him."],
    "surprise": ["Really? No way!", "Oh my God, what?", "I can't believe it."],
}
RAVDESS_NAMES = ("neutral", "calm", "happy")
IEMOCAP_NAMES = ("neutral", "happiness", "excited", "sadness", "anger", "frustration")


def write_lines(file, records):
    """Write JSON Lines; make the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))


def sayings():
    """Every made-up text with its emotion."""
    return [(text, emotion) for emotion, texts in SAYINGS.items() for text in texts]


def sentiment_of(emotion):
    return {"neutral": "neutral", "joy": "positive"}.get(emotion, "negative")


def write_meld(folder, n_dialogues=2):
    for stem in ("train", "dev", "test"):
        write_lines(
            folder / f"{stem}.jsonl",
            [
                {
                    "dialogue": f"meld_{stem}_{number}",
                    "turn": turn,
                    "speaker": ("Ann", "Bob")[turn % 2],
                    "text": text,
                    "emotion": emotion,
                    "sentiment": sentiment_of(emotion),
                }
                for number in range(n_dialogues)
                for turn, (text, emotion) in enumerate(sayings())
            ],
        )


def write_texts(data):
    """GoEmotions and the language model's labels."""
    for stem in ("train", "dev", "test"):
        write_lines(
            data / "goemotions" / f"{stem}.jsonl",
            [{"text": text, "emotions": [emotion]} for text, emotion in sayings()]
            + [{"text": "Oh no, not this again", "emotions": ["anger", "sadness"]}],
        )
    write_lines(
        data / "pseudo_labels" / "labels.jsonl",
        [
            {
                "id": f"x/{number}",
                "text": text,
                "emotion": emotion,
                "sentiment": sentiment_of(emotion),
            }
            for number, (text, emotion) in enumerate(sayings() * 2)
        ],
    )


def write_iemocap(folder):
    records = []
    for session in range(1, 6):
        for turn, name in enumerate(IEMOCAP_NAMES * 2):
            is_rated = name != "frustration"
            records.append(
                {
                    "dialogue": f"Ses{session}",
                    "turn": turn,
                    "session": session,
                    "speaker": f"{session}{'FM'[turn % 2]}",
                    "text": f"Line {turn} of them.",
                    "emotion": name,
                    "is09_row": len(records) if is_rated else None,
                }
            )
    write_lines(folder / "utterances.jsonl", records)
    draw = np.random.default_rng(0)
    features = draw.standard_normal((len(records), 384)).astype(np.float32)
    np.savez(folder / "is09.npz", features=features)


def write_ravdess(folder, actors=(1, 2, 17, 18, 21, 22)):
    draw = np.random.default_rng(0)
    records = []
    for actor in actors:
        for number, name in enumerate(RAVDESS_NAMES):
            file = folder / f"actor{actor:02}" / f"{number}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, draw.normal(0.0, 0.05, 16_000), 16_000)
            records.append(
                {
                    "file": f"actor{actor:02}/{number}.flac",
                    "actor": actor,
                    "emotion": name,
                    "text": "Words.",
                    "voice_start_s": 0.2,
                    "voice_end_s": 0.8,
                }
            )
    write_lines(folder / "clips.jsonl", records)


def write_all(data):
    """All that `offline` wants to find."""
    write_meld(data / "meld")
    write_texts(data)
    write_iemocap(data / "iemocap")
    write_ravdess(data / "ravdess")
