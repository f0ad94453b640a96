"""`python -m resync`."""

from .cli import main

main()
