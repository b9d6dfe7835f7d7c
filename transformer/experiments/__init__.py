"""What the lessons measure with the library: each file is one question, asked of a model or of a head of it."""
