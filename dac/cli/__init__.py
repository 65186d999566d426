"""The `dac` command line: what surrounds the training, for people."""
