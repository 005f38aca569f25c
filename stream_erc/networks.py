"""How ONNX networks run that share a process, its cores and its memory."""

from __future__ import annotations

import onnxruntime


def network_options(threads: int) -> onnxruntime.SessionOptions:
    """Give what all networks have in common.

    Args:
        threads: Of one call.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # An arena keeps as much as the longest turn took, for ever.
    options.enable_cpu_mem_arena = False
    # Threads that spin between calls would take the cores from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
