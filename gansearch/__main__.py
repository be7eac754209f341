"""`python -m gansearch` is `gansearch`."""

from gansearch.cli import main

if __name__ == "__main__":
    main()
