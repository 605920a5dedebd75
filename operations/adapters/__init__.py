"""The only I/O of the product: one outside system per file."""
