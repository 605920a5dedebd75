"""The log: entries, chain, tree, checkpoints, verification. Pure."""
