"""`python -m resync`."""

from .cli.main import main

main()
