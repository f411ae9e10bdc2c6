"""Built-in models and their texts."""
