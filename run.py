"""The command line from a clone: python run.py. After an installation it is the command `smash`."""

import sys

if __name__ == "__main__":
    try:
        from smash_lightning.cli import main

        main()
    except KeyboardInterrupt:  # while modules are imported
        sys.exit("interrupted; repeat the command")
