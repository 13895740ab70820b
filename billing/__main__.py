"""`python -m billing` is the command `billing`."""

from billing.cli import main

if __name__ == "__main__":  # a process that the server starts imports this module too
    main()
