"""What stands between the core and a processing system where no vendor tool makes it."""
