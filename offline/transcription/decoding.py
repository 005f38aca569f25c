"""File -> samples: each channel at 16 kHz, or all of them mixed to one."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from stream_erc.errors import ConfigError, RecordingError
from stream_erc.gaps import Flaws
from stream_erc.media import Pcm16, read_blocks

log = logging.getLogger(__name__)


def decode_channels(file: Path, *, is_split: bool) -> Pcm16:
    """Decode any audio file, or the first sound track of a video, as a whole.

    What is wrong with it is logged.

    Args:
        file: To be read.
        is_split: Whether to keep its channels apart; one channel comes out otherwise.

    Returns:
        At least one sample.

    Raises:
        ConfigError: If the file cannot be read or holds no audio.
    """
    flaws = Flaws()
    try:
        blocks = list(read_blocks(file, is_split=is_split, flaws=flaws))
    except RecordingError as error:
        raise ConfigError(str(error)) from error
    for flaw in flaws.describe():
        log.warning("%s: %s", file, flaw)
    return np.concatenate(blocks, axis=1)
