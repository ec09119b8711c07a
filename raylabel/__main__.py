"""`python -m raylabel` is `raylabel`."""

from raylabel.cli import main

main()
