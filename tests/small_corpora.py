"""Made-up corpora in the form that `offline` reads: words, clips, published numbers."""

import json

import numpy as np
import soundfile

from offline.corpora.form import SPLITS, FeatureRow, Utterance, write_corpus

SAYINGS = {
    "neutral": ["It is on the table.", "The bus comes at ten.", "I work on Mondays."],
    "joy": ["I am so happy!", "This is wonderful news.", "Great, I love it!"],
    "sadness": ["I miss her.", "I feel so alone today.", "He died last year."],
    "anger": ["Get out of here!", "I hate this.", "How dare you say that?"],
    "fear": ["I am scared.", "What was that noise in the dark?", "Please don't."],
    "disgust": ["That is disgusting.", "Yuck, it smells bad.", "How gross of him."],
    "surprise": ["Really? No way!", "Oh my God, what?", "I can't believe it."],
}
ACTED_EMOTIONS = ("neutral", "joy", "anger")


def sayings():
    """Every made-up text with its emotion."""
    return [(text, emotion) for emotion, texts in SAYINGS.items() for text in texts]


def write_words(folder, n_dialogues=2):
    """Dialogues of two, every emotion in each."""
    for split in SPLITS:
        write_corpus(
            folder / f"{split}.jsonl",
            [
                Utterance(
                    dialogue=f"{split} {number}",
                    turn=turn,
                    speaker=("Ann", "Bob")[turn % 2],
                    text=text,
                    emotion=emotion,
                )
                for number in range(n_dialogues)
                for turn, (text, emotion) in enumerate(sayings())
            ],
        )


def write_published(folder, width=384, key="is09"):
    """Dialogues with words and published numbers of the voice; two make a session."""
    draw = np.random.default_rng(width)
    for split in SPLITS:
        lines = [
            Utterance(
                dialogue=f"{split} {number}",
                turn=turn,
                speaker=("Cat", "Dan")[turn % 2],
                text=text if turn % 5 else None,
                emotion=emotion if turn % 4 else None,
                features=FeatureRow(f"{split}.npz", key, 30 * number + turn)
                if turn % 3
                else None,
                session=f"{split} {number // 2}",
            )
            for number in range(3)
            for turn, (text, emotion) in enumerate(sayings())
        ]
        write_corpus(folder / f"{split}.jsonl", lines)
        numbers = draw.standard_normal((90, width)).astype(np.float32)
        np.savez(folder / f"{split}.npz", **{key: numbers})


def write_recording(file, seconds=1.0, seed=0):
    """Noise of 16 kHz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    soundfile.write(file, draw.normal(0.0, 0.05, int(seconds * 16_000)), 16_000)


def write_clips(folder, actors=("1", "2")):
    """Acted clips, other people in each split, one recording of each person."""
    for split in SPLITS:
        lines = []
        for actor in actors:
            name = f"audio/{split}_{actor}.wav"
            write_recording(folder / name, len(ACTED_EMOTIONS), seed=len(lines))
            for number, emotion in enumerate(ACTED_EMOTIONS):
                lines.append(
                    Utterance(
                        dialogue=f"{split} {actor} {number}",
                        turn=0,
                        speaker=f"{split} {actor}",
                        text="Kids are talking by the door.",
                        audio=name,
                        start_s=number + 0.2,
                        end_s=number + 0.8,
                        emotion=emotion,
                    )
                )
        write_corpus(folder / f"{split}.jsonl", lines)


def write_labels(file, n_rounds=2):
    """What a language model said of the sayings."""
    lines = [
        {
            "id": f"x/{number}",
            "text": text,
            "emotion": emotion,
            "sentiment": {"neutral": "neutral", "joy": "positive"}.get(
                emotion, "negative"
            ),
        }
        for number, (text, emotion) in enumerate(sayings() * n_rounds)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
