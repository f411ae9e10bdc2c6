"""From a graph and its schedule to a program."""
