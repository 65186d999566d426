"""`python -m dac`: the same as `dac`."""

from dac.cli.main import main

if __name__ == "__main__":
    main()
