"""A text encoder of random weights, small enough to train in a second."""

import json

import pytest
from small_corpora import sayings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

transformers = pytest.importorskip("transformers")


def write_encoder(folder):
    """Write config, weights and tokenizer.json as a pre-trained encoder has them."""
    words = sorted(
        {
            piece
            for text, _ in sayings()
            for piece, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(
                text.lower()
            )
        }
    )
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = transformers.BertConfig(
        vocab_size=len(names),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())
