"""What runs on the host between programs: numpy on a board, torch where there is one."""
