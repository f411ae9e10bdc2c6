"""Matrix multiplication: from a problem and its constants to a program."""
