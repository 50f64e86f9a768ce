"""A run on several machines: an engine that exists (Dask's scheduler) hands whole blocks to hosts, one at a time to each.

On each host an *agent* (`agent`, the verb `host`) waits and costs next to nothing (`quiet`). It carries out one *block*
(`block`) in a process of its own: the command `harness run … --shard K/N` with as many shards as there are blocks. What a block
has left comes home as the bytes of an archive (`home`), and `merging` makes one run of them. `campaign` is the side of whoever
asked: which blocks are to be run (`order`), which were lost with a host. `remote` starts agents through ssh.

Only `agent`, `scheduler`, `campaign` and `block` know Dask, and import it when they are called: it is the extra `cluster`.
"""
