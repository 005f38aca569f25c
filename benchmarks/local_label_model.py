"""A labelled corpus -> a tiny language model that answers the paper's prompt.

    python -m benchmarks.local_label_model CORPUS.jsonl FOLDER
    transformers serve FOLDER --port 8000

For trying `offline label` where there is no language model: a small Llama that has seen
nothing but the corpus, minutes on one core. It labels as a small classifier does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from offline.corpora.form import Utterance, read_corpus
from offline.labelling.prompts import PROMPTS

PROMPT = PROMPTS["paper"]
START, PAD, SYSTEM, USER, ASSISTANT, END = MARKS = [
    f"<|{name}|>" for name in ("start", "pad", "system", "user", "assistant", "end")
]
TEMPLATE = (
    f"{START}{{% for message in messages %}}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    f"{{% endfor %}}{{% if add_generation_prompt %}}{ASSISTANT}{{% endif %}}"
)
N_TOKENS = 2048
N_POSITIONS = 256
IGNORED = -100  # a label that the loss leaves out


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Learn byte pairs from the corpus and the instruction."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*texts, *[PROMPT.instruction] * 100], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        chat_template=TEMPLATE,
        model_max_length=N_POSITIONS,
    )


def make_lessons(
    utterances: list[Utterance], tokenizer: PreTrainedTokenizerFast
) -> Iterator[dict[str, list[int]]]:
    """Give each request as TEMPLATE writes it, with the answer to learn."""
    for utterance in utterances:
        asked = (
            f"{START}{SYSTEM}{PROMPT.instruction}"
            f"{USER}{PROMPT.write_question([utterance.text or ''])}{ASSISTANT}"
        )
        question = tokenizer.encode(asked, add_special_tokens=False)
        answer = tokenizer.encode(f"{utterance.sentiment}{END}")
        if len(question) + len(answer) <= N_POSITIONS:
            labels = [IGNORED] * len(question) + answer
            yield {"input_ids": question + answer, "labels": labels}


def main() -> None:
    """Train the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, metavar="CORPUS.jsonl")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    said = [one for one in read_corpus(options.corpus).utterances if one.sentiment]
    tokenizer = make_tokenizer([one.text for one in said if one.text])
    size = LlamaConfig(
        vocab_size=N_TOKENS,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=N_POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(size)
    settings = TrainingArguments(
        output_dir=str(options.folder / "run"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=32,
        learning_rate=1e-3,
        save_strategy="no",
        use_cpu=True,
        seed=0,
    )
    lessons = list(make_lessons(said, tokenizer))
    trainer = Trainer(model, settings, DataCollatorForSeq2Seq(tokenizer), lessons)
    trainer.train()
    model.save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)


if __name__ == "__main__":
    main()
