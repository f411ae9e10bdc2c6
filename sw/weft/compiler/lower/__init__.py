"""From a schedule and its constants to a program."""
