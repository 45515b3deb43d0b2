"""`python -m charloom`."""

from charloom.cli import main

main()
