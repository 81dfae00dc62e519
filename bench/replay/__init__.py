"""What a replay costs, part by part: `python -m bench.replay.PART`."""
