"""Work over many processes and machines: the same work for `asr transcribe`, `align`, `doctor` and `evaluate`.

`dispatch` distributes items over workers, `local_workers` are processes of this machine, `ray_workers` those of a Ray
cluster, `worker_start` is what runs in each. What a command does with an item is in a module of its own.
"""
