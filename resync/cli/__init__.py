"""The command line: options, commands, progress bars and printing; the only package that uses click."""
