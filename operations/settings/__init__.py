"""What can be set while the firm runs: which values, who said so, and which of them holds."""
