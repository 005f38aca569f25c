"""What corpora call an emotion or a sentiment, in our names: the one table of it."""

from __future__ import annotations

from stream_erc.flow import EMOTIONS, SENTIMENTS

EMOTION_NAMES = {
    **{name: name for name in EMOTIONS},
    "angry": "anger",
    "ang": "anger",
    "mad": "anger",
    "disgusted": "disgust",
    "dis": "disgust",
    "fearful": "fear",
    "fea": "fear",
    "scared": "fear",
    "happy": "joy",
    "hap": "joy",
    "happiness": "joy",
    "excited": "joy",
    "exc": "joy",
    "joyful": "joy",
    "calm": "neutral",
    "neu": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
    "sur": "surprise",
}
"""What every corpus calls an emotion, in our seven."""

OTHER_NAMES = frozenset(
    {
        "frustration",
        "frustrated",
        "fru",
        "undecided",
        "xxx",
        "other",
        "oth",
        "peaceful",
        "powerful",
    }
)
"""Known names without a counterpart: said, so context, but no target."""

SENTIMENT_OF = {
    "neutral": "neutral",
    "joy": "positive",
    "sadness": "negative",
    "anger": "negative",
    "fear": "negative",
    "disgust": "negative",
}
"""Where a corpus has emotions alone; surprise may be of either kind."""


def to_emotion(name: str) -> str | None:
    """Translate a corpus's name; None if it has no counterpart.

    Raises:
        ValueError: If no corpus that we know has such a name.
    """
    plain = name.strip().lower()
    if plain in OTHER_NAMES:
        return None
    if plain not in EMOTION_NAMES:
        raise ValueError(
            f"emotion: expected one of {', '.join(EMOTIONS)} or a name that means one "
            f"of them, got {name!r}"
        )
    return EMOTION_NAMES[plain]


def to_sentiment(name: str) -> str:
    """Check a sentiment.

    Raises:
        ValueError: If it is none of ours.
    """
    plain = name.strip().lower()
    if plain not in SENTIMENTS:
        raise ValueError(
            f"sentiment: expected one of {', '.join(SENTIMENTS)}, got {name!r}"
        )
    return plain
