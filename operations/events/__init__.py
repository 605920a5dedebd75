"""What processes say to each other: every event, one file per speaker."""
