"""The command line of operators; each command is a module of this package, imported when it is used."""
