"""The `dac` command line: what surrounds the training, for people."""

import sys

if sys.platform == "win32":  # fcntl, which no state and no lock can do without
    sys.exit("error: Windows: files can't be locked there as this needs it; use the Linux of WSL")
