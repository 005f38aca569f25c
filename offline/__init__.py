"""The workshop: corpora -> trained networks -> scores -> a model folder to serve.

corpora  text_augment  voice_augment      what was said and heard, and its variations
recipe   recipes/default.toml             every number that somebody may want to turn
text_model text_training                  Stages 0 and I of the words
voice_cache voice_training                Stage I of the voice
dataset  fusion_training                  Stages II and III, on the vectors of Stage I
scores   evaluation  card  export         figures, model card, ONNX
"""
