"""SQL from people nobody knows, each statement in a process that may be killed.

`pool` hands statements to a few processes and relays what they write; `child` is such a
process. It runs at low priority, with a memory of its own, and what it does besides reading
the build is refused by `warehouse.walls` and `catalogue`. What no wall foresees costs one
process: a bomb, a crash, an endless loop is killed at the deadline, and a new one is started.
"""
