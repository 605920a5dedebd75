"""The statistics of the watchdogs: numbers in, numbers out, nothing remembered or looked up."""
