"""all-MiniLM-L6-v2 as a whole: sentences to vectors, search, evaluation, comparison."""
