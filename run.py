"""The command line from a clone: python run.py. After an installation it is the command `smash`."""

from smash_lightning.cli import main

if __name__ == "__main__":
    main()
