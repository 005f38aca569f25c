"""Draw the RAVDESS clips of the tests and of the demo, by a seed.

    python tests/audio/draw.py --ravdess FOLDER

FOLDER holds RAVDESS as 16 kHz mono FLAC and a `clips.jsonl` with one line per clip:
file, actor, emotion, text, repetition, voice_start_s, voice_end_s. Writes
`ravdess/*.flac`, `ravdess/clips.jsonl` and `demo.jsonl` beside this file.

Nobody listened before choosing, and no model was asked: the seed is 0, and what the
recognizer gets wrong of it is shown as it comes.
"""

import argparse
import json
import random
import shutil
from pathlib import Path

HERE = Path(__file__).parent
SEED = 0
ACTORS = (21, 22, 23, 24)  # no model of ours is trained or tuned on them
DEMO_FEELINGS = ("angry", "sad", "happy")
EMOTIONS = (*DEMO_FEELINGS, "neutral", "fearful", "disgust", "surprised")
N_ROUNDS = 4  # every speaker of the demo has one turn a round
N_OTHERS = 6  # clips of each actor that are not in the demo
MARGIN_S = 0.1  # kept on both sides of the voice
TARGETS = {
    "angry": "anger",
    "sad": "sadness",
    "happy": "joy",
    "fearful": "fear",
    "surprised": "surprise",
}


def draw_demo(clips, rng):
    """Three actors, each with one feeling; nobody has two turns in a row."""
    cast = dict(zip(rng.sample(ACTORS, len(DEMO_FEELINGS)), DEMO_FEELINGS, strict=True))
    turns = {
        actor: rng.sample(
            [clip for clip in clips if is_of(clip, actor, feeling)], N_ROUNDS
        )
        for actor, feeling in cast.items()
    }
    drawn = []
    for number in range(N_ROUNDS):
        order = rng.sample(sorted(cast), len(cast))
        while drawn and drawn[-1]["actor"] == order[0]:
            order = rng.sample(sorted(cast), len(cast))
        drawn += [turns[actor][number] for actor in order]
    return drawn


def draw_others(clips, demo, rng):
    """Of every actor, one clip of each of `N_OTHERS` feelings he lacks in the demo."""
    others = []
    for actor in ACTORS:
        shown = {clip["emotion"] for clip in demo if clip["actor"] == actor}
        feelings = rng.sample(
            [name for name in EMOTIONS if name not in shown], N_OTHERS
        )
        for feeling in feelings:
            candidates = [clip for clip in clips if is_of(clip, actor, feeling)]
            others.append(rng.choice(candidates))
    return others


def is_of(clip, actor, emotion):
    return clip["actor"] == actor and clip["emotion"] == emotion


def as_corpus(turn, clip):
    """The line of the demo's corpus: the voice and `MARGIN_S` around it."""
    return {
        "dialogue": "demo",
        "turn": turn,
        "speaker": f"actor {clip['actor']}",
        "text": clip["text"],
        "audio": f"ravdess/{Path(clip['file']).name}",
        "start_s": round(max(0.0, clip["voice_start_s"] - MARGIN_S), 3),
        "end_s": round(min(clip["duration_s"], clip["voice_end_s"] + MARGIN_S), 3),
        "emotion": TARGETS.get(clip["emotion"], clip["emotion"]),
    }


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ravdess", type=Path, required=True, metavar="FOLDER")
    source = parser.parse_args().ravdess
    lines = (source / "clips.jsonl").read_text().splitlines()
    clips = [clip for line in lines if (clip := json.loads(line))["actor"] in ACTORS]
    rng = random.Random(SEED)
    demo = draw_demo(clips, rng)
    drawn = sorted(demo + draw_others(clips, demo, rng), key=lambda c: c["file"])
    (HERE / "ravdess").mkdir(exist_ok=True)
    for clip in drawn:
        name = Path(clip["file"]).name
        shutil.copyfile(source / clip["file"], HERE / "ravdess" / name)
    write_lines(
        HERE / "ravdess" / "clips.jsonl",
        [clip | {"file": Path(clip["file"]).name} for clip in drawn],
    )
    write_lines(
        HERE / "demo.jsonl",
        [as_corpus(turn, clip) for turn, clip in enumerate(demo)],
    )


if __name__ == "__main__":
    main()
