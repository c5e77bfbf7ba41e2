"""`python -m uno` is `uno`."""

from uno.cli.main import main

main()
