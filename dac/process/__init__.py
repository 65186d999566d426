"""The process that runs: signals, other programs, progress."""
