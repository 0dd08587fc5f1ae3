"""What networks read: ragged rows, hashed n-grams, a corpus on disk, hidden tokens."""
