"""The only folder that reads models of torch."""
