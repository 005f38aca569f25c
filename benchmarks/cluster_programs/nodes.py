"""A Ray cluster of several nodes on one machine.

python -m benchmarks.cluster_programs.nodes CPUS ...

Each node has so many of Ray's cores; the first is the head. Prints its address, then
does what lines on stdin say, and prints a line when that is done: `add CPUS` a node,
`starve CPUS BYTES` a node that kills its workers once so much more of the machine's
memory is in use, `kill N` the node that was added as number N. It ends with stdin.
"""

from __future__ import annotations

import os
import sys

from ray._private.utils import get_system_memory, get_used_memory
from ray.cluster_utils import Cluster

STORE_BYTES = 80_000_000
THRESHOLD = "RAY_memory_usage_threshold"  # a node has it of who starts it


def run(*cpus: str) -> None:
    """Keep the cluster until stdin ends."""
    head, *others = map(int, cpus)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": head, "object_store_memory": STORE_BYTES},
    )
    nodes = [cluster.head_node]

    def add(n_cpus: int) -> None:
        node = cluster.add_node(num_cpus=n_cpus, object_store_memory=STORE_BYTES)
        nodes.append(node)

    def starve(n_cpus: int, n_bytes: int) -> None:
        share = (get_used_memory() + n_bytes) / get_system_memory()
        os.environ[THRESHOLD] = f"{share:.4f}"
        add(n_cpus)
        del os.environ[THRESHOLD]

    for one in others:
        add(one)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        match word, [int(number) for number in numbers]:
            case "add", [n_cpus]:
                add(n_cpus)
            case "starve", [n_cpus, n_bytes]:
                starve(n_cpus, n_bytes)
            case "kill", [place]:
                cluster.remove_node(nodes[place], allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    run(*sys.argv[1:])
