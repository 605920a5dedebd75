"""The command line: each command translates, none decides."""
