"""What the archive costs: bytes on disk, speed, memory, look-ups."""
