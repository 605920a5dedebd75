"""The vocabulary: what processes say to each other."""
