"""Encoders of random weights, small enough to train in a second."""

import pytest
from small_corpora import sayings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def write_encoder(folder):
    """Write config, weights and tokenizer.json as a pre-trained text encoder has."""
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
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_speech_encoder(folder):
    """Write a wav2vec 2.0 of two blocks, 16 numbers wide."""
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(16, 16),
        conv_kernel=(16, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
