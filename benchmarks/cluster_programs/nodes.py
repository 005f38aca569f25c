"""A Ray cluster of several nodes on one machine.

python -m benchmarks.cluster_programs.nodes CPUS ...

Each node has so many of Ray's cores; the first is the head. Prints its address, then
does what lines on stdin say, and prints a line when that is done: `add CPUS` a node,
`kill N` the node that was added as number N. It ends with stdin.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

STORE_BYTES = 80_000_000


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

    for one in others:
        add(one)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, number = line.split()
        if word == "add":
            add(int(number))
        else:
            cluster.remove_node(nodes[int(number)], allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    run(*sys.argv[1:])
